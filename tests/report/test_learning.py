"""Which roles learned: a run that taught its role nothing says so, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from superalign.report import page
from superalign.report.learning import declines_everything, idle_roles, idle_rounds, nothing_learned
from superalign.store.folder import RunFolder
from tests.report.fixture_run import write_fixture


def row(number: int, train: dict[str, Any], actions: tuple[dict[str, Any], ...] = (), **counts: int) -> dict[str, Any]:
    return {"round": number, "train": train, "counts": counts, "guards": {"checks": {}, "actions": list(actions)}}


UNTRAINED = row(0, {})
LEARNED = {"learner": {"pairs": 12.0, "steps": 3.0}}
UNDECIDED = {"learner": {"pairs": 0.0, "steps": 0.0}}
TAKEN_BACK = ({"role": "learner", "action": "rolled back", "to_round": 0},)


def test_a_run_that_learned_in_one_round_learned() -> None:
    rows = [UNTRAINED, row(1, UNDECIDED), row(2, LEARNED)]
    assert nothing_learned(rows) == ""
    assert idle_rounds(rows, "learner") == [1]
    assert idle_roles(rows) == ["the learner learned nothing in round 1"]


def test_a_run_before_any_training_is_not_blamed() -> None:
    assert nothing_learned([UNTRAINED]) == "" and idle_roles([UNTRAINED]) == []


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (
            [row(n, UNDECIDED, queries=7, pairs=13, preferences=0) for n in (1, 2)],
            "The learner learned nothing: the critic was undecided on each of 26 pairs of answers to 14 queries in 2 "
            "rounds",
        ),
        (
            [row(1, UNDECIDED, queries=7, pairs=0)],
            "The learner learned nothing: 7 queries in 1 round gave no two answers that the critic tells apart",
        ),
        (
            [row(1, {"learner": {"answers": 0.0, "steps": 0.0}}, queries=7)],
            "The learner learned nothing: the critic was undecided on every answer to 7 queries in 1 round",
        ),
        (
            [row(1, {"learner": {}}, answers=9, criticised=4, mended=0)],
            "The learner learned nothing: of 9 answers 4 were criticised and 0 mended in 1 round",
        ),
        (
            [row(1, LEARNED, TAKEN_BACK)],
            "The learner learned nothing: every update was taken back by a guard",
        ),
        (
            [row(1, {"critic": {}}), row(2, {"critic": {"expert_rows": 0.0, "steps": 0.0}})],
            "The critic learned nothing: no label reached it in 2 rounds (expert.budget, and who answers)",
        ),
        (
            [row(1, {"attacker": {"faithful": 0.0, "steps": 0.0}})],
            "The attacker learned nothing: none of its rewritings could be compared in 1 round (attacker.faithful, "
            "attacker.candidates)",
        ),
    ],
)
def test_a_run_that_learned_nothing_says_why(rows: list[dict[str, Any]], why: str) -> None:
    assert nothing_learned([UNTRAINED, *rows]) == why


def test_a_plug_in_that_counts_no_steps_is_believed() -> None:
    assert nothing_learned([row(1, {"critic": {"loss": 0.4}})]) == ""


def test_a_critic_without_labels_does_not_make_a_self_play_void() -> None:
    rows = [row(1, LEARNED | {"critic": {"steps": 0.0}})]
    assert nothing_learned(rows) == ""
    assert idle_roles(rows) == ["the critic learned nothing in round 1"]


@pytest.mark.parametrize(
    ("taught", "shown", "hidden"),
    [
        (UNDECIDED, "Nothing was learned.", "Rounds without learning."),
        (LEARNED, None, "was learned."),
        (LEARNED | {"attacker": {"steps": 0.0}}, "Rounds without learning.", "Nothing was learned."),
    ],
)
def test_the_report_begins_with_it(tmp_path: Path, taught: dict[str, Any], shown: str | None, hidden: str) -> None:
    folder = write_fixture(tmp_path, rounds=2, train=taught)
    header = page.render(RunFolder.open(folder)).split("</header>")[0]
    assert hidden not in header
    assert shown is None or shown in header


def refusing(number: int, value: float, low: float, high: float) -> dict[str, Any]:
    return {"round": number, "metrics": {"over_refusal_rate": {"value": value, "low": low, "high": high, "n": 16}}}


def test_a_learner_that_declines_everything_is_no_safe_model() -> None:
    first, last = refusing(0, 0.06, 0.0, 0.54), refusing(1, 0.88, 0.5, 0.98)
    assert declines_everything([first, last]).replace("\N{NARROW NO-BREAK SPACE}", " ") == (
        "the learner declines most harmless requests: 88 % (50 to 98 %, n 16), 6 % before it was trained; it has "
        "learned to decline, not what to decline"
    )
    assert declines_everything([]) == declines_everything([{"round": 0, "metrics": {}}]) == ""
    assert declines_everything([first, refusing(1, 0.38, 0.2, 0.6)]) == "", "some is no alarm"
    assert declines_everything([last, last]) == "", "it did so before"


def test_the_report_of_a_learner_that_declines_everything_says_so(tmp_path: Path) -> None:
    folder = write_fixture(tmp_path)
    path = folder / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["metrics"]["over_refusal_rate"] = refusing(0, 0.0, 0.0, 0.1)["metrics"]["over_refusal_rate"]
    rows[-1]["metrics"]["over_refusal_rate"] = refusing(1, 0.9, 0.7, 1.0)["metrics"]["over_refusal_rate"]
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    assert "This is no safe model." in page.write(folder).read_text()
