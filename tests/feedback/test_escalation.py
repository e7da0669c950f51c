"""Escalation: known propensities, a hard budget."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.errors import UserError
from superalign.feedback.escalation import (
    Escalated,
    Policy,
    distinct,
    draw,
    escalate,
    priorities,
    propensities,
    shared,
)
from superalign.records import ExpertLabel, Judgement
from tests.benchmarks.estimator import simulate
from tests.roles.parts import query, response


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


def chosen(policy: Policy, ps: list[float], budget: int, **changes: float) -> tuple[list[float], list[Escalated]]:
    """Propensities and draw of a policy over items with these probabilities."""
    given = {"double_share": 0.0, "votes": 1, "seed": 0} | changes
    pi, drawn = escalate(
        judgements(ps), np.ones(len(ps)), np.zeros(len(ps)), [True] * len(ps),
        budget=budget, uniform_share=0.3, forced_share=0.5, policy=policy, **given,
    )  # fmt: skip
    return pi.tolist(), drawn


def test_the_random_policy_gives_every_item_the_same_chance_and_forces_none() -> None:
    pi, drawn = chosen("random", [0.5, 0.9, 0.1, 0.99], 2)
    assert pi == [0.5] * 4
    assert [one.lane for one in drawn] == ["active"] * 2
    assert len({tuple(one.index for one in chosen("random", [0.5] * 20, 2, seed=s)[1]) for s in range(20)}) > 10


def test_the_uncertainty_policy_takes_the_least_certain_for_sure_and_the_others_never() -> None:
    ps = [0.5, 0.99, 0.4, 0.01, 0.62, 0.5]
    for seed in range(3):
        pi, drawn = chosen("uncertainty", ps, 3, seed=seed)
        assert pi == [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]
        assert [one.index for one in drawn] == [0, 2, 5]
    variances = [judgement(i, 0.99, variance) for i, variance in enumerate([0.0, 0.2, 0.1])]
    pi_of_variance, _ = escalate(
        variances, np.ones(3), np.zeros(3), np.zeros(3),
        budget=1, uniform_share=0.3, forced_share=0.2, double_share=0.0, seed=0, policy="uncertainty",
    )  # fmt: skip
    assert pi_of_variance.tolist() == [0.0, 1.0, 0.0]


def test_nobody_is_asked_or_everybody_is() -> None:
    assert chosen("none", [0.5, 0.6], 10) == ([0.0, 0.0], [])
    pi, drawn = chosen("all", [0.5, 0.6, 0.99], 4, double_share=0.5)
    assert pi == [1.0] * 3
    assert [one.index for one in drawn] == [0, 1, 2]
    assert sum(one.double for one in drawn) == 1, "the doubles take what the items leave"


def test_all_items_of_more_than_the_budget_holds_are_refused() -> None:
    with pytest.raises(UserError, match=r"expert\.policy=all: 3 items were judged, expert\.budget holds 2"):
        chosen("all", [0.5, 0.6, 0.7], 2)
    with pytest.raises(UserError, match="holds 2"):
        chosen("all", [0.5, 0.6, 0.7], 5, votes=2)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["default", "random", "uncertainty", "none"]), rows, st.integers(0, 40), st.floats(0, 0.5),
    st.integers(1, 3), st.integers(0, 2**31),
)  # fmt: skip
def test_whatever_the_policy_and_the_votes_the_budget_holds(
    policy: Policy,
    table: list[tuple[float, float, float, bool]],
    budget: int,
    double: float,
    votes: int,
    seed: int,
) -> None:
    p, severity, novelty, forced = map(list, zip(*table, strict=True))
    pi, drawn = escalate(
        judgements(p), severity, novelty, forced, budget=budget, uniform_share=0.3, forced_share=0.2,
        double_share=double, seed=seed, votes=votes, policy=policy,
    )  # fmt: skip
    assert votes * len(drawn) + sum(one.double for one in drawn) <= budget
    assert all(one.pi == pi[one.index] > 0 for one in drawn)
    assert len(drawn) >= int(pi.sum() + 1e-6), "nothing that the propensities promise is cut off"


@pytest.mark.parametrize(("critic", "off"), [("calibrated", 0.03), ("lenient", 0.03), ("sharp", 0.05)])
def test_the_weighted_estimate_is_right_where_the_plain_mean_of_the_escalated_is_not(critic: str, off: float) -> None:
    found = simulate(critic, queues=500, items=400, budget=48, seed=1)
    assert abs(found.bias) <= found.error
    assert 0.93 <= found.coverage <= 0.97
    assert abs(found.plain) >= off


def test_equal_texts_are_asked_about_once_and_what_is_said_of_one_holds_for_all() -> None:
    texts = {name: response(query("q"), said) for name, said in (("r1", "no"), ("r2", "no"), ("r3", "yes"))}
    points = [Judgement(f"p{r}", "point", "q", r, "", "c", 0.0, 0.5, 0.0, False, False, 0) for r in texts]
    pairs = [Judgement(f"{r}-r3", "pair", "q", r, "r3", "c", 0.0, 0.5, 0.0, False, False, 0) for r in ("r1", "r2")]
    elsewhere = Judgement("other", "point", "another q", "r1", "", "c", 0.0, 0.5, 0.0, False, False, 0)
    judged = [*points, *pairs, elsewhere]
    assert [j.id for j in distinct(judged, texts)] == ["pr1", "pr3", "r1-r3", "other"]
    asked = ("pr2", "r1-r3", "of an earlier round")
    labels = [ExpertLabel(f"l{i}", i, "point", "ann", 1.0, 0.5, "active", 1, True) for i in asked]
    found = shared(labels, judged, texts)
    assert [label.item_id for label in found] == ["pr1", "pr2", "r1-r3", "r2-r3", "of an earlier round"]
    assert {label.value for label in found} == {1.0}
