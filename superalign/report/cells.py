"""Reading and naming the comparisons of a weak-to-strong run; a cell is one of task, models, supervisor and method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from superalign.report.figures import estimate
from superalign.stats.estimate import Estimate
from superalign.stats.format import MINUS, PERCENT, number

PERFORMANCES: Final = ("weak_performance", "weak_to_strong", "strong_ceiling")
FORECASTS: Final = (
    ("misfit", "Misfit", "How far the student ends from its supervisor."),
    ("simulatability", "Simulatability of errors", "How well the student's features tell the supervisor's errors."),
    ("overlap_density", "Overlap density", "Share of rows with both easy and hard patterns."),
)
Cell = Mapping[str, Any]


def groups_of(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells of one task and one pair of models, task by task; in a group the real supervisor comes first."""
    tasks = list(dict.fromkeys(cell["task"] for cell in cells))
    found: dict[tuple[str, ...], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: (tasks.index(cell["task"]), cell["supervisor"] != "weak")):
        found.setdefault((cell["task"], cell["weak"], cell["strong"]), []).append(cell)
    return list(found.values())


def estimate_of(cell: Cell, name: str) -> Estimate | None:
    """The figure of that name with its interval; None where there is none."""
    return estimate({"metrics": cell}, name)


def method_of(cell: Cell) -> str:
    """The method, with the transforms of the labels where the user asked for some."""
    own = str(cell["method"]).replace("_", " ")
    return f"{own} · {cell['labels']}" if cell["labels"] and cell["labels"] != cell["method"] else own


def study_of(cell: Cell) -> str:
    """Supervisor and student, and how errors were placed where they are not the supervisor's own."""
    errors = "" if cell["supervisor"] == "weak" else f", errors {cell['supervisor']}"
    return f"{cell['weak']} → {cell['strong']}{errors}"


def heading(group: Sequence[Cell]) -> str:
    """Task and models of comparisons that share them."""
    return f"{group[0]['task']}: {group[0]['weak']} → {group[0]['strong']}"


def gap_of(cell: Cell) -> float:
    """Ceiling less supervisor."""
    return float(cell["strong_ceiling"]["value"]) - float(cell["weak_performance"]["value"])


def reason(pgr: Mapping[str, Any]) -> str:
    """Why there is no PGR, without its numbers."""
    return str(pgr.get("reason") or "not measured").partition(" (")[0]


def brief(pgr: Mapping[str, Any]) -> str:
    """The same in few words."""
    said = reason(pgr).partition(":")[0]
    return "ceiling below supervisor" if said.startswith("the strong model is worse") else said


def numbers(pgr: Mapping[str, Any]) -> str:
    """The numbers behind it."""
    return str(pgr.get("reason") or "").partition(" (")[2].removesuffix(")").replace("-", MINUS)


def shown(found: Estimate | None, digits: int | None = None) -> dict[str, Any] | None:
    """A figure in words for a table."""
    if found is None:
        return None
    return {"value": number(found.value, "%", digits), "interval": range_of(found, digits or 0), "n": found.n}


def one_decimal(found: Estimate) -> str:
    """The figure itself."""
    return number(found.value, "%", 1)


def share(value: float | None) -> str | None:
    """A share without an interval."""
    return None if value is None else number(value, "%", 1)


def range_of(found: Estimate, digits: int = 0) -> str:
    """The interval in words."""
    return f"{number(found.low, '%', digits).removesuffix(PERCENT)} to {number(found.high, '%', digits)}"


def plain(value: float) -> str:
    """A plain number."""
    return f"{value:.2f}".replace("-", MINUS)
