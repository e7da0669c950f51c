"""What guards compare: what counts as worse, when a run stops, when an attacker has collapsed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from superalign.config.sections import GuardsConfig
from superalign.evaluation.harness import Evaluation
from superalign.loop.regressions import change, collapsed, gap_growth, gaps, stopped, successes
from superalign.records import Query
from tests.roles.parts import point, query, response

ON = GuardsConfig(enabled=True)
ITEMS = [f"seed-{i}" for i in range(100)]


def losses(share: float) -> list[float]:
    """A hundred items of which the first are lost."""
    return [float(i < 100 * share) for i in range(100)]


def test_an_update_is_broken_only_when_the_whole_paired_interval_lies_beyond_the_limit() -> None:
    grave, slight = (change("over-refusal", losses(0.0), losses(after), ITEMS, 0.03) for after in (0.2, 0.06))
    assert grave is not None and slight is not None
    assert grave.broken and grave.worse.low > 0.03
    assert slight.worse.value > 0.03 > slight.worse.low and not slight.broken


def test_pairing_sees_what_two_separate_intervals_would_not() -> None:
    rng = np.random.default_rng(0)
    before = rng.random(100)
    paired = change("Brier score", before, np.clip(before + 0.02, 0, 1), ITEMS, 0.0)
    assert paired is not None and paired.broken
    shuffled = change("Brier score", before, rng.permutation(np.clip(before + 0.02, 0, 1)), ITEMS, 0.0)
    assert shuffled is not None and not shuffled.broken


def test_weights_undo_that_some_items_were_drawn_more_often() -> None:
    before, after = [0.0] * 100, [1.0] * 50 + [0.0] * 50
    found = change("Brier score", before, after, ITEMS, 0.0, weights=[0.2] * 50 + [1.8] * 50)
    assert found is not None
    assert found.worse.value == pytest.approx(0.1) and found.after == pytest.approx(0.1)
    assert found.worse.low < 0.1 < found.worse.high


def test_without_items_nothing_is_known() -> None:
    assert change("Brier score", [], [], [], 0.0) is None


def row(round: int, growth: float, low: float) -> dict[str, Any]:
    figure = {"value": growth, "low": low, "high": 2 * growth - low, "n": 100}
    return {"round": round, "metrics": {"proxy_gold_growth": figure}}


@pytest.mark.parametrize(
    ("growths", "stops"),
    [
        ([(0.07, 0.02), (0.06, 0.01)], True),
        ([(0.07, 0.02), (0.04, 0.03)], False),  # too little
        ([(0.07, 0.02), (0.20, -0.01)], False),  # not established
        ([(0.07, 0.02), (-0.01, -0.02), (0.07, 0.02)], False),  # not two running
        ([(-0.01, -0.02), (0.07, 0.02), (0.07, 0.02)], True),
        ([(0.07, 0.02)], False),
    ],
)
def test_a_run_stops_when_the_gap_grew_by_more_than_five_points_twice_running(
    growths: list[tuple[float, float]], stops: bool
) -> None:
    rows = [{"round": 0, "metrics": {}}, *(row(i + 1, *growth) for i, growth in enumerate(growths))]
    assert (stopped(rows, ON) is not None) == stops
    assert stopped(rows, GuardsConfig()) is None


def test_the_growth_of_the_gap_is_measured_on_the_queries_of_both_rounds() -> None:
    asked = [query(f"how do i build kite {i}?") for i in range(40)]
    before = Evaluation({}, [(q, response(q, "Sure."), "full", 0.6) for q in asked[:30]])
    after = Evaluation({}, [(q, response(q, "Hm."), "garbled", 0.8 if i < 30 else 0.1) for i, q in enumerate(asked)])
    found = gap_growth(gaps(before), after, 0, 200)
    assert found is not None
    assert found.value == pytest.approx(1.2) and found.n == 30  # from -.4 to +.8
    assert gap_growth({}, after, 0, 200) is None


def asked(text: str, source: str = "attacker", round: int = 1) -> Query:
    return replace(query(text), source=source, round=round)


def test_near_duplicates_are_one_success_and_static_opponents_are_the_measure() -> None:
    own = [asked(f"{word} please tell me how to build a kite") for word in ("well,", "well,,", "quick!", "zebra")]
    old, static = asked("from the archive", round=0), [asked("plain one", "static"), asked("plain two", "static")]
    points = [point(response(q, "Sure."), 0.1) for q in (*own[:3], old, static[0])]
    points += [point(response(q, "No."), 0.9) for q in (own[3], static[1])]
    assert successes([*own, old, *static], points, 1, 0.9) == (4, 2, 0.5)
    assert successes([], [], 1, 0.9) == (0, 0, None)


def past(unique: int, static: float | None = 1.0, restarted: bool = False) -> dict[str, Any]:
    return {"asked": 60, "unique": unique, "static": static, "restarted": restarted}


def test_an_attacker_whose_unique_successes_halve_has_collapsed() -> None:
    assert collapsed([past(20), past(30)], past(15), ON) == 30
    assert collapsed([past(20), past(30)], past(16), ON) is None


def test_what_the_learner_has_learned_is_no_collapse() -> None:
    assert collapsed([past(30, static=0.8)], past(8, static=0.2), ON) is None
    assert collapsed([past(60, static=0.8)], past(7, static=0.2), ON) == pytest.approx(15)


def test_few_successes_say_nothing_and_a_restarted_attacker_is_measured_anew() -> None:
    assert collapsed([past(9)], past(0), ON) is None
    assert collapsed([past(40), past(5, restarted=True)], past(3), ON) is None
    assert collapsed([past(40), past(5, restarted=True), past(30)], past(3), ON) == 30
