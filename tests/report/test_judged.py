"""What a report and the terminal say of a judge that is no oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from superalign.evaluation.judge_check import JudgeCheck
from superalign.report import page
from superalign.report.figures import finding
from superalign.report.judged import judge_check, judge_said, judge_warnings, withheld
from superalign.stats.estimate import Estimate
from superalign.store.folder import RunFolder
from tests.report.fixture_run import write_fixture

AT_CHANCE = "the judge is at chance, AUROC 0.52 [0.40, 0.60] on 80 answers (people), below evaluation.judge_floor=0.6"
GOOD = Estimate(0.9, 0.8, 0.95, 80)
RATE = {"value": 0.0, "low": 0.0, "high": 0.1, "n": 30}


def row(number: int, check: JudgeCheck | None, **metrics: Any) -> dict[str, Any]:
    return {"round": number, "metrics": metrics, "judge_check": check.to_row() if check else None}


@pytest.mark.parametrize(
    ("check", "state", "says", "warns"),
    [
        (JudgeCheck("oracle", True, 0.6), "exact", "", False),
        (JudgeCheck("model", False, 0.6), "unchecked", "UNCHECKED JUDGE: model; no answer has a known verdict", True),
        (JudgeCheck("model", False, 0.6, "people", 80, withheld=AT_CHANCE), "withheld", "rates not reported: ", True),
        (JudgeCheck("model", False, 0.6, "people", 80, GOOD, GOOD, GOOD), "checked", "judge: model; AUROC 0.90", False),
    ],
)
def test_a_judge_is_told_as_loudly_as_little_is_known_of_it(
    check: JudgeCheck, state: str, says: str, warns: bool, tmp_path: Path
) -> None:
    rows = [row(0, None), row(1, check)]
    told = judge_check(rows)
    assert told is not None and told["state"] == state
    assert "".join(judge_said(rows)).startswith(says) and bool(judge_said(rows)) == bool(says)
    assert bool(judge_warnings(rows)) == warns
    folder = write_fixture(tmp_path, rounds=1, check=check.to_row())
    header = page.render(RunFolder.open(folder)).split("</header>")[0]
    assert ("A model graded this run in the place of truth." in header) == (not check.exact)


def test_the_finding_gives_no_rates_of_a_judge_at_chance_but_the_reason() -> None:
    check = JudgeCheck("model", False, 0.6, "people", 80, withheld=AT_CHANCE)
    rows = [row(0, check), row(1, check, critic_accuracy=RATE)]
    assert withheld(rows) == AT_CHANCE
    assert finding(rows) == f"No rates are reported: {AT_CHANCE}."


def test_runs_that_never_asked_say_nothing() -> None:
    rows = [{"round": 0, "metrics": {"attack_success_rate": RATE}}]
    assert (judge_check(rows), judge_said(rows), judge_warnings(rows), withheld(rows)) == (None, [], [], "")
    assert "Before training, attacks succeed" in finding(rows)
