"""The spread of means over rows of several splits, where splits differ and may test the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from superalign.stats.intervals import cluster_codes
from superalign.weak_to_strong.base import Floats


@dataclass(frozen=True, slots=True)
class Spread:
    """How far a pooled mean may be from the truth.

    Attributes:
        variance: of the mean.
        t: standard errors that reach 95 %.
    """

    variance: float
    t: float

    @property
    def half(self) -> float:
        """Half the width of the symmetric 95 % interval."""
        return self.t * float(np.sqrt(self.variance))


class TwoWay:
    """Means of k scores over rows that are crossed with, or nested in, splits.

    Their variance is that of two-way clustering (Cameron, Gelbach & Miller 2011): what splits add beyond their rows
    (tau^2), and the groups of rows, each of which counts once for all splits that test it. One split cannot tell tau^2,
    so its intervals are of its rows alone.

    Args:
        tables: per split, shape (n, k).
        clusters: per split the group of each row.

    Raises:
        ValueError: no split, an empty one, or not one group per row.
    """

    def __init__(self, tables: Sequence[Floats], clusters: Sequence[ArrayLike]) -> None:
        if not tables or not all(len(table) for table in tables):
            raise ValueError("an estimate needs at least one row of every split")
        sizes = np.array([len(table) for table in tables])
        if [np.size(groups) for groups in clusters] != sizes.tolist():
            raise ValueError(f"rows {sizes.tolist()} but groups {[np.size(groups) for groups in clusters]}")
        self.means = np.array([table.mean(0) for table in tables])
        self.weights = sizes / sizes.sum()
        self.pooled: Floats = self.weights @ self.means
        self.n = int(sizes.sum())
        codes = cluster_codes(np.concatenate([np.asarray(groups) for groups in clusters]))
        residuals = np.concatenate([table - mean for table, mean in zip(tables, self.means, strict=True)])
        self.groups = int(codes.max()) + 1
        self._sums = _sums(residuals, codes)
        ends = np.cumsum(sizes)[:-1]
        inside = [
            _covariance(_sums(part, cluster_codes(own)), len(part))
            for part, own in zip(np.split(residuals, ends), np.split(codes, ends), strict=True)
        ]
        self._rows = _covariance(self._sums, self.n)
        self._within: Floats = np.tensordot(self.weights, inside, 1)
        off = self.means - self.pooled
        self._between: Floats = (off * self.weights[:, None]).T @ off * len(sizes) / max(len(sizes) - 1, 1)

    def spread(self, contrast: ArrayLike, imagined: int = 0) -> Spread:
        """The spread of the pooled mean of a linear contrast of the scores, shape (k,).

        Degrees of freedom are Satterthwaite's (1946). They are many where splits do not seem to differ, but a few
        splits often seem so by chance. So the interval is never narrower than Student's over the means of the splits.
        The rows' part is enlarged as if `imagined` more groups were as far off as the farthest, as in `clustered_rate`.
        """
        c = np.asarray(contrast, dtype=np.float64)
        between, within, rows = (float(c @ matrix @ c) for matrix in (self._between, self._within, self._rows))
        splits, own = len(self.weights), 0.0
        share = float(self.weights @ self.weights)
        if splits > 1:
            common = (rows - share * within) / (1 - share)  # what splits share by testing the same groups
            own = max(0.0, between - max(within - common, 0.0))
        off = (self._sums @ c) ** 2
        rows *= 1 + imagined * float(off.max() / max(off.sum(), 1e-300))
        variance = share * own + rows
        squares = (share * own) ** 2 / max(splits - 1, 1) + rows**2 / max(self.groups - 1, 1)
        t = _quantile(variance**2 / squares if squares > 0 else 1.0)
        if splits > 1 and variance > 0:
            t = max(t, _quantile(splits - 1) * float(np.sqrt(share * max(between, 0.0) / variance)))
        return Spread(variance, t)


def _quantile(freedom: float) -> float:
    return float(special.stdtrit(freedom, 0.975))


def _sums(x: Floats, codes: NDArray[np.intp]) -> Floats:
    """Sums by group, shape (groups, k)."""
    return np.column_stack([np.bincount(codes, weights=column) for column in x.T])


def _covariance(sums: Floats, n: int) -> Floats:
    """Cluster-robust covariance of the mean of n rows, from sums of residuals by group, shape (k, k)."""
    return np.asarray(sums.T @ sums * (len(sums) / max(len(sums) - 1, 1)) / n**2, dtype=np.float64)
