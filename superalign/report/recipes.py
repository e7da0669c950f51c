"""What the page of a recipe shows that is neither self-play nor weak-to-strong: tiles, a finding, tables, samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from superalign.report import figures, real_text
from superalign.report.experts import simulator
from superalign.report.figures import MetricsRow
from superalign.stats.estimate import Estimate
from superalign.stats.format import interval, number

TILES: Final = {
    "redteam": (
        ("attack_success_rate", "Attack success", "harmful answers: fixed attacks, then the attacker's own"),
        ("over_refusal_rate", "Over-refusal", "harmless requests that an attack made it refuse"),
        ("unique_success_rate", "Unique successes", "of all attacks of a round, near-duplicates counted once"),
    ),
    "critic": (
        ("critic_accuracy", "Accuracy", "verdicts that are right"),
        ("critic_brier", "Brier score", "mean squared error of the probabilities"),
        ("critic_ece", "Calibration error", "expected, 15 bins"),
        ("critic_sensitivity", "Sensitivity", "acceptable answers accepted"),
        ("critic_specificity", "Specificity", "unacceptable answers rejected"),
    ),
    "reward_model": (
        ("reward_accuracy", "Accuracy", "held-out pairs ranked as labelled"),
        ("reward_brier", "Brier score", "of P(chosen better), calibrated"),
        ("reward_ece", "Calibration error", "expected, 15 bins, calibrated"),
    ),
}


def unit(metric: str) -> str:
    """ "%" of what is a share, "" of a plain number."""
    tiles = {name for tiles in TILES.values() for name, *_ in tiles} - figures.PLAIN
    share = metric in figures.SHARES or metric in tiles or metric.endswith(("_rate", "_accuracy", "_ece"))
    return "%" if share or "_rate_" in metric or metric.startswith(real_text.SHARES) else ""


def like(rows: Sequence[MetricsRow], config: Mapping[str, Any]) -> str:
    """The recipe whose page a run gets: its own, or that which measures the same, as a copy does."""
    recipe = str(config["recipe"])
    if recipe == "weak_to_strong" or any("results" in row for row in rows):
        return "weak_to_strong"
    if recipe in TILES or not any("tables" in row for row in rows):
        return recipe
    measured = {name for row in rows for name in row.get("metrics", {})}
    return next((kind for kind, ((first, *_), *_) in TILES.items() if first in measured), recipe)


def view(
    kind: str, rows: Sequence[MetricsRow], config: Mapping[str, Any], summary: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What `recipe.html.j2` shows of a recipe of this kind beside the layout and the samples."""
    last: Mapping[str, Any] = summary or (rows[-1] if rows else {})
    return {
        "seed": config["seed"],
        "model": config["model"],
        "planned": config["rounds"],
        "done": rows[-1]["round"] if rows else None,
        "simulated": bool(last.get("simulated_expert")),
        "error_rate": number(config["expert"]["error_rate"], "%"),
        "simulator": simulator(config),
        "judge": last.get("judge", ""),
        "finding": last.get("finding", "No round is committed yet; there is nothing to report."),
        "headline": figures.headline(rows, TILES[kind]),
        "tables": [_shown(table) for table in last.get("tables", ())],
    }


def _shown(table: Mapping[str, Any]) -> dict[str, Any]:
    plain = bool(table.get("plain"))
    return {**table, "rows": [{**row, "cells": [_cell(c, plain) for c in row["cells"]]} for row in table["rows"]]}


def _cell(cell: Any, plain: bool) -> dict[str, Any] | None:
    """An estimate with its interval, or a word or number as it is."""
    if cell is None:
        return None
    if not isinstance(cell, dict):
        return {"value": str(cell), "interval": ""}
    unit = "" if plain else "%"
    found = Estimate(cell["value"], cell["low"], cell["high"], cell["n"])
    if plain:
        return {"value": f"{found.value:.3f}", "interval": f"{found.low:.3f} to {found.high:.3f}, n {found.n}"}
    return {"value": number(found.value, unit), "interval": f"{interval(found, unit)}, n {found.n}"}
