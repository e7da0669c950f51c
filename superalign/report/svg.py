"""Small charts as inline SVG; colours and type come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from superalign.report.figures import Chart, Series
from superalign.stats.estimate import Estimate
from superalign.stats.format import number

LEFT = 44  # room for the values of the vertical axis
LABEL_HEIGHT = 16.0
FAR = 50.0  # a first value that must stand further from its point than this is left to the table
WIDE = 600  # below this width the names of several curves stand under the plot
CHARACTER = 5.9  # mean advance of an 11.5 px sans serif, to keep labels inside the drawing


@dataclass(frozen=True)
class Frame:
    """The plotting area and its scales."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    rounds: tuple[int, int]
    low: float
    high: float

    def x(self, round: float) -> float:
        """Horizontal place of a round."""
        first, last = self.rounds
        share = 0.5 if first == last else (round - first) / (last - first)
        return self.left + share * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        """Vertical place of a value, held inside the plot."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about `count` steps of 1, 2, 2.5 or 5."""
    raw = max(high - low, 1e-9) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def line_chart(chart: Chart, curves: Sequence[Series], width: int, height: int, rounds: tuple[int, int]) -> str:
    """Curves with interval bands, labelled at their ends; where names would crowd the plot, named below it.

    Args:
        width, height: in CSS pixels at natural size; names below the plot add to the height.
        rounds: first and last round of the horizontal axis.
    """
    ticks = _value_ticks(chart, [each for curve in curves for _, each in curve.points])
    names_below = width < WIDE and len(curves) > 1
    labels = [_end_label(curve, chart.unit, bare=names_below) for curve in curves]
    right = 18 + CHARACTER * max(len(" ".join(label)) for label in labels)
    frame = Frame(width, height, LEFT, right, 14, 30, rounds, ticks[0], ticks[-1])
    parts = [_axes(frame, ticks, chart)]
    parts += [_curve(frame, curve, index, chart, len(curves) == 1) for index, curve in enumerate(curves)]
    parts.append(_labels(frame, curves, labels))
    if names_below:
        parts += [_key(height + 20 * index + 8, index, curve, chart.unit) for index, curve in enumerate(curves)]
        height += 20 * len(curves)
    spoken = "; ".join(
        f"{curve.label or chart.title}: {number(first.value, chart.unit)} in {chart.axis} {start}, "
        f"{number(last.value, chart.unit)} in {chart.axis} {end}"
        for curve, (start, first), (end, last) in ((curve, curve.points[0], curve.points[-1]) for curve in curves)
    )
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(spoken)}">'
        f"{''.join(parts)}</svg>"
    )


def _key(y: float, index: int, curve: Series, unit: str) -> str:
    name, share, size = _end_label(curve, unit, bare=False)
    return (
        f'<g class="s{index}"><circle class="dot" cx="5" cy="{y:.1f}" r="4"/>'
        f'<text class="label" x="16" y="{y + 4:.1f}">{escape(name)} '
        f'<tspan class="value" dx="4">{share}</tspan> <tspan class="size" dx="2">{size}</tspan></text></g>'
    )


def _value_ticks(chart: Chart, found: Sequence[Estimate]) -> list[float]:
    if chart.full:
        return [0.0, 0.25, 0.5, 0.75, 1.0]
    low, high = min(each.low for each in found), max(each.high for each in found)
    if chart.unit == "%" and low > 0.5:
        return nice_ticks(math.floor(low * 10) / 10, 1.0)
    low, high = min(low, 0.0), max(high, 0.0)
    high = min(high, 1.0) if chart.unit == "%" else high
    return nice_ticks(low, max(high, low + 0.04))


def _axes(frame: Frame, ticks: Sequence[float], chart: Chart) -> str:
    end, unit = frame.width - frame.right, chart.unit
    parts = []
    for tick in ticks:
        y = frame.y(tick)
        kind = "zero" if abs(tick) < 1e-12 else "grid"
        digits = 0 if unit == "%" and all(abs(100 * t - round(100 * t)) < 1e-6 for t in ticks) else 1
        text = f"{100 * tick:.{digits}f}" if unit == "%" else f"{tick:.2g}"
        text = text.replace("-", "\N{MINUS SIGN}") + (" %" if unit == "%" and tick == ticks[-1] else "")
        parts.append(f'<line class="{kind}" x1="{frame.left:.1f}" x2="{end:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{frame.left - 6:.1f}" y="{y + 3.8:.1f}" text-anchor="end">{text}</text>')
    first, last = frame.rounds
    step = max(1, math.ceil((last - first) / max(1.0, (end - frame.left) / 26)))
    base = frame.height - frame.bottom + 16
    for turn in range(first, last + 1, step):
        text = f"{chart.axis} {turn}" if turn == first else str(turn)
        anchor = "start" if turn == first and first != last else "middle"
        x = frame.x(turn) - (3 if anchor == "start" else 0)
        if turn == first or frame.x(turn) - frame.left > 52:
            parts.append(f'<text class="tick" x="{x:.1f}" y="{base:.1f}" text-anchor="{anchor}">{text}</text>')
    return "".join(parts)


def _curve(frame: Frame, curve: Series, index: int, chart: Chart, single: bool) -> str:
    unit = chart.unit
    spots = [(frame.x(round), each, round) for round, each in curve.points]
    upper = [f"{x:.1f},{frame.y(each.high):.1f}" for x, each, _ in spots]
    lower = [f"{x:.1f},{frame.y(each.low):.1f}" for x, each, _ in reversed(spots)]
    line = " ".join(f"{x:.1f},{frame.y(each.value):.1f}" for x, each, _ in spots)
    parts = [f'<g class="s{index}">']
    if len(spots) == 1:
        x, each, _ = spots[0]
        parts.append(
            f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" '
            f'y1="{frame.y(each.low):.1f}" y2="{frame.y(each.high):.1f}"/>'
        )
    else:
        parts.append(f'<polygon class="band" points="{" ".join([*upper, *lower])}"/>')
        parts.append(f'<polyline class="line" points="{line}"/>')
    for x, each, round in spots:
        words = (
            f"{curve.label + ', ' if curve.label else ''}{chart.axis} {round}: {number(each.value, unit)} "
            f"({number(each.low, unit)} to {number(each.high, unit)}), n = {each.n}"
        )
        parts.append(
            f'<g><circle class="dot" cx="{x:.1f}" cy="{frame.y(each.value):.1f}" r="3"/>'
            f'<circle class="hit" cx="{x:.1f}" cy="{frame.y(each.value):.1f}" r="11"><title>{escape(words)}</title>'
            "</circle></g>"
        )
    if single and len(spots) > 1:
        x, each, _ = spots[0]
        y = _clear_height(frame, curve)
        if abs(y - frame.y(each.value)) < FAR:
            parts.append(f'<text class="value" x="{x:.1f}" y="{y:.1f}">{number(each.value, unit)}</text>')
    return "".join([*parts, "</g>"])


def _clear_height(frame: Frame, curve: Series) -> float:
    """Where the first value can stand without touching band or line: above them, or below if there is no room."""
    (first, before), (second, after) = curve.points[:2]
    share = min(1.0, 30.0 / max(1.0, frame.x(second) - frame.x(first)))
    upper = min(frame.y(before.high), frame.y(before.high + share * (after.high - before.high)))
    lower = max(frame.y(before.low), frame.y(before.low + share * (after.low - before.low)))
    return upper - 6 if upper - 6 > frame.top else lower + 15


def _end_label(curve: Series, unit: str, bare: bool) -> tuple[str, str, str]:
    """Name, last value and sample size; of a bare label only the value."""
    last = curve.points[-1][1]
    share = number(last.value, unit)
    return ("", share, "") if bare else (curve.label, share, f"n {last.n}" if last.n else "")


def _labels(frame: Frame, curves: Sequence[Series], labels: Sequence[tuple[str, str, str]]) -> str:
    """Names and last values right of the curves, moved apart where they would overlap."""
    wanted = [frame.y(curve.points[-1][1].value) for curve in curves]
    placed = list(wanted)
    floor = frame.height - frame.bottom + 6
    for index in sorted(range(len(curves)), key=lambda index: -wanted[index]):  # from the bottom up
        placed[index] = min(placed[index], floor - LABEL_HEIGHT / 2)
        floor = placed[index] - LABEL_HEIGHT / 2
    parts = []
    for index, (name, share, size) in enumerate(labels):
        end, y = frame.x(curves[index].points[-1][0]), placed[index]
        x = end + 12
        if abs(y - wanted[index]) > 5:
            parts.append(
                f'<line class="leader" x1="{end + 4:.1f}" y1="{wanted[index]:.1f}" x2="{x - 2:.1f}" y2="{y:.1f}"/>'
            )
        gap = 7 if name else 0
        parts.append(
            f'<text class="label s{index}" x="{x:.1f}" y="{y + 4:.1f}">{escape(name)}'
            f'<tspan class="value" dx="{gap}">{share}</tspan><tspan class="size" dx="5">{size}</tspan></text>'
        )
    return "".join(parts)


def bar_chart(values: Sequence[tuple[int, float]], cap: float | None, width: int, height: int) -> str:
    """Counts by round as bars, with a line at the cap of one round.

    Args:
        cap: the most that one round may reach; None when there is no cap.
    """
    total = sum(value for _, value in values)
    top = max([value for _, value in values] + [cap or 0.0, 1.0])
    ticks = nice_ticks(0.0, top, 3)
    rounds = (values[0][0], values[-1][0])
    frame = Frame(width, height, LEFT, 74, 14, 30, rounds, 0.0, ticks[-1])
    plot = width - LEFT - 74
    step = plot / len(values)
    parts = []
    for tick in ticks:
        y = frame.y(tick)
        kind = "zero" if tick == 0 else "grid"
        parts.append(f'<line class="{kind}" x1="{LEFT}" x2="{LEFT + plot}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 3.8:.1f}" text-anchor="end">{tick:.0f}</text>')
    every = max(1, math.ceil(len(values) / max(1.0, plot / 26)))
    for index, (round, value) in enumerate(values):
        x, y = LEFT + step * (index + 0.5), frame.y(value)
        bar = min(22.0, step * 0.62)
        parts.append(
            f'<g class="s1"><rect class="bar" x="{x - bar / 2:.1f}" y="{y:.1f}" width="{bar:.1f}" '
            f'height="{frame.y(0) - y:.1f}"><title>round {round}: {value:.0f} labels</title></rect></g>'
        )
        if index % every == 0:
            text = f"round {round}" if index == 0 and step >= 44 else str(round)
            parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 14}" text-anchor="middle">{text}</text>')
    if cap is not None:
        y = frame.y(cap)
        parts.append(f'<line class="cap" x1="{LEFT}" x2="{LEFT + plot}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="size" x="{LEFT + plot + 6}" y="{y + 4:.1f}">budget {cap:.0f}</text>')
    middle = frame.y(0) - 14
    parts.append(f'<text class="value" x="{LEFT + plot + 6}" y="{middle:.1f}">{total:.0f}</text>')
    parts.append(f'<text class="size" x="{LEFT + plot + 6}" y="{middle + 13:.1f}">in all</text>')
    spoken = f"{total:.0f} expert labels in {len(values)} rounds"
    return f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{spoken}">{"".join(parts)}</svg>'
