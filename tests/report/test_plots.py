"""Drawings of a report, from any figures."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.report import plots
from superalign.report.page import write
from superalign.stats.estimate import Estimate
from tests.report.weak_to_strong_rows import (
    METHODS,
    cell,
    write_fixture,
)

numbers = st.floats(-20, 20)
estimates = st.tuples(numbers, numbers, numbers).map(sorted).map(lambda ends: Estimate(ends[1], ends[0], ends[2], 9))
marks = st.lists(st.one_of(st.none(), estimates), min_size=1, max_size=8)


@given(marks, st.sampled_from([None, 0.3]), st.sampled_from([None, 1]))
def test_any_rows_make_a_well_formed_drawing(
    found: list[Estimate | None], start: float | None, digits: int | None
) -> None:
    rows = [plots.Mark(f"row <{index}>", each, "no gap") for index, each in enumerate(found)]
    lines = [plots.ReferenceLine("supervisor", 0.0), plots.ReferenceLine("ceiling", 1.0, dashed=True)]
    root = ElementTree.fromstring(plots.by_row(rows, lines, 344, start, (-1.0, 2.0), digits))
    hits = [node for node in root.iter() if node.get("class") == "hit"]
    assert len(hits) == sum(each is not None for each in found)


@given(st.lists(st.tuples(st.floats(0, 1), estimates), min_size=1, max_size=9))
def test_any_points_make_a_well_formed_drawing(drawn: list[tuple[float, Estimate]]) -> None:
    points = [plots.Point("a & b", x, each) for x, each in drawn]
    ElementTree.fromstring(plots.scatter([("one", points), ("two", points)], 344, 230, "gap"))


@pytest.mark.parametrize(
    ("low", "high", "tips"), [(-3.0, 0.5, ["186"]), (0.0, 5.0, ["12"]), (-3.0, 5.0, ["186", "12"]), (0.0, 1.0, [])]
)
def test_a_point_whose_interval_goes_on_beyond_the_axis_has_an_arrow_there(
    low: float, high: float, tips: list[str]
) -> None:
    near, far = (
        plots.Point("near", 0.1, Estimate(0.5, -1.0, 2.0, 9)),
        plots.Point("far", 0.2, Estimate(0.4, low, high, 9)),
    )
    drawing = plots.scatter([("naive", [near, far])], 344, 230, "gap", span=(-1.0, 2.0))
    assert re.findall(r'class="arrow" d="M[^L]*L[\d.]+,(\d+)\.0 ', drawing) == tips


def test_every_method_is_shown_by_gap_and_named(tmp_path: Path) -> None:
    methods = METHODS[:4]
    cells = [
        cell("digits", method, 0.88, strong=strong, ceiling=top)
        for strong, top in (("centroids:300", 0.99), ("centroids:30", 0.93))
        for method in methods
    ]
    text = write(write_fixture(tmp_path, cells)).read_text()
    shown = re.findall(r"<b>digits, by gap</b>.*?</figure>", text, re.DOTALL)
    assert [re.findall(r'class="label"[^>]*>(\w+) ', each) for each in shown] == [list(methods[:3]), [methods[3]]]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_any_training_makes_a_well_formed_drawing(values: list[float]) -> None:
    progress = [(index + 1) / len(values) for index in range(len(values))]
    ElementTree.fromstring(plots.over_training([plots.Curve("right", progress, values)], 344, 200))
