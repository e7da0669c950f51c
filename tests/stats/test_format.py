"""Numbers and intervals as people write them."""

from __future__ import annotations

import pytest

from superalign.stats.estimate import Estimate
from superalign.stats.format import interval, number

SPACE = "\N{NARROW NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.841, "%", f"84{SPACE}%"),
        (0.026, "%", f"2.6{SPACE}%"),
        (0.03, "%", f"3{SPACE}%"),
        (0.0, "%", f"0{SPACE}%"),
        (-0.0004, "%", f"0{SPACE}%"),
        (-0.01, "%", f"\N{MINUS SIGN}1{SPACE}%"),
        (0.0996, "%", f"10{SPACE}%"),
        (1.0, "%", f"100{SPACE}%"),
        (-1.234, "", "\N{MINUS SIGN}1.23"),
    ],
)
def test_numbers_read_as_people_write_them(value: float, unit: str, text: str) -> None:
    assert number(value, unit) == text


def test_both_ends_of_an_interval_have_the_same_decimals() -> None:
    assert interval(Estimate(0.08, 0.049, 0.111, 9), "%") == f"5 to 11{SPACE}%"
    assert interval(Estimate(0.03, 0.01, 0.05, 9), "%") == f"1.0 to 5.0{SPACE}%"
