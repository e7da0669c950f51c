"""Seconds by stage."""

from __future__ import annotations

import pytest

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
