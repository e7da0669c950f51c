"""Charts of methods side by side, as inline SVG: intervals by row, curves over training, scatter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from superalign.report.svg import CHARACTER, LEFT, nice_ticks
from superalign.stats.estimate import Estimate
from superalign.stats.format import MINUS, number

ROW = 28.0
KEY = 20.0
LETTER = 6.6  # advance of a 12 px sans serif at its widest
WIDEST_NAME = 0.42  # of the drawing; longer names are cut
VALUES = 56.0  # room for the values at the right
AXIS = 28.0


@dataclass(frozen=True)
class ReferenceLine:
    """A vertical line that rows are read against; its name stands above the plot."""

    name: str
    value: float
    dashed: bool = False


@dataclass(frozen=True)
class Mark:
    """One row: an estimate, or words in its place."""

    name: str
    found: Estimate | None
    words: str = ""


@dataclass(frozen=True)
class Curve:
    """Shares at shares of progress."""

    name: str
    progress: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True)
class Point:
    """A place in a scatter; `name` is told when one points at it."""

    name: str
    x: float
    found: Estimate


@dataclass(frozen=True)
class PlanePoint:
    """A place in a plane of two shares, each with its interval."""

    name: str
    x: Estimate
    y: Estimate


@dataclass(frozen=True)
class Scale:
    """A stretch of the drawing that stands for a range of values; values beyond are held at its ends."""

    ticks: Sequence[float]
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where the value lies, in pixels."""
        low, high = self.ticks[0], self.ticks[-1]
        return self.start + (min(max(value, low), high) - low) / (high - low) * (self.end - self.start)


def by_row(
    marks: Sequence[Mark],
    lines: Sequence[ReferenceLine],
    width: int,
    bar_from: float | None = None,
    span: tuple[float, float] = (0.0, 1.0),
    digits: int | None = None,
) -> str:
    """Shares with their intervals, one mark a row, against vertical lines.

    Args:
        width: in CSS pixels at natural size.
        bar_from: where bars start; None for dots alone.
        span: the axis stays within; an interval that reaches further ends in an arrow.
        digits: of the values at the right; if given, lines are named with their values.
    """
    left = min(max(len(mark.name) for mark in marks) * LETTER + 14, WIDEST_NAME * width)
    top = 14.0 * len(lines) + 6
    base = top + ROW * len(marks)
    ends = [line.value for line in lines]
    ends += [end for mark in marks if mark.found for end in (mark.found.low, mark.found.high)]
    ticks = nice_ticks(max(min(ends), span[0]), min(max(*ends, min(ends) + 0.01), span[1]), 3)
    scale = Scale(ticks, left, width - VALUES)
    parts = [_line("grid", scale(tick), top, scale(tick), base) for tick in ticks]
    parts += [_text("tick", scale(tick), base + 16, _percent(tick, ticks)) for tick in ticks]
    for index, line in enumerate(lines):
        label = line.name if digits is None else f"{line.name} {number(line.value, '%', digits)}"
        y = 11 + 14.0 * index
        half = len(label) * CHARACTER / 2
        parts.append(_line("cap" if line.dashed else "zero", scale(line.value), y + 4, scale(line.value), base))
        parts.append(_text("size", min(max(scale(line.value), half), width - half), y, label))
    for index, mark in enumerate(marks):
        y = top + ROW * (index + 0.5)
        parts.append(_text("name", left - 10, y + 4, _cut(mark.name, left - 10), "end", mark.name))
        if mark.found is None:
            parts.append(_text("size", scale(max(ticks[0], 0.0)) + 8, y + 4, mark.words, "start"))
            continue
        parts.append(_interval(mark.found, scale, y, bar_from, f"{mark.name}: {_words(mark.found)}"))
        parts.append(_text("value", width - 2, y + 4, number(mark.found.value, "%", digits), "end"))
    spoken = "; ".join(f"{mark.name}: {number(mark.found.value, '%') if mark.found else mark.words}" for mark in marks)
    return _svg(width, base + AXIS, spoken, parts)


def over_training(curves: Sequence[Curve], width: int, height: int) -> str:
    """Shares from 0 to 100 % over a training, from its start to its end; names and last values stand below."""
    across, up = Scale((0.0, 1.0), LEFT, width - 12), Scale((0.0, 1.0), height - AXIS, 12)
    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_line("grid" if tick else "zero", LEFT, up(tick), width - 12, up(tick)))
        parts.append(_text("tick", LEFT - 6, up(tick) + 4, _percent(tick, (0, 1)), "end"))
    parts.append(_text("tick", LEFT, height - 12, "start", "start"))
    parts.append(_text("tick", width - 12, height - 12, "end of training", "end"))
    for index, curve in enumerate(curves):
        spots = [(across(x), up(y)) for x, y in zip(curve.progress, curve.values, strict=True)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(f'<g class="s{index}"><polyline class="line" points="{line}"/>')
        for (x, y), progress, value in zip(spots, curve.progress, curve.values, strict=True):
            words = f"{curve.name}, after {number(progress, '%', 0)} of training: {number(value, '%')}"
            parts.append(_dot(x, y, words, radius=2.5))
        parts.append("</g>" + _key(height + KEY * (index + 0.5), index, curve.name, number(curve.values[-1], "%")))
    ends = [(curve.name, number(curve.values[0], "%"), number(curve.values[-1], "%")) for curve in curves]
    spoken = "; ".join(f"{name}: {first} at first, {last} at last" for name, first, last in ends)
    return _svg(width, height + KEY * len(curves), spoken, parts)


def scatter(
    series: Sequence[tuple[str, Sequence[Point]]],
    width: int,
    height: int,
    x_name: str,
    x_unit: str = "%",
    span: tuple[float, float] = (-1.0, 1.0),
) -> str:
    """Shares with their intervals over another figure; series are told apart by colour and named below.

    Args:
        x_name: the words under the horizontal axis.
        x_unit: "%" for shares, "" for plain numbers.
        span: the vertical axis stays within; an interval that reaches further ends in an arrow.
    """
    points = [point for _, each in series for point in each]
    xs = [point.x for point in points]
    low, high = min(point.found.low for point in points), max(point.found.high for point in points)
    y_ticks = nice_ticks(max(min(low, 0.0), span[0]), max(min(high, span[1]), 0.04), 4)
    x_ticks = nice_ticks(min(xs), max([*xs, min(xs) + 0.01]), 3)
    across, up = Scale(x_ticks, LEFT + 8, width - 22), Scale(y_ticks, height - AXIS - 16, 12)
    parts = []
    for tick in y_ticks:
        parts.append(_line("zero" if abs(tick) < 1e-12 else "grid", LEFT, up(tick), width - 12, up(tick)))
        parts.append(_text("tick", LEFT - 6, up(tick) + 4, _percent(tick, y_ticks), "end"))
    for tick in x_ticks:
        text = _percent(tick, x_ticks) if x_unit == "%" else f"{tick:.3g}".replace("-", MINUS)
        parts.append(_text("tick", across(tick), height - AXIS, text))
    parts.append(_text("size", width - 12, height - 8, x_name, "end"))
    named = any(name for name, _ in series)
    for index, (name, each) in enumerate(series):
        parts.append(f'<g class="s{index if named else 1}">')
        for point in each:
            x, y = across(point.x), up(point.found.value)
            parts.append(_line("whisker", x, up(point.found.low), x, up(point.found.high)))
            for end, way in _beyond(point.found, up):
                parts.append(_arrow(f"M{x - 4:.1f},{end + 5 * way:.1f} L{x:.1f},{end:.1f} l4,{5 * way}"))
            parts.append(_dot(x, y, f"{point.name}: {number(point.x, x_unit)}, {_words(point.found)}"))
        parts.append("</g>" + (_key(height + KEY * (index + 0.5), index, name, "") if named else ""))
    spoken = "; ".join(f"{p.name}: {number(p.x, x_unit)}, {number(p.found.value, '%')}" for p in points)
    return _svg(width, height + (KEY * len(series) if named else 0), spoken, parts)


def plane(
    points: Sequence[PlanePoint], limit: Sequence[tuple[float, float]], width: int, height: int, x_name: str
) -> str:
    """Two shares against each other, with a curve that points are read beside; the diagonal is where both are equal.

    Args:
        points: at most as many as the page has colours; named below.
        limit: the curve, empty where there is none.
        width, height: in CSS pixels at natural size, without the names.
        x_name: the words under the horizontal axis.
    """
    ticks = nice_ticks(min(0.0, *(each.value for point in points for each in (point.x, point.y))), 1.0, 4)
    across, up = Scale(ticks, LEFT, width - 22), Scale(ticks, height - AXIS - 16, 12)
    parts = []
    for tick in ticks:
        kind, x, y = "zero" if abs(tick) < 1e-12 else "grid", across(tick), up(tick)
        parts += [_line(kind, LEFT, y, width - 22, y), _line(kind, x, up.end, x, up.start)]
        parts.append(_text("tick", LEFT - 6, y + 4, _percent(tick, ticks), "end"))
        parts.append(_text("tick", x, height - AXIS, _percent(tick, ticks)))
    parts.append(_line("cap", across.start, up.start, across(1.0), up(1.0)))
    parts.append(_text("size", width - 16, height - 8, x_name, "end"))
    if limit:
        line = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in limit)
        parts.append(f'<g class="s3"><polyline class="line" points="{line}"/></g>')
    for index, point in enumerate(points):
        x, y = across(point.x.value), up(point.y.value)
        parts.append(f'<g class="s{index}">')
        parts.append(_line("whisker", across(point.x.low), y, across(point.x.high), y))
        parts.append(_line("whisker", x, up(point.y.low), x, up(point.y.high)))
        words = f"{point.name}: {_words(point.y)} against {_words(point.x)}"
        parts.append(_dot(x, y, words) + "</g>" + _key(height + KEY * (index + 0.5), index, point.name, ""))
    spoken = "; ".join(f"{p.name}: {number(p.y.value, '%')} against {number(p.x.value, '%')}" for p in points)
    return _svg(width, height + KEY * len(points), spoken, parts)


def _interval(found: Estimate, scale: Scale, y: float, bar_from: float | None, words: str) -> str:
    start, end = scale(found.low), scale(found.high)
    parts = ['<g class="s1">']
    if bar_from is not None:
        edges = sorted((scale(bar_from), scale(found.value)))
        parts.append(
            f'<rect class="bar" x="{edges[0]:.1f}" y="{y - 7:.1f}" width="{edges[1] - edges[0]:.1f}" height="14"/>'
        )
    parts.append(_line("whisker", start, y, end, y))
    for x, way in _beyond(found, scale):
        parts.append(_arrow(f"M{x + 5 * way:.1f},{y - 4:.1f} L{x:.1f},{y:.1f} l{5 * way},4"))
    return "".join([*parts, _dot(scale(found.value), y, words), "</g>"])


def _beyond(found: Estimate, scale: Scale) -> list[tuple[float, int]]:
    """The ends of the scale that the interval reaches beyond, and which way leads back in."""
    ends = ((found.low < scale.ticks[0], scale.start), (found.high > scale.ticks[-1], scale.end))
    inward = 1 if scale.end > scale.start else -1
    return [(place, way * inward) for (beyond, place), way in zip(ends, (1, -1), strict=True) if beyond]


def _arrow(path: str) -> str:
    return f'<path class="arrow" d="{path}"/>'


def _dot(x: float, y: float, words: str, radius: float = 4) -> str:
    return (
        f'<g><circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'
        f'<circle class="hit" cx="{x:.1f}" cy="{y:.1f}" r="11"><title>{escape(words)}</title></circle></g>'
    )


def _words(found: Estimate) -> str:
    return f"{number(found.value, '%')} ({number(found.low, '%')} to {number(found.high, '%')}), n = {found.n}"


def _key(y: float, index: int, name: str, value: str) -> str:
    return (
        f'<g class="s{index}"><circle class="dot" cx="5" cy="{y:.1f}" r="4"/><text class="label" x="16" '
        f'y="{y + 4:.1f}">{escape(name)} <tspan class="value" dx="4">{value}</tspan></text></g>'
    )


def _percent(value: float, ticks: Sequence[float]) -> str:
    whole = all(abs(100 * tick - round(100 * tick)) < 1e-6 for tick in ticks)
    text = f"{100 * value:.{0 if whole else 1}f}".replace("-", MINUS)
    return text + (" %" if value == ticks[-1] else "")


def _cut(name: str, room: float) -> str:
    fits = int(room / LETTER)
    return name if len(name) <= fits else name[: fits - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>'


def _text(kind: str, x: float, y: float, words: str, anchor: str = "middle", whole: str = "") -> str:
    told = f"<title>{escape(whole)}</title>" if whole != words and whole else ""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}{told}</text>'


def _svg(width: float, height: float, spoken: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(spoken)}">'
        f"{''.join(parts)}</svg>"
    )
