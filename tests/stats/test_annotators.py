"""Each annotator's error rate, from gold items and blind doubles."""

import numpy as np
import pytest

from superalign.records import ExpertLabel
from superalign.stats.annotators import NOT_IDENTIFIED, annotator_errors, annotator_quality, error_draws


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


def triples(rng: np.random.Generator, errors: dict[str, float], items: int, each: int = 3) -> list[ExpertLabel]:
    """Every item is answered by `each` of the annotators, who err at these rates."""
    found = []
    for i in range(items):
        truth = rng.random() < 0.4
        for who in rng.permutation(sorted(errors))[:each]:
            found.append(label(f"i{i}", str(who), float(truth ^ (rng.random() < errors[who]))))
    return found


@pytest.mark.parametrize("each", [3, 2], ids=["three on every item", "every two of three on some items"])
def test_three_annotators_tell_who_of_them_errs(each: int) -> None:
    """Disagreements split evenly gave .10, .10 and .15 or more (Dawid and Skene 1979 identify all three)."""
    errors = {"ann": 0.05, "bob": 0.05, "cid": 0.30}
    found = annotator_quality(triples(np.random.default_rng(1), errors, 1500, each))
    for name, true in errors.items():
        one = found[name]
        assert one.error is not None and one.error.low <= true <= one.error.high, name
        assert one.error.value == pytest.approx(true, abs=0.035)
        assert one.sensitivity == pytest.approx(1 - true, abs=0.08) == one.specificity


def test_what_labels_are_fused_with_knows_the_careless_annotator() -> None:
    errors = annotator_errors(triples(np.random.default_rng(2), {"ann": 0.05, "bob": 0.05, "cid": 0.30}, 1000))
    assert errors == {
        name: pytest.approx(true, abs=0.025) for name, true in (("ann", 0.05), ("bob", 0.05), ("cid", 0.30))
    }


def test_one_who_accepts_too_much_has_a_low_specificity_alone() -> None:
    rng, said = np.random.default_rng(3), []
    for i in range(1000):
        truth = bool(rng.random() < 0.5)
        for who, misses, accepts in (("ann", 0.05, 0.05), ("bob", 0.05, 0.05), ("lax", 0.02, 0.4)):
            wrong = rng.random() < (misses if truth else accepts)
            said.append(label(f"i{i}", who, float(truth ^ wrong)))
    lax = annotator_quality(said)["lax"]
    assert lax.sensitivity == pytest.approx(0.98, abs=0.02) and lax.specificity == pytest.approx(0.6, abs=0.05)


def test_of_two_annotators_neither_gets_an_error_rate() -> None:
    rng = np.random.default_rng(4)
    found = annotator_quality(triples(rng, {"ann": 0.0, "bob": 0.3}, 300, 2))
    assert [one.error for one in found.values()] == [None, None]
    assert {one.reason for one in found.values()} == {NOT_IDENTIFIED}
    draws = error_draws(triples(rng, {"ann": 0.0, "bob": 0.3}, 300, 2))
    assert np.quantile(draws["bob"], 0.9) - np.quantile(draws["bob"], 0.1) > 0.03


@pytest.mark.parametrize(
    ("pairs", "gold", "told"),
    [
        ([("ann", "bob"), ("bob", "cid")], (), set()),
        ([("ann", "bob"), ("bob", "cid"), ("ann", "cid")], (), {"ann", "bob", "cid"}),
        ([("ann", "bob"), ("bob", "cid"), ("ann", "cid"), ("cid", "dee")], (), {"ann", "bob", "cid", "dee"}),
        ([("ann", "bob"), ("bob", "cid")], ("ann",), {"ann", "bob", "cid"}),
        ([("ann", "bob"), ("cid", "dee")], ("ann",), {"ann", "bob"}),
    ],
)
def test_gold_items_and_any_three_who_share_items_identify_errors_also_of_those_beside_them(
    pairs: list[tuple[str, str]], gold: tuple[str, ...], told: set[str]
) -> None:
    said = [label(f"i{n}", who, 1.0) for n, pair in enumerate(pairs) for who in pair]
    said += [label("known", who, 1.0) for who in gold]
    found = annotator_quality(said, {"known": 1.0})
    assert {name for name, one in found.items() if one.error} == told


def test_errors_do_not_depend_on_the_order_of_the_labels() -> None:
    said = triples(np.random.default_rng(5), {"ann": 0.1, "bob": 0.2, "cid": 0.3}, 60)
    assert annotator_quality(said) == annotator_quality(said[::-1])
