"""Numbers and intervals as a reader wants them."""

from __future__ import annotations

from typing import Final

from superalign.stats.estimate import Estimate

MINUS: Final = "\N{MINUS SIGN}"

PERCENT: Final = "\N{NARROW NO-BREAK SPACE}%"


def number(value: float, unit: str, digits: int | None = None) -> str:
    """A value as a reader wants it: whole percents, one decimal below ten; two decimals for plain numbers."""
    if unit != "%":
        return f"{value:.2f}".replace("-", MINUS)
    percent = 100 * value
    if digits is None:
        digits = 0 if abs(percent) >= 9.95 or abs(percent - round(percent)) < 0.05 else 1
    return f"{round(percent, digits) + 0.0:.{digits}f}".replace("-", MINUS) + PERCENT


def interval(found: Estimate, unit: str) -> str:
    """The interval in words that fit under a figure."""
    digits = 0 if max(abs(found.low), abs(found.high)) >= 0.0995 else 1
    return f"{number(found.low, unit, digits).removesuffix(PERCENT)} to {number(found.high, unit, digits)}"
