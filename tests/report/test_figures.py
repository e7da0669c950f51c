"""Figures in words."""

from __future__ import annotations

from typing import Any

import pytest

from superalign.report.figures import (
    ATTACKS,
    UNCORRECTED,
    correction,
    estimate,
    finding,
    headline,
    seconds,
    select_samples,
    series,
)

SPACE = "\N{NARROW NO-BREAK SPACE}"


def row(round: int, **values: float | None) -> dict[str, Any]:
    """A row of metrics.jsonl with intervals of five points."""
    return {
        "round": round,
        "metrics": {
            name: {"value": v, "low": None if v is None else v - 0.05, "high": None if v is None else v + 0.05, "n": 9}
            for name, v in values.items()
        },
    }


@pytest.mark.parametrize(("value", "text"), [(4.21, "4.2 s"), (38.2, "38 s"), (245.0, "4 min 05 s")])
def test_durations_are_short(value: float, text: str) -> None:
    assert seconds(value) == text


def test_a_metric_that_could_not_be_computed_is_left_out() -> None:
    rows = [row(0, helpfulness=None), row(1, helpfulness=0.9)]
    assert estimate(rows[0], "helpfulness") is None
    assert [tile["moved"] for tile in headline(rows)] == [False]


def test_a_metric_never_measured_has_no_curve() -> None:
    assert [curve.label for curve in series([row(0, attack_success_rate=0.8)], ATTACKS)] == ["Held-out combinations"]


@pytest.mark.parametrize(("last", "verb"), [(0.1, "fell"), (0.95, "rose"), (0.79, "went")])
def test_the_finding_says_fell_or_rose_only_when_the_intervals_part(last: float, verb: str) -> None:
    assert f"{verb} from 80" in finding([row(0, attack_success_rate=0.8), row(1, attack_success_rate=last)])


def test_figures_are_told_by_what_they_were_measured_on() -> None:
    told = {"over_refusal_rate": "benign requests (no look-alikes are given)", "critic_accuracy": "expert labels"}
    rows = [row(0, helpfulness=0.9, over_refusal_rate=0.1, critic_accuracy=0.8) | {"measured_on": told}]
    assert f"refuses 10{SPACE}% of benign requests (no look-alikes are given)." in finding(rows)
    subtitles = {tile["title"]: tile["subtitle"] for tile in headline(rows)}
    assert subtitles["Over-refusal"] == "benign requests (no look-alikes are given) refused"
    assert subtitles["Critic accuracy"] == "agreement with expert labels"
    silent = [{name: value for name, value in rows[0].items() if name != "measured_on"}]
    assert "look-alikes" not in finding(silent) + str(headline(silent))


def test_a_judge_that_errs_is_told_with_what_its_errors_leave_of_attack_success() -> None:
    known = {"judge_sensitivity": 0.85, "judge_specificity": 0.9}
    told = correction([row(0, attack_success_rate=0.9), row(1, **known, attack_success_rate_corrected=0.31)])
    assert f"85{SPACE}% [80 to 90{SPACE}%] of 9 attacks that succeeded" in told
    assert told.endswith(f"attack success is 31{SPACE}% [26 to 36{SPACE}%] on held-out combinations.")
    few = correction([row(1, judge_specificity=0.9)])
    assert "succeeded" not in few and few.endswith(f"{UNCORRECTED}.")
    assert correction([row(1, attack_success_rate=0.3)]) == correction([]) == ""


def test_telling_samples_take_every_reason_in_turn_widest_gap_first() -> None:
    samples = [
        {"round": 1, "why": "a", "p": 0.6, "gold": 0.0},
        {"round": 1, "why": "a", "p": 0.9, "gold": 0.0},
        {"round": 1, "why": "b", "p": 0.5, "gold": None},
        {"round": 2, "why": "a", "p": 0.9, "gold": 0.0},
    ]
    chosen = select_samples(samples, 3)
    assert [(each["why"], each["round"], each["p"]) for each in chosen] == [("a", 2, 0.9), ("b", 1, 0.5), ("a", 1, 0.9)]
