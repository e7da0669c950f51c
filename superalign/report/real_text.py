"""What the page and the terminal show of an evaluation on real text: requests, capability, the change since round 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from superalign.report import figures, plots
from superalign.report.figures import MetricsRow
from superalign.stats.estimate import Estimate
from superalign.stats.format import PERCENT, interval, number

SHARES: Final = ("compliance_", "accuracy_", "judge_complies_", "judge_refusal_agreement")
"""How the names of those of these figures begin that are shares."""
LIMIT: Final = "limit_curve"
"""What a row has of `limit_curve` (evaluation/real_text) on the first learner's own states, if they were read."""
WIDTH, HEIGHT = 350, 330
POINTS: Final = 3  # colours of the page, but for the curve's
ALL: Final = "all"
KINDS: Final = {"harmful": "harmful", "benign": "harmless"}


@dataclass(frozen=True)
class Line:
    """A figure before any training and as it was measured last.

    Attributes:
        name: for people.
        metric: its name in rows.
        unit: "%" of a share, "" of a perplexity.
        before, after: `after` is None where only one was measured.
        change: paired; of a perplexity the ratio.
        corrected: before and after, for the judge's errors.
        judge: its sensitivity and specificity on people's labels of compliance.
    """

    name: str
    metric: str
    unit: str
    before: Estimate | None
    after: Estimate | None
    change: Estimate | None
    corrected: tuple[Estimate | None, Estimate | None] = (None, None)
    judge: tuple[Estimate | None, Estimate | None] = (None, None)


def lines(rows: Sequence[MetricsRow], config: Mapping[str, Any]) -> list[Line]:
    """Every figure that was measured, requests first, in the order of the settings."""
    e = config["evaluation"]
    found: list[Line] = []
    for name in [*e.get("requests", ()), ALL]:
        for kind, word in KINDS.items():
            metric = f"compliance_{name}_{kind}"
            corrected = _ends(rows, f"{metric}_corrected")
            judge = (_last(rows, f"judge_complies_{which}_{kind}") for which in ("sensitivity", "specificity"))
            title = f"{'all sets' if name == ALL else _words(name)}, {word}"
            change = _last(rows, f"{metric}_change")
            found.append(Line(title, metric, "%", *_ends(rows, metric), change, corrected, (next(judge), next(judge))))
    for setting, figure, unit, since in (("choices", "accuracy", "%", "change"), ("texts", "perplexity", "", "ratio")):
        for name in e.get(setting, ()):
            metric = f"{figure}_{name}"
            change = _last(rows, f"{metric}_{since}")
            found.append(Line(f"{_words(name)}, {figure}", metric, unit, *_ends(rows, metric), change))
    return [line for line in found if line.before]


def view(rows: Sequence[MetricsRow], config: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `real_text.html.j2` shows; None where nothing was measured."""
    found = lines(rows, config)
    if not found:
        return None
    requests = [line for line in found if line.metric.startswith("compliance_")]
    capability = [line for line in found if line not in requests]
    return {
        "requests": [{"name": line.name, "cells": [*_cells(line), *_judged(line)]} for line in requests],
        "capability": [{"name": line.name, "cells": _cells(line)} for line in capability],
        "agreement": _agreement(rows),
        "plane": _plane(rows, requests),
    }


def told_change(line: Line) -> str:
    """The change of a figure with its interval, in words that fit into a table."""
    if line.change is None:
        return ""
    if line.unit:
        return f"{_points(line.change.value)} points [{_points(line.change.low)} to {_points(line.change.high)}]"
    return f"x {line.change.value:.3f} [{line.change.low:.3f} to {line.change.high:.3f}]"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _points(value: float) -> str:
    return number(value, "%", 1).removesuffix(PERCENT)


def _last(rows: Sequence[MetricsRow], metric: str) -> Estimate | None:
    return next((found for row in reversed(rows) if (found := figures.estimate(row, metric))), None)


def _ends(rows: Sequence[MetricsRow], metric: str) -> tuple[Estimate | None, Estimate | None]:
    """The first and the last measurement; of one alone only the first."""
    measured = [found for row in rows if (found := figures.estimate(row, metric))]
    return measured[0] if measured else None, measured[-1] if len(measured) > 1 else None


def _cells(line: Line) -> list[dict[str, str] | None]:
    """Before, after and change."""
    change = None
    if line.change is not None:
        value, _, range = told_change(line).partition(" [")
        change = {"value": value, "interval": range.removesuffix("]")}
    return [_cell(line.before, line.unit), _cell(line.after, line.unit), change]


def _judged(line: Line) -> list[dict[str, str] | None]:
    """Corrected for the judge's errors, and how large these are."""
    return [_cell(line.corrected[0], "%"), _cell(line.corrected[1], "%"), *(_cell(each, "%") for each in line.judge)]


def _cell(found: Estimate | None, unit: str) -> dict[str, str] | None:
    if found is None:
        return None
    return {"value": number(found.value, unit), "interval": f"{interval(found, unit)}, n {found.n}"}


def _agreement(rows: Sequence[MetricsRow]) -> str:
    """How far the judge agrees with the telling of refusals by their words, in a sentence."""
    share, kappa = _last(rows, "judge_refusal_agreement"), _last(rows, "judge_refusal_kappa")
    if share is None:
        return ""
    chance = f", Cohen's kappa {number(kappa.value, '')} ({interval(kappa, '')})" if kappa else ""
    return (
        f"The judge and the telling of refusals by their words agree on {number(share.value, '%')} "
        f"({interval(share, '%')}) of {share.n} answers{chance}."
    )


def _plane(rows: Sequence[MetricsRow], requests: Sequence[Line]) -> dict[str, Any] | None:
    """Falls of compliance with harmful requests over falls with harmless ones, by set; None without a set of both."""
    by_metric = {line.metric: line for line in requests}
    names = [line.metric.removeprefix("compliance_").removesuffix("_harmful") for line in requests]
    points = []
    for name in names:
        harmful, benign = (by_metric.get(f"compliance_{name}_{kind}") for kind in KINDS)
        if harmful and benign and harmful.change and benign.change:
            title = "all sets" if name == ALL else _words(name)
            points.append(plots.PlanePoint(title, _fall(benign.change), _fall(harmful.change)))
    if not points:
        return None
    curve = next(([(float(x), float(y)) for x, y in row[LIMIT]] for row in reversed(rows) if row.get(LIMIT)), [])
    shown = points[-POINTS:]  # all sets together come last
    drawing = plots.plane(shown, curve, WIDTH, HEIGHT, "fall in compliance with harmless requests")
    return {"drawing": drawing, "limit": bool(curve)}


def _fall(change: Estimate) -> Estimate:
    return Estimate(-change.value, -change.high, -change.low, change.n)
