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
from superalign.stats.estimate import Estimate

WIDTH: Final = 344
HEIGHT: Final = 230
PGR_SPAN: Final = (-1.0, 2.0)
SERIES: Final = 3  # colours of the page
OF_STUDY: Final = ("simulatability", "overlap_density")  # forecasts that are the same for every method
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
            "note": "What could be told without ground truth, against what the student gained over its supervisor. "
            "What a study has once, whatever the method, is set against the mean gain of its methods.",
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
    lines = [plots.ReferenceLine("supervisor", weak.value)] if weak else []
    lines += [plots.ReferenceLine("ceiling", ceiling.value, dashed=True)] if ceiling else []
    marks = [plots.Mark(_marked(cell), estimate_of(cell, "weak_to_strong"), "no figure") for cell in group]
    return plots.by_row(marks, lines, WIDTH, bar_from=weak.value if weak else None, digits=1)


def _forest(group: Sequence[Cell], names: Sequence[str] | None = None) -> str:
    lines = [plots.ReferenceLine("supervisor", 0.0), plots.ReferenceLine("ceiling", 1.0, dashed=True)]
    marks = [
        plots.Mark(name, estimate_of(cell, "pgr"), brief(cell["pgr"]))
        for name, cell in zip(names or [_marked(cell) for cell in group], group, strict=True)
    ]
    return plots.by_row(marks, lines, WIDTH, span=PGR_SPAN)


def _by_gap(groups: Sequence[Sequence[Cell]]) -> list[dict[str, str]]:
    """Of tasks with several pairs of models, PGR over the gap of each; as many methods a chart as colours."""
    charts = []
    for task in dict.fromkeys(group[0]["task"] for group in groups):
        pairs = [group for group in groups if group[0]["task"] == task]
        named: dict[str, list[plots.Point]] = {}
        for cell in (cell for group in pairs for cell in group):
            if pgr := estimate_of(cell, "pgr"):
                named.setdefault(method_of(cell), []).append(plots.Point(study_of(cell), gap_of(cell), pgr))
        series = list(named.items()) if len(pairs) > 1 else []
        for start in range(0, len(series), SERIES):
            shown = series[start : start + SERIES]
            drawing = plots.scatter(shown, WIDTH, HEIGHT, "ceiling less supervisor", span=PGR_SPAN)
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
    """Of methods that look at no truth, forecasts against gains, or why they cannot be ranked."""
    from superalign.weak_to_strong.metrics.predictors import MIN_STUDIES, rank_correlation

    charts = []
    for key, title, note in FORECASTS:
        named = _paired(cells, key)
        if key in OF_STUDY:
            named = {study: [_mean_of(study, points)] for study, points in named.items()}
        points = [point for each in named.values() for point in each]
        if len(points) < 2:
            continue
        studies = [study for study, each in named.items() for _ in each]
        found = rank_correlation([p.x for p in points], [p.found.value for p in points], studies)
        if found is None:
            few = f"{len(named)} of the {MIN_STUDIES} studies that it takes" if len(named) < MIN_STUDIES else ""
            charts.append(_chart(title, "", f"{note} No rank correlation: {few or 'forecast or gain never varies'}."))
            continue
        told = f"Rank correlation with the gain {plain(found.value)} ({plain(found.low)} to {plain(found.high)})"
        drawing = plots.scatter([("", points)], WIDTH, HEIGHT, title.lower(), "")
        each = "a point each" if key in OF_STUDY else f"{len(points)} comparisons"
        charts.append(_chart(title, drawing, f"{note} {told}, n {found.n} studies, {each}."))
    return charts


def _paired(cells: Sequence[Cell], key: str) -> dict[str, list[plots.Point]]:
    """By study, a point for every comparison that has the forecast and the gain."""
    named: dict[str, list[plots.Point]] = {}
    for cell in cells:
        forecast, gain = (cell.get("forecast") or {}).get(key), estimate_of(cell, "gain")
        if forecast is not None and gain and not cell["oracle"]:
            study = f"{cell['task']}: {study_of(cell)}"
            named.setdefault(study, []).append(plots.Point(f"{method_of(cell)}, {study}", float(forecast), gain))
    return named


def _mean_of(study: str, points: Sequence[plots.Point]) -> plots.Point:
    """The mean gain of a study's methods; they are scored on the same rows, so their intervals do not narrow it."""
    value, low, high = (
        sum(getattr(point.found, end) for point in points) / len(points) for end in ("value", "low", "high")
    )
    return plots.Point(study, points[0].x, Estimate(value, low, high, points[0].found.n))
