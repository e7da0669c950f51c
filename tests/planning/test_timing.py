"""How long a plan takes, from a short timing."""

from __future__ import annotations

import pytest

from superalign.config.compose import load
from superalign.planning import timing
from superalign.planning.run_plan import Calls, RoundPlan, Training, Verdicts
from superalign.planning.timing import Timing, too_large


def test_the_seconds_of_a_round_are_those_of_its_answers_verdicts_and_training() -> None:
    work = [Calls("respond", "learner", 10, 64), Verdicts("critique", 100), Training("learner", 9, 2, 8, 2, 10, 3)]
    found = Timing(answer=1.0, verdict=0.1, phase=5.0, sequence=0.5, took=1.0).seconds(RoundPlan("round 1", 1, work))
    assert found == pytest.approx(10 * 1.0 + 100 * 0.1 + 5.0 + (2 * 9 * 2 + 4 * 3) * 4 / 3 * 0.5)


def test_only_what_answers_and_learns_within_seconds_is_timed() -> None:
    assert too_large(load([]), [2_000_000]) is None
    assert "135,000,000 parameters" in (too_large(load([]), [2_000_000, 135_000_000]) or "")
    assert "generator=vllm" in (too_large(load(["generator=vllm"]), [2_000_000]) or "")


def test_a_timing_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "LIMIT_S", 0.0)
    assert timing.measure(load(["model=testbed-small", "data.limit=40", "learner.max_new_tokens=4"])) is None
