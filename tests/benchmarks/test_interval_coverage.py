"""Intervals cover what they are of, in every situation of the benchmark, as far as some of its draws can tell."""

from __future__ import annotations

import interval_coverage
import pytest
from interval_coverage import CELLS, Cell, measured

from superalign.stats.estimate import Estimate


@pytest.mark.parametrize("cells", CELLS, ids=lambda cells: cells.__name__)
def test_no_interval_covers_surely_less_than_93_percent(cells: interval_coverage.Cells) -> None:
    found = [measured(cell, 0.05 if cells is interval_coverage.corrected else 0.1) for cell in cells()]
    assert [each.name for each in found if each.coverage + each.error < interval_coverage.LEAST] == []


def test_an_interval_that_is_too_narrow_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow = Cell("narrow", 0.5, 100, lambda number: Estimate(0.5, 0.49 + 0.0002 * number, 0.51, 10))
    monkeypatch.setattr(interval_coverage, "CELLS", (lambda: iter([narrow]),))
    assert interval_coverage.main(1.0) == 1
    assert "| narrow | 100 | 51.0" in capsys.readouterr().out
