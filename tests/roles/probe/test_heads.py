"""Heads on features whose answers are known."""

from __future__ import annotations

import json
from typing import Literal

import numpy as np
import pytest

from superalign.roles.probe.heads import Head, Labels, cross_fitted, fit, probabilities
from superalign.stats.roc import auroc


def drawn(n: int, features: int = 40, noise: float = 1.0, seed: int = 0, curved: bool = False) -> Labels:
    """Labels that two of the features tell: their sum, or, curved, whether they have the same sign."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, features)).astype(np.float32)
    told = 3 * x[:, 0] * x[:, 1] if curved else x[:, 0] + x[:, 1]
    y = (told + noise * rng.normal(size=n) > 0).astype(float)
    return Labels(x, y, np.ones(n), [f"request {i // 2}" for i in range(n)])


def area(labels: Labels, odds: np.ndarray) -> float:
    return auroc(odds, labels.y > 0.5, labels.groups, 0, 10).value


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_head_tells_what_it_has_not_seen(kind: Literal["linear", "mlp"]) -> None:
    head, _ = fit(drawn(300), kind, 0)
    new = drawn(300, seed=1)
    assert area(new, head.log_odds(new.x)) > 0.8


def test_a_hidden_layer_tells_what_no_line_can() -> None:
    known, new = drawn(600, features=4, noise=0.1, curved=True), drawn(400, features=4, noise=0.1, seed=1, curved=True)
    found = {kind: area(new, fit(known, kind, 0)[0].log_odds(new.x)) for kind in ("linear", "mlp")}
    assert found["linear"] < 0.6 < 0.9 < found["mlp"]


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_head_that_was_kept_as_json_says_the_same_to_the_bit(kind: Literal["linear", "mlp"]) -> None:
    labels = drawn(80)
    head, _ = fit(labels, kind, 0)
    again = Head.from_row(json.loads(json.dumps(head.to_row())))
    assert (again.log_odds(labels.x) == head.log_odds(labels.x)).all()


def test_members_disagree_more_where_there_are_fewer_labels() -> None:
    new = drawn(200, seed=1)

    def spread(n: int) -> float:
        _, members = fit(drawn(n), "linear", 0, members=4)
        return float(np.std([probabilities(member.log_odds(new.x)) for member in members], axis=0).mean())

    assert spread(60) > 1.1 * spread(600)


def test_a_label_between_no_and_yes_pulls_towards_the_middle() -> None:
    labels = drawn(200, noise=0.0)
    soft = Labels(labels.x, 0.25 + labels.y / 2, labels.weight, labels.groups)
    sure, unsure = (np.abs(fit(given, "linear", 0)[0].log_odds(labels.x)).mean() for given in (labels, soft))
    assert unsure < sure


def test_a_row_without_weight_teaches_nothing() -> None:
    labels, wrong = drawn(200), drawn(200, seed=3)
    both = Labels(
        np.concatenate([labels.x, wrong.x]),
        np.concatenate([labels.y, 1 - wrong.y]),
        np.concatenate([labels.weight, np.zeros(200)]),
        [*labels.groups, *(f"other {group}" for group in wrong.groups)],
    )
    new = drawn(300, seed=1)
    assert area(new, fit(both, "linear", 0)[0].log_odds(new.x)) > 0.8


def test_cross_fitted_odds_know_nothing_of_their_own_request() -> None:
    rng = np.random.default_rng(0)
    noise = Labels(rng.normal(size=(200, 300)), rng.integers(0, 2, 100).repeat(2).astype(float), np.ones(200), [])
    same = noise.x[::2].repeat(2, axis=0)  # both rows of a request are alike, so its other row tells the label
    labels = Labels(same, noise.y, noise.weight, [f"request {i // 2}" for i in range(200)])
    assert abs(area(labels, cross_fitted(labels, "linear", 0)) - 0.5) < 0.15
    assert area(labels, fit(labels, "linear", 0)[0].log_odds(same)) > 0.95


def test_too_few_labels_of_a_class_teach_nothing() -> None:
    labels = drawn(40)
    one = Labels(labels.x, np.where(np.arange(40) < 3, 1.0, 0.0), labels.weight, labels.groups)
    assert labels.teaches and not one.teaches


@pytest.mark.parametrize("helps", [True, False])
def test_what_a_rule_made_teaches_only_where_it_helps(helps: bool) -> None:
    known, made, new = drawn(60), drawn(400, seed=3), drawn(300, seed=1)
    both = Labels(
        np.concatenate([known.x, made.x]),
        np.concatenate([known.y, made.y if helps else 1 - made.y]),
        np.ones(460),
        [*known.groups, *(f"made {group}" for group in made.groups)],
        np.arange(460) >= 60,
    )
    alone, found = (area(new, fit(labels, "linear", 0)[0].log_odds(new.x)) for labels in (known, both))
    assert found > alone + 0.05 if helps else abs(found - alone) < 0.03  # standardised together


def test_a_head_that_tells_nothing_says_how_often_the_answer_is_yes() -> None:
    rng = np.random.default_rng(0)
    asked = [str(i) for i in range(200)]
    labels = Labels(rng.normal(size=(200, 100)), (np.arange(200) % 5 > 0).astype(float), np.ones(200), asked)
    head, members = fit(labels, "linear", 0, members=2)
    for each in (head, *members):
        p = probabilities(each.log_odds(rng.normal(size=(100, 100))))
        assert p.std() < 0.15 and abs(p.mean() - 0.8) < 0.06
