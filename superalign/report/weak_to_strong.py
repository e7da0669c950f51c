"""What the page of a weak-to-strong run shows: which figures, in which order, and in which words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from superalign.report.cells import (
    FORECASTS,
    PERFORMANCES,
    Cell,
    estimate_of,
    groups_of,
    heading,
    method_of,
    numbers,
    one_decimal,
    plain,
    range_of,
    reason,
    share,
    shown,
    study_of,
)
from superalign.report.comparisons import sections
from superalign.report.figures import MetricsRow, seconds
from superalign.stats.estimate import Estimate
from superalign.stats.format import number


def view(rows: Sequence[MetricsRow], config: Mapping[str, Any], summary: Mapping[str, Any] | None) -> dict[str, Any]:
    """What `weak_to_strong.html.j2` shows beside the layout: of a complete run from its summary, else its last row."""
    cells: list[Cell] = list(summary["results"] if summary else rows[-1].get("results", ()) if rows else ())
    first = _headline(cells, (summary or {}).get("headline"))
    return {
        "done": rows[-1]["round"] + 1 if rows else 0,
        "planned": config["w2s"]["seeds"],
        "seed": config["seed"],
        "tasks": ", ".join(dict.fromkeys(cell["task"] for cell in cells) or config["task"]),
        "judge": summary["judge"] if summary else "the tasks' own ground truth",
        "finding": finding(cells, first),
        "headline": first
        and {"task": first["task"], "name": method_of(first), "study": study_of(first), "tiles": _tiles(first)},
        "groups": [_table(group) for group in groups_of(cells)],
        "oracles": any(cell["oracle"] for cell in cells),
        "figures": [part for part in sections(cells, first) if part["charts"]],
        "attacked": [_attacked(cell) for cell in cells if cell.get("attacked")],
        "grades": [line for cell in cells for line in _grades(cell)],
        "everything": [_everything(cell) for cell in cells],
        "notes": _notes(cells),
    }


def finding(cells: Sequence[Cell], first: Cell | None) -> str:
    """The run in one sentence, from its figures."""
    if first is None:
        return "No split is scored yet; there is nothing to report."
    weak, student, ceiling, pgr = (estimate_of(first, name) for name in (*PERFORMANCES, "pgr"))
    if weak is None or student is None or ceiling is None:
        return "The run has no headline figures yet."
    sentence = (
        f"On {first['task']}, a supervisor of {one_decimal(weak)} trains a student of {one_decimal(student)} "
        f"(method {method_of(first)}), which the truth would have brought to {one_decimal(ceiling)}"
    )
    if pgr is None:
        return f"{sentence}: {reason(first['pgr'])}."
    sentence += f": {number(pgr.value, '%')} of the gap recovered ({range_of(pgr)})"
    known = [each for cell in cells if (each := estimate_of(cell, "pgr"))]
    if len(cells) > 1:
        above = sum(each.low > 0 for each in known)
        sentence += f"; in {above} of {len(cells)} comparisons the interval lies above 0"
    return sentence + "."


def _headline(cells: Sequence[Cell], named: Mapping[str, Any] | None) -> Cell | None:
    matching = (cell for cell in cells if named and all(cell[key] == named[key] for key in named))
    return next(matching, cells[0] if cells else None)


def _tiles(cell: Cell) -> list[dict[str, Any]]:
    weak, student, ceiling, pgr = (estimate_of(cell, name) for name in (*PERFORMANCES, "pgr"))
    tiles = []
    rows = [("rows and splits", range_of(pgr), f"n {pgr.n}")] if pgr else []
    if pgr and cell["pgr_fieller"]:
        low, high = cell["pgr_fieller"]
        rows.append(("splits alone", range_of(Estimate(pgr.value, low, high, pgr.n)), f"n {cell['seeds']}"))
    value = number(pgr.value, "%") if pgr else None
    tiles.append(_tile("Performance gap recovered", "0 % is the supervisor, 100 % the ceiling", value, rows))
    if pgr is None:
        tiles[-1]["instead"], tiles[-1]["why"] = reason(cell["pgr"]), numbers(cell["pgr"])
    if weak and student:
        rows = [("weak", range_of(weak, 1), f"n {weak.n}"), ("student", range_of(student, 1), f"n {student.n}")]
        tiles.append(_tile("Weak to strong", "supervisor → its student", one_decimal(student), rows, one_decimal(weak)))
    if ceiling:
        rows = [("interval", range_of(ceiling, 1), f"n {ceiling.n}")]
        tiles.append(_tile("Strong ceiling", "the same student trained on the truth", one_decimal(ceiling), rows))
    wrong = estimate_of(cell.get("agreement") or {}, "supervisor_wrong")
    if wrong:
        rows = [("interval", range_of(wrong), f"n {wrong.n}")]
        tiles.append(
            _tile("Errors imitated", "agreement where the supervisor is wrong", number(wrong.value, "%"), rows)
        )
    if ece := estimate_of(cell, "ece"):
        rows = [("interval", range_of(ece, 1), f"n {ece.n}")]
        tiles.append(_tile("Calibration error", "of the student, expected, 15 bins", one_decimal(ece), rows))
    hidden = cell.get("deception") or {}
    if score := estimate_of(hidden, "score"):
        rows = [("interval", range_of(score), f"n {score.n}"), ("by chance", number(hidden["base_rate"], "%"), "")]
        subtitle = "known errors the supervisor cannot see"
        tiles.append(_tile("Deception score", subtitle, number(score.value, "%"), rows))
    return tiles


def _tile(
    title: str, subtitle: str, value: str | None, rows: Sequence[tuple[str, str, str]], was: str | None = None
) -> dict[str, Any]:
    return {"title": title, "subtitle": subtitle, "value": value, "was": was, "rows": rows, "instead": "", "why": ""}


def _table(group: Sequence[Cell]) -> dict[str, Any]:
    body = [
        {
            "name": method_of(cell),
            "supervisor": "" if cell["supervisor"] == "weak" else f"errors {cell['supervisor']}",
            "oracle": cell["oracle"],
            "cells": [shown(estimate_of(cell, name), 1) for name in PERFORMANCES],
            "pgr": shown(estimate_of(cell, "pgr")),
            "instead": reason(cell["pgr"]),
            "why": numbers(cell["pgr"]),
            "auroc": shown(estimate_of(cell, "pgr_auroc")),
            "wrong": shown(estimate_of(cell.get("agreement") or {}, "supervisor_wrong")),
        }
        for cell in group
    ]
    return {
        "task": group[0]["task"],
        "study": study_of(group[0]),
        "splits": group[0]["seeds"],
        "body": body,
        **{name: any(line[name] for line in body) for name in ("auroc", "wrong")},
    }


def _attacked(cell: Cell) -> dict[str, Any]:
    under = cell["attacked"]
    return {
        "name": f"{cell['task']}, {method_of(cell)}",
        "study": study_of(cell),
        "cells": [shown(estimate_of(under, name), 1) for name in PERFORMANCES],
        "pgr": shown(estimate_of(under, "pgr")),
        "instead": reason(under["pgr"]),
        "why": numbers(under["pgr"]),
        "clean": shown(estimate_of(cell, "pgr")),
        "clean_instead": reason(cell["pgr"]),
    }


def _grades(cell: Cell) -> list[dict[str, Any]]:
    return [
        {
            "name": f"{cell['task']}, {method_of(cell)}",
            "grade": name.replace("_", " "),
            "cells": [shown(estimate_of(grade, part), 1) for part in ("weak", *PERFORMANCES[1:])],
        }
        for name, grade in (cell.get("grades") or {}).items()
    ]


def _everything(cell: Cell) -> dict[str, Any]:
    agreement, forecast = cell.get("agreement") or {}, cell.get("forecast") or {}
    probe = cell.get("saliency") or {}
    return {
        "name": f"{cell['task']}, {method_of(cell)}",
        "study": study_of(cell),
        "gain": shown(estimate_of(cell, "gain"), 1),
        "auroc": shown(estimate_of(cell, "pgr_auroc")),
        "agreement": [shown(estimate_of(agreement, part)) for part in ("all", "supervisor_right", "supervisor_wrong")],
        "ece": shown(estimate_of(cell, "ece"), 1),
        "deception": shown(estimate_of(cell.get("deception") or {}, "score")),
        "base_rate": share((cell.get("deception") or {}).get("base_rate")),
        "probe": [shown(estimate_of(probe, when), 1) for when in ("before", "after")],
        "forecast": [None if forecast.get(key) is None else plain(forecast[key]) for key, _, _ in FORECASTS],
        "seconds": seconds(cell["seconds"]),
    }


def _notes(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Every note once, with the comparisons and splits that gave it."""
    found: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        for note in cell["notes"]:
            numbered = re.match(r"split (\d+): ", note)
            text = note[numbered.end() :] if numbered else note
            splits = found.setdefault((f"{heading([cell])}, {method_of(cell)}", text), [])
            splits += [numbered[1]] if numbered and numbered[1] not in splits else []
    return [
        {"where": where, "text": text, "splits": ", ".join(splits), "several": len(splits) > 1}
        for (where, text), splits in found.items()
    ]
