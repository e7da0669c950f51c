"""The spread of means over rows of several splits, where splits differ and may test the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from superalign.stats.estimate import Z
from superalign.stats.intervals import cluster_codes
from superalign.weak_to_strong.base import Floats


@dataclass(frozen=True, slots=True)
class Spread:
    """How far a pooled mean may be from the truth.

    Attributes:
        variance: of the mean.
        t: the 97.5 % quantile of Student's t at its degrees of freedom.
        reflation: what the effects of splits are multiplied by to have the variance that is their own.
    """

    variance: float
    t: float
    reflation: float


class TwoWay:
    """Means of k scores over rows that are crossed with, or nested in, splits.

    Their variance is that of two-way clustering (Cameron, Gelbach & Miller 2011): what splits add beyond their rows
    (tau^2), and the groups of rows, each drawn for all splits that test it. Drawing splits and then rows within them
    would count the noise of rows twice, so the effects of splits are first reflated to tau^2 (Carpenter, Goldstein &
    Rasbash 2003). Groups are drawn by the Bayesian bootstrap (Rubin 1981), splits, of which there are few, by Gaussian
    multipliers. One split cannot tell tau^2, so its intervals are of its rows alone.

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
        self._counts = np.bincount(codes)
        self._rows = _covariance(self._sums, self.n)
        ends = np.cumsum(sizes)[:-1]
        inside = [
            _covariance(_sums(part, cluster_codes(own)), len(part))
            for part, own in zip(np.split(residuals, ends), np.split(codes, ends), strict=True)
        ]
        self._within: Floats = np.tensordot(self.weights, inside, 1)
        off = self.means - self.pooled
        self._between: Floats = (off * self.weights[:, None]).T @ off * len(sizes) / max(len(sizes) - 1, 1)

    def spread(self, contrast: Floats) -> Spread:
        """The spread of the pooled mean of a linear contrast of the scores, shape (k,)."""
        between, within, rows = (
            float(contrast @ matrix @ contrast) for matrix in (self._between, self._within, self._rows)
        )
        seeds, own = len(self.weights), 0.0
        share = float(self.weights @ self.weights)
        if seeds > 1:
            common = (rows - share * within) / (1 - share)  # what splits share by testing the same groups
            own = max(0.0, between - max(within - common, 0.0))
        variance = share * own + rows
        squares = (share * own) ** 2 / max(seeds - 1, 1) + rows**2 / max(self.groups - 1, 1)
        freedom = variance**2 / squares if squares > 0 else 1.0  # Satterthwaite (1946)
        reflation = np.sqrt(own * seeds / ((seeds - 1) * between)) if own > 0 else 0.0
        return Spread(variance, float(special.stdtrit(freedom, 0.975)), float(reflation))

    def resampled(self, spread: Spread, resamples: int, seed: int) -> Floats:
        """Draws of the pooled means, shape (resamples, k), as wide as Student's t asks for."""
        rng = np.random.default_rng(seed)
        weights = rng.standard_exponential((resamples, self.groups), dtype=np.float32)
        rows = (weights @ self._sums.astype(np.float32)) / (weights @ self._counts.astype(np.float32))[:, None]
        rows = rows * np.sqrt((self.groups + 1) / max(self.groups - 1, 1))
        splits = (rng.standard_normal((resamples, len(self.weights))) * self.weights) @ (self.means - self.pooled)
        return np.asarray(self.pooled + spread.t / Z * (spread.reflation * splits + rows), dtype=np.float64)


def _sums(x: Floats, codes: NDArray[np.intp]) -> Floats:
    """Sums by group, shape (groups, k)."""
    return np.column_stack([np.bincount(codes, weights=column) for column in x.T])


def _covariance(sums: Floats, n: int) -> Floats:
    """Cluster-robust covariance of the mean of n rows, from sums of residuals by group, shape (k, k)."""
    return np.asarray(sums.T @ sums * (len(sums) / max(len(sums) - 1, 1)) / n**2, dtype=np.float64)
