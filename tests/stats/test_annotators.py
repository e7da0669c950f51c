"""Each annotator's error rate, from gold items and blind doubles."""

import numpy as np
import pytest

from superalign.records import ExpertLabel
from superalign.stats.annotators import annotator_errors


def label(item: str, annotator: str, value: float) -> ExpertLabel:
    return ExpertLabel(f"{item}-{annotator}", item, "pair", annotator, value, 0.5, "active", 1, False)


def test_an_unknown_annotator_has_the_prior_error_of_a_tenth() -> None:
    assert annotator_errors([label("i", "ann", 1.0)]) == {"ann": pytest.approx(0.1)}


def test_gold_items_move_the_error_towards_what_was_seen() -> None:
    labels = [label(f"g{i}", "ann", float(i < 50)) for i in range(100)]
    assert annotator_errors(labels, {f"g{i}": 1.0 for i in range(100)})["ann"] == pytest.approx(52 / 120)


def test_disagreement_on_doubles_counts_half_for_each() -> None:
    labels = [label(f"i{i}", who, float(who == "a" or i >= 10)) for i in range(40) for who in ("a", "b")]
    assert annotator_errors(labels) == {"a": pytest.approx(7 / 60), "b": pytest.approx(7 / 60)}


def test_doubles_recover_the_error_rate_that_made_them() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(2000) < 0.5
    labels = [
        label(f"i{i}", who, float(truth[i] ^ (rng.random() < error)))
        for i in range(2000)
        for who, error in (("a", 0.1), ("b", 0.1))
    ]
    assert annotator_errors(labels)["a"] == pytest.approx(0.09, abs=0.015)
