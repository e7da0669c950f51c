"""Seconds by stage, and telling who waits."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from superalign.store import clock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test moves."""
    time = [100.0]
    monkeypatch.setattr(clock.time, "perf_counter", lambda: time[0])
    return time


def test_a_stage_inside_a_stage_pauses_the_outer_one(now: list[float]) -> None:
    watch = clock.StageClock()
    now[0] += 1
    with watch.stage("train_learner"):
        now[0] += 2
        with watch.stage("sync"):
            now[0] += 4
        now[0] += 8
    seconds = watch.take()
    assert (seconds["train_learner"], seconds["sync"], seconds["other"], seconds["total"]) == (10, 4, 1, 15)
    now[0] += 3
    assert watch.take()["total"] == 3


def test_a_stage_that_fails_is_counted_too(now: list[float]) -> None:
    watch = clock.StageClock()
    with pytest.raises(RuntimeError), watch.stage("attack"):
        now[0] += 5
        raise RuntimeError
    assert watch.take()["attack"] == 5


def test_an_unknown_stage_is_refused() -> None:
    with pytest.raises(ValueError, match="no stage 'atack'"), clock.StageClock().stage("atack"):
        pass


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_tells_each_round_on_a_terminal_and_off_it(terminal: bool, caplog: pytest.LogCaptureFixture) -> None:
    out = io.StringIO()
    width = 120 if terminal else 20  # a line of a file has no width to keep to
    progress = clock.RunProgress("demo", 2, Console(file=out, force_terminal=terminal, width=width))
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10}
    with caplog.at_level(logging.INFO, "superalign.run"):
        progress.stage(1, "attack")
        progress.committed({"round": 1, "metrics": {"helpfulness": estimate}, "timing": {"total": 3.0}})
    progress.close()
    assert "round 1/2  helpful 50 % [40, 60] · 3 s" in out.getvalue()
    assert "round 1: attack" in caplog.messages
