"""The figures of a weak-to-strong run: gains, gaps recovered, error structures, imitation, forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from superalign.report import plots
from superalign.report.cells import (
    FORECASTS,
    Cell,
    brief,
    estimate_of,
    gap_of,
    groups_of,
    heading,
    method_of,
    plain,
    study_of,
)

WIDTH: Final = 344
HEIGHT: Final = 230
PGR_SPAN: Final = (-1.0, 2.0)
SERIES: Final = 3  # colours of the page
CURVES: Final = (
    ("right", "Agrees where the supervisor is right"),
    ("wrong", "Agrees where it is wrong"),
    ("accuracy", "Accuracy"),
)


def sections(cells: Sequence[Cell], first: Cell | None) -> list[dict[str, Any]]:
    """Charts by section, each with its title, note and drawing; a section may be empty.

    Args:
        cells: every comparison.
        first: the headline's, whose study is followed over training.
    """
    groups = groups_of(cells)
    real = [[cell for cell in group if cell["supervisor"] == group[0]["supervisor"]] for group in groups]
    return [
        {
            "title": "How far the students come",
            "note": "Each bar starts at the supervisor; the ceiling is what the truth would have given.",
            "charts": [_chart(heading(group), _bars(group)) for group in real],
        },
        {
            "title": "Performance gap recovered",
            "note": "0 % is the supervisor, 100 % the ceiling. Lines are 95 % intervals; an arrow: it goes on.",
            "charts": [_chart(heading(group), _forest(group)) for group in real] + _by_gap(real),
        },
        {
            "title": "What the supervisor's errors look like",
            "note": "Gap recovered from supervisors of one accuracy whose errors lie in different places.",
            "charts": _structures(groups),
        },
        {
            "title": "Imitation over training",
            "note": "A student that comes to agree where the supervisor is wrong learns its errors.",
            "charts": _imitation(cells, first),
        },
        {
            "title": "Forecast and realised gain",
            "note": "What could be told without ground truth, against what the student gained over its supervisor.",
            "charts": _forecasts(cells),
        },
    ]


def _chart(title: str, drawing: str, note: str = "") -> dict[str, str]:
    return {"title": title, "note": note, "drawing": drawing}


def _marked(cell: Cell) -> str:
    """The method, and that it is an oracle where its name does not say so."""
    name = method_of(cell)
    return f"{name} (oracle)" if cell["oracle"] and "oracle" not in name else name


def _bars(group: Sequence[Cell]) -> str:
    weak, ceiling = (estimate_of(group[0], name) for name in ("weak_performance", "strong_ceiling"))
    lines = [plots.Line("supervisor", weak.value)] if weak else []
    lines += [plots.Line("ceiling", ceiling.value, dashed=True)] if ceiling else []
    marks = [plots.Mark(_marked(cell), estimate_of(cell, "weak_to_strong"), "no figure") for cell in group]
    return plots.by_row(marks, lines, WIDTH, bar_from=weak.value if weak else None, digits=1)


def _forest(group: Sequence[Cell], names: Sequence[str] | None = None) -> str:
    lines = [plots.Line("supervisor", 0.0), plots.Line("ceiling", 1.0, dashed=True)]
    marks = [
        plots.Mark(name, estimate_of(cell, "pgr"), brief(cell["pgr"]))
        for name, cell in zip(names or [_marked(cell) for cell in group], group, strict=True)
    ]
    return plots.by_row(marks, lines, WIDTH, span=PGR_SPAN)


def _by_gap(groups: Sequence[Sequence[Cell]]) -> list[dict[str, str]]:
    """Of tasks with several pairs of models, PGR over the gap of each pair; the first methods alone, for legibility."""
    charts = []
    for task in dict.fromkeys(group[0]["task"] for group in groups):
        pairs = [group for group in groups if group[0]["task"] == task]
        named: dict[str, list[plots.Point]] = {}
        for cell in (cell for group in pairs for cell in group):
            if pgr := estimate_of(cell, "pgr"):
                named.setdefault(method_of(cell), []).append(plots.Point(study_of(cell), gap_of(cell), pgr))
        if len(pairs) > 1 and named:
            drawing = plots.scatter(
                list(named.items())[:SERIES], WIDTH, HEIGHT, "ceiling less supervisor", span=PGR_SPAN
            )
            charts.append(_chart(f"{task}, by gap", drawing, "A point for each pair of models."))
    return charts


def _structures(groups: Sequence[Sequence[Cell]]) -> list[dict[str, str]]:
    charts = []
    for group in groups:
        for method in dict.fromkeys(method_of(cell) for cell in group):
            chosen = [cell for cell in group if method_of(cell) == method]
            if len(chosen) > 1:
                names = [str(cell["supervisor"]) for cell in chosen]
                charts.append(_chart(method, _forest(chosen, names), heading(group)))
    return charts


def _imitation(cells: Sequence[Cell], first: Cell | None) -> list[dict[str, str]]:
    """Of the headline's study, one chart for each method."""
    charts = []
    for cell in cells:
        curve = cell.get("curve")
        if first and curve and all(cell[key] == first[key] for key in ("task", "weak", "strong", "supervisor")):
            drawn = [plots.Curve(words, curve["progress"], curve[name]) for name, words in CURVES if curve.get(name)]
            charts += [_chart(method_of(cell), plots.over_training(drawn, WIDTH, HEIGHT - 30))] if drawn else []
    return charts


def _forecasts(cells: Sequence[Cell]) -> list[dict[str, str]]:
    from superalign.weak_to_strong.forecasts import rank_correlation

    charts = []
    for key, title, note in FORECASTS:
        pairs = [
            (float(cell["forecast"][key]), gain, cell)
            for cell in cells
            if (cell.get("forecast") or {}).get(key) is not None and (gain := estimate_of(cell, "gain"))
        ]
        found = rank_correlation([x for x, _, _ in pairs], [gain.value for _, gain, _ in pairs])
        if found:
            points = [plots.Point(f"{method_of(cell)}, {heading([cell])}", x, gain) for x, gain, cell in pairs]
            told = f"Rank correlation with the gain {plain(found.value)} ({plain(found.low)} to {plain(found.high)})"
            drawing = plots.scatter([("", points)], WIDTH, HEIGHT, title.lower(), "")
            charts.append(_chart(title, drawing, f"{note} {told}, n {found.n} comparisons."))
    return charts
