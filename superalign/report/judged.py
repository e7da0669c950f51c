"""What a run tells of a judge that is no oracle: whether it was checked, how well it did, what is not reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

CHECKS: Final = ("judge_check", "compliance_check")
"""What a row has of the judge: of whether answers are acceptable, of whether they comply with requests on real text."""


def judge_check(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The last check of the judge (`evaluation.judge_check.JudgeCheck` as JSON); None of a run that has none."""
    return next((row["judge_check"] for row in reversed(rows) if row.get("judge_check")), None)


def judge_said(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What has to be said beside the figures: nothing of an oracle."""
    return [str(check["said"]) for check in _checks(rows) if not check["exact"]]


def judge_warnings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What has to be said as soon as it is known: that the judge is unchecked, or too bad to be reported."""
    return [str(check["said"]) for check in _checks(rows) if check["state"] in ("unchecked", "withheld")]


def withheld(rows: Sequence[Mapping[str, Any]]) -> str:
    """Why the rates of the last round are not reported; empty where they are."""
    check = judge_check(rows)
    return str(check["withheld"]) if check else ""


def _checks(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The last check of each kind that there is."""
    found = [next((row[name] for row in reversed(rows) if row.get(name)), None) for name in CHECKS]
    return [check for check in found if check]
