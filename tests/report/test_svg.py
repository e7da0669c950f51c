"""Charts as SVG."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from superalign.report.figures import ATTACKS, CHARTS, Series
from superalign.report.svg import bar_chart, line_chart, nice_ticks
from superalign.stats.estimate import Estimate


@given(st.floats(-5, 5), st.floats(1e-3, 10))
def test_ticks_enclose_the_range_and_are_few(low: float, span: float) -> None:
    ticks = nice_ticks(low, low + span)
    assert ticks[0] <= low + 1e-6 and ticks[-1] >= low + span - 1e-6
    assert 2 <= len(ticks) <= 7


unit = st.floats(0, 1)
estimates = st.tuples(unit, unit, unit, st.integers(0, 999)).map(
    lambda drawn: Estimate(sorted(drawn[:3])[1], min(drawn[:3]), max(drawn[:3]), drawn[3])
)


@given(st.lists(st.lists(estimates, min_size=1, max_size=30), min_size=1, max_size=3), st.sampled_from([350, 712]))
def test_any_curves_make_well_formed_drawings_with_a_point_per_estimate(
    drawn: list[list[Estimate]], width: int
) -> None:
    curves = [Series(f"a < {index}", tuple(enumerate(points))) for index, points in enumerate(drawn)]
    last = max(len(points) for points in drawn) - 1
    for chart in (ATTACKS, CHARTS[1]):
        root = ElementTree.fromstring(line_chart(chart, curves, width, 200, (0, last)))
        hits = [node for node in root.iter() if node.get("class") == "hit"]
        assert len(hits) == sum(len(points) for points in drawn)


def test_bars_say_their_counts_and_the_cap() -> None:
    drawing = bar_chart([(1, 12.0), (2, 8.0)], 16.0, 344, 200)
    ElementTree.fromstring(drawing)
    assert "round 2: 8 labels" in drawing and "budget 16" in drawing and 'aria-label="20 expert labels' in drawing


def test_no_labels_at_all_still_make_a_drawing() -> None:
    ElementTree.fromstring(bar_chart([(1, 0.0)], 0.0, 344, 200))
