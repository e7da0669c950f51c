"""What a run tells of a judge that is no oracle: whether it was checked, how well it did, what is not reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def judge_check(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The last check of the judge (`evaluation.judge_check.JudgeCheck` as JSON); None of a run that has none."""
    return next((row["judge_check"] for row in reversed(rows) if row.get("judge_check")), None)


def judge_said(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What has to be said beside the figures: nothing of an oracle."""
    check = judge_check(rows)
    return [str(check["said"])] if check and not check["exact"] else []


def judge_warnings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What has to be said as soon as it is known: that the judge is unchecked, or too bad to be reported."""
    check = judge_check(rows)
    return [str(check["said"])] if check and check["state"] in ("unchecked", "withheld") else []


def withheld(rows: Sequence[Mapping[str, Any]]) -> str:
    """Why the rates of the last round are not reported; empty where they are."""
    check = judge_check(rows)
    return str(check["withheld"]) if check else ""
