"""Escalation: known propensities, a hard budget."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.feedback.escalation import draw, escalate, priorities, propensities
from superalign.records import Judgement


def judgement(i: int, p: float, variance: float = 0.0) -> Judgement:
    return Judgement(f"j{i:04d}", "point", "q", "r", "", "c", 0.0, p, variance, False, False, 0)


def judgements(ps: list[float]) -> list[Judgement]:
    return [judgement(i, p) for i, p in enumerate(ps)]


rows = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(rows, st.integers(1, 80), st.floats(0, 1), st.floats(0, 1))
def test_propensities_are_positive_at_most_one_and_sum_to_at_most_the_budget(
    table: list[tuple[float, float, float, bool]], budget: int, tau: float, forced_share: float
) -> None:
    p, severity, novelty, forced = map(list, zip(*table, strict=True))
    # A forced share of 1 may spend everything: the audit floor is then the caller's decision to drop.
    forced_share = min(forced_share, 0.9)
    pi = propensities(judgements(p), severity, novelty, budget, tau, forced, forced_share)
    assert (pi > 0).all()
    assert (pi <= 1).all()
    assert pi.sum() <= budget + 1e-9


@settings(max_examples=150, deadline=None)
@given(rows, st.integers(0, 40), st.floats(0, 0.5), st.integers(0, 2**31))
def test_a_draw_never_costs_more_labels_than_the_budget(
    table: list[tuple[float, float, float, bool]], budget: int, double: float, seed: int
) -> None:
    p, severity, novelty, forced = map(list, zip(*table, strict=True))
    pi, drawn = escalate(
        judgements(p), severity, novelty, forced,
        budget=budget, uniform_share=0.3, forced_share=0.2, double_share=double, seed=seed,
    )  # fmt: skip
    assert len(drawn) + sum(e.double for e in drawn) <= budget
    assert all(e.pi == pi[e.index] for e in drawn)
    assert len({e.index for e in drawn}) == len(drawn)


def test_items_are_drawn_as_often_as_their_propensity_says() -> None:
    rng = np.random.default_rng(0)
    pi = propensities(judgements(rng.random(50).tolist()), rng.random(50), rng.random(50), 12, 0.3, [False] * 50, 0.2)
    ids = [f"i{i}" for i in range(50)]
    hits = np.zeros(50)
    for seed in range(4000):
        hits[[e.index for e in draw(pi, ids, [False] * 50, 12, 0.1, seed)]] += 1
    error = np.abs(hits / 4000 - pi) / np.sqrt(pi * (1 - pi) / 4000 + 1e-9)
    assert error.max() < 4


def test_the_formula_is_r8_with_the_variance_floor() -> None:
    judged = [judgement(0, 0.5), judgement(1, 0.999), judgement(2, 0.999, variance=0.04)]
    a = priorities(judged, [1.0, 1.0, 0.5], [0.0, 1.0, 0.0])
    assert a == pytest.approx([0.5, 2 * 0.1, 0.5 * 0.2])
    pi = propensities(judged, [1.0, 1.0, 0.5], [0.0, 1.0, 0.0], 1, 0.3, [False] * 3, 0.2)
    assert pi == pytest.approx(0.3 / 3 + 0.7 * a / a.sum())


def test_the_forced_lane_takes_the_most_severe_and_at_most_its_share() -> None:
    pi, drawn = escalate(
        judgements([0.5] * 40), np.linspace(0.1, 1, 40), np.zeros(40), [True] * 40,
        budget=20, uniform_share=0.3, forced_share=0.2, double_share=0.0, seed=1,
    )  # fmt: skip
    assert np.flatnonzero(pi == 1.0).tolist() == [36, 37, 38, 39]
    assert [e.index for e in drawn if e.lane == "forced"] == [36, 37, 38, 39]


def test_the_uniform_share_never_falls_below_the_audit_floor() -> None:
    pi = propensities(judgements([0.5] * 10), [0.0] * 9 + [1.0], np.zeros(10), 1, 0.0, [False] * 10, 0.2)
    assert pi[:9] == pytest.approx(0.05 / 10)


def test_no_budget_escalates_nothing() -> None:
    pi, drawn = escalate(
        judgements([0.5, 0.6]), [1, 1], [0, 0], [True, False],
        budget=0, uniform_share=0.3, forced_share=0.2, double_share=0.1, seed=0,
    )  # fmt: skip
    assert pi.tolist() == [0, 0]
    assert drawn == []


def test_the_same_seed_draws_the_same_items_in_whatever_order_they_come() -> None:
    pi = np.full(30, 0.3)
    ids = [f"i{i}" for i in range(30)]
    first = {ids[e.index] for e in draw(pi, ids, [False] * 30, 9, 0.1, 3)}
    second = {ids[::-1][e.index] for e in draw(pi[::-1], ids[::-1], [False] * 30, 9, 0.1, 3)}
    assert first == second
    assert first != {ids[e.index] for e in draw(pi, ids, [False] * 30, 9, 0.1, 4)}


def test_about_a_tenth_of_the_items_is_asked_twice() -> None:
    _, drawn = escalate(
        judgements([0.5] * 400), np.ones(400), np.zeros(400), [False] * 400,
        budget=48, uniform_share=0.3, forced_share=0.2, double_share=0.1, seed=0,
    )  # fmt: skip
    assert len(drawn) + sum(e.double for e in drawn) in (47, 48)
    assert sum(e.double for e in drawn) == 4


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in number"):
        priorities(judgements([0.5]), [1.0, 1.0], [0.0])
    with pytest.raises(ValueError, match="negative"):
        propensities(judgements([0.5]), [1.0], [0.0], -1, 0.3, [False], 0.2)
    with pytest.raises(ValueError, match="more than the budget"):
        draw([0.9, 0.9], ["a", "b"], [False, False], 1, 0.0, 0)
