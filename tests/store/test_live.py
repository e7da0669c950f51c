"""Telling who waits where a run is."""

from __future__ import annotations

import io
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from superalign.store import live, progress
from superalign.store.clock import Plan
from superalign.store.progress import advance


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test moves."""
    time = [1000.0]
    monkeypatch.setattr(live.time, "time", lambda: time[0])
    return time


def row(number: int, seconds: float) -> dict[str, Any]:
    return {"round": number, "metrics": {}, "timing": {"total": seconds}}


def told(rounds: int = 7, terminal: bool = True, **more: Any) -> live.RunProgress:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    return live.RunProgress("tried", Plan(rounds), console, **more)


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_tells_each_round_on_a_terminal_and_off_it(terminal: bool, caplog: pytest.LogCaptureFixture) -> None:
    out = io.StringIO()
    width = 120 if terminal else 20  # a line of a file has no width to keep to
    shown = live.RunProgress("demo", Plan(2), Console(file=out, force_terminal=terminal, width=width))
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10}
    with caplog.at_level(logging.INFO, "superalign.run"):
        shown.begin(1)
        shown.stage("attack")
        shown.committed({"round": 1, "metrics": {"helpfulness": estimate}, "timing": {"total": 3.0}})
    shown.close()
    assert "round 1/2  helpful 50 % [40, 60] · 3 s" in out.getvalue()
    assert "round 1: attack" in caplog.messages


def test_off_a_terminal_a_line_tells_where_a_long_stage_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "QUIET_S", 0.2)
    out = io.StringIO()
    shown = live.RunProgress("demo", Plan(2), Console(file=out, force_terminal=False, width=20))
    shown.begin(1)
    shown.stage("evaluate")
    advance("texts", 30, 40)
    time.sleep(0.5)
    shown.say("something else")
    shown.close()
    before, after = out.getvalue().split("something else")
    assert 1 <= before.count("demo · round 1 of 2 · evaluate 30/40 texts") <= 3
    time.sleep(0.4)
    assert out.getvalue().split("something else")[1] == after


def test_the_first_thing_shown_says_what_is_set_up(now: list[float]) -> None:
    shown = told()
    assert shown.line(80) == "tried · setting up · 0:00"
    shown.doing("setting up: loading models")
    now[0] += 2
    assert shown.line(80) == "tried · setting up: loading models · 0:02"
    shown.close()


def test_how_far_a_stage_is_stands_in_the_line(now: list[float]) -> None:
    shown = told()
    shown.begin(1)
    shown.stage("train_learner")
    advance("steps", 12, 40)
    assert shown.line(80).startswith("tried · round 1 of 7 · train learner 12/40 steps · ━━━━────────")
    shown.stage("sync")
    assert "steps" not in shown.line(80)  # that was of the stage before
    shown.close()
    advance("steps", 1, 2)  # nobody listens any more


def test_the_time_left_is_that_of_earlier_rounds(now: list[float]) -> None:
    shown = told(rows=[row(0, 500.0), row(1, 100.0), row(2, 140.0)])  # round 0 trains nothing: it tells nothing
    shown.begin(3)
    shown.stage("respond")
    now[0] += 60
    # 120 s a round: 60 s of this one, and 4 more
    assert shown.line(100).endswith("about 9 min left")
    shown.close()


def test_what_was_set_up_before_a_round_is_not_expected_again(now: list[float]) -> None:
    shown = told()
    now[0] += 490
    shown.begin(1)
    now[0] += 10
    shown.committed(row(1, 500.0))
    shown.begin(2)
    assert shown.line(100).endswith("about 60 s left")  # six rounds of 10 s
    shown.close()


def test_in_the_first_round_the_share_done_tells_the_time_left(now: list[float]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    shown = live.RunProgress("tried", Plan(1, ("load", "train"), "split", first=1), console)
    shown.stage("load")  # before any split
    shown.begin(0)
    shown.stage("train")
    now[0] += 30
    assert "left" not in shown.line(100)
    advance("studies", 3, 4)
    # a quarter of this split, 10 s, and another of 40 s
    assert shown.line(100).endswith("split 1 of 2 · train 3/4 studies · ━━━━━━━━━─── · 0:30 · about 50 s left")
    shown.close()


def test_before_any_training_the_stage_alone_tells_its_time(now: list[float]) -> None:
    shown = told()
    shown.begin(0)
    shown.stage("evaluate")
    now[0] += 20
    advance("requests", 20, 40)
    assert shown.line(100).endswith("about 20 s left of this stage")
    shown.close()


@pytest.mark.parametrize("width", [24, 40, 60, 80])
def test_the_line_never_gets_wider_than_the_terminal(width: int, now: list[float]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    shown = live.RunProgress("a-name-that-is-rather-long-for-a-run", Plan(7), console, rows=[row(1, 99.0)])
    shown.begin(2)
    shown.stage("train_learner")
    advance("steps", 1200, 4000)
    line = shown.line(width)
    assert len(line) <= width
    assert "round 2 of 7" in line
    shown.close()


def test_what_actors_tell_is_read_from_their_files(tmp_path: Path) -> None:
    for name, done in (("generator", 30), ("generator-0", 4), ("generator-1", 7)):
        tell = progress.to_file(tmp_path / f"{name}.log")
        tell(progress.Count("requests", done, 64, 2000.0))
        tell(progress.Count("requests", done + 1, 64, 2000.1))  # too soon to be written
    found = progress.newest(tmp_path, since=1999.0)
    assert found is not None and (found.what, found.done, found.of) == ("requests", 30, 64)
    assert progress.newest(tmp_path, since=2001.0) is None
    (tmp_path / "trainer.progress").write_text('{"what": "st')  # just being written
    assert progress.newest(tmp_path, since=1999.0) == found


def test_another_process_can_read_how_far_this_one_is_while_it_goes_on(tmp_path: Path) -> None:
    shown = told(terminal=False, log_dir=tmp_path)
    advance("steps", 3, 9)
    found = progress.newest(tmp_path, since=0.0)
    assert found is not None and (found.what, found.done, found.of) == ("steps", 3, 9)
    shown.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("seconds", "words"), [(2, "5 s"), (43, "45 s"), (200, "3 min"), (7200, "2.0 h")])
def test_durations_are_as_rough_as_they_are_known(seconds: float, words: str) -> None:
    assert live.duration(seconds) == words
