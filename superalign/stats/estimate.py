"""A figure with its interval."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

Z = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval; `n` is the number of rows behind it."""

    value: float
    low: float
    high: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """The estimate as the JSON object of summary.json and metrics.jsonl."""
        return asdict(self)

    @property
    def variance(self) -> float:
        """The variance of the figure that the width of the interval stands for."""
        return ((self.high - self.low) / (2 * Z)) ** 2
