"""Performance gap recovered as an estimator: pooled over splits, with intervals, and refused where there is no gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from superalign.stats.estimate import Estimate
from superalign.stats.intervals import clustered_rate, paired_difference, scored, square_and_add
from superalign.weak_to_strong.base import Floats
from superalign.weak_to_strong.metrics.two_way_variance import TwoWay

GUARD = 2.0  # standard errors that the gap must exceed
GAP = (-1.0, 0.0, 1.0)  # ceiling - weak
STEPS = tuple(0.001 * 2.0**k for k in range(21))  # from a ratio, to look for what the data reject


@dataclass(frozen=True)
class Scores:
    """What weak, student and ceiling scored on the same test rows of one split.

    Attributes:
        weak, student, ceiling: scores in [0, 1], shape (n,).
        clusters: the group of each row, shape (n,); a group that is tested in several splits has one name in all.
    """

    weak: ArrayLike
    student: ArrayLike
    ceiling: ArrayLike
    clusters: ArrayLike


@dataclass(frozen=True, slots=True)
class PGR:
    """Performance gap recovered, not clipped: 0 is the supervisor, 1 the ceiling.

    Attributes:
        value, low, high: the ratio with its 95 % interval; None where there is no gap to recover.
        fieller: Fieller's interval from the splits alone; None where unknown or unbounded.
        n: rows over all splits.
        seeds: splits.
        gap: ceiling - weak.
        reason: why there is no value, in words.
        fieller_reason: why there is no Fieller interval, in words.
    """

    value: float | None
    low: float | None
    high: float | None
    fieller: tuple[float, float] | None
    n: int
    seeds: int
    gap: Estimate
    reason: str | None = None
    fieller_reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Value, interval and n, with the reason where there is no value."""
        found: dict[str, Any] = {"value": self.value, "low": self.low, "high": self.high, "n": self.n}
        return found if self.reason is None else {**found, "reason": self.reason}


def performance_gap_recovered(scores: Sequence[Scores], resamples: int = 1000, seed: int = 0) -> PGR:
    """PGR = mean(student - weak)/mean(ceiling - weak) over all splits, a ratio of pooled means (arXiv 2312.09390).

    The interval holds every ratio r at which student - weak - r (ceiling - weak) may be 0 (Fieller 1954), by the spread
    over splits and groups of rows (see `TwoWay`). A gap below two of its standard errors, or one that may be 0 by that
    spread, gives no value but a reason: a ratio over a denominator that may be 0 says nothing. Splits where the ceiling
    is not above the supervisor count like all others.

    Args:
        scores: one entry per split.
        resamples, seed: of the bootstrap of the gap where there is one split.

    Raises:
        ValueError: no split, an empty one, scores outside [0, 1], or unequal lengths.
    """
    tables = [np.column_stack([_unit(s.weak), _unit(s.student), _unit(s.ceiling)]) for s in scores]
    clusters = [s.clusters for s in scores]
    study = TwoWay(tables, clusters)
    weak, ceiling = ([table[:, column] for table in tables] for column in (0, 2))
    return _recovered(study, pooled_difference(ceiling, weak, clusters, resamples, seed))


def auroc_gap_recovered(scores: Sequence[Scores], truths: Sequence[ArrayLike]) -> PGR:
    """The same on the area under the ROC curve, averaged over splits.

    Each area is a mean over rows of its structural components (DeLong et al. 1988, Biometrics 44), whose spread is
    told as that of the rows of an accuracy.

    Args:
        scores: per split; weak, student and ceiling are P(class 1).
        truths: per split the true class, 0 or 1, shape (n,).

    Raises:
        ValueError: as above, or a split whose rows are all of one class.
    """
    tables = [
        np.column_stack([_components(_unit(p), np.asarray(truth)) for p in (s.weak, s.student, s.ceiling)])
        for s, truth in zip(scores, truths, strict=True)
    ]
    study = TwoWay(tables, [s.clusters for s in scores])
    half, value = study.spread(GAP).half, float(np.asarray(GAP) @ study.pooled)
    return _recovered(study, Estimate(value, max(value - half, -1.0), min(value + half, 1.0), study.n))


def pooled(
    values: Sequence[ArrayLike], clusters: Sequence[ArrayLike], resamples: int = 1000, seed: int = 0
) -> Estimate:
    """The mean of values in [0, 1] over the rows of all splits, with a 95 % interval over splits and groups of rows.

    Wilson's interval at the effective sample size, as in `clustered_rate`.

    Args:
        values: per split, shape (n,); splits without rows are passed over.
        clusters: per split the group of each row.

    Raises:
        ValueError: no rows at all, values outside [0, 1], or unequal lengths.
    """
    kept = [(_unit(x), groups) for x, groups in zip(values, clusters, strict=True) if np.size(x)]
    x = np.concatenate([x for x, _ in kept]) if kept else np.empty(0)
    names = np.concatenate([np.asarray(groups) for _, groups in kept]) if kept else np.empty(0)
    if len(kept) < 2 or np.ptp(x) == 0:
        return clustered_rate(x, names, seed, resamples)
    study = TwoWay([x[:, None] for x, _ in kept], [groups for _, groups in kept])
    value, spread = float(study.pooled[0]), study.spread([1.0], imagined=2)
    most = float(x.size) if np.isin(x, (0.0, 1.0)).all() else np.inf
    return Estimate(value, *scored(value, spread.variance, spread.t, study.groups, most), x.size)


def pooled_difference(
    a: Sequence[ArrayLike],
    b: Sequence[ArrayLike],
    clusters: Sequence[ArrayLike],
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """mean(a - b) of values in [0, 1] on the same rows, over splits and groups of rows, paired.

    Rises and falls are put together as in `paired_difference`.

    Raises:
        ValueError: no rows, values outside [0, 1], or unequal lengths.
    """
    changes = [_unit(x) - _unit(y) for x, y in zip(a, b, strict=True)]
    x = np.concatenate(changes) if changes else np.empty(0)
    if len(changes) < 2 or np.ptp(x) == 0:
        first, second, names = (np.concatenate([np.asarray(part) for part in parts]) for parts in (a, b, clusters))
        return paired_difference(first, second, names, seed, resamples)
    unit = float(np.abs(x).max())
    study = TwoWay([np.column_stack([np.maximum(c, 0), np.maximum(-c, 0)]) / unit for c in changes], clusters)
    most = float(x.size) if np.isin(x, (-1.0, 0.0, 1.0)).all() else np.inf
    up, down = (study.spread(contrast, imagined=1) for contrast in ([1.0, 0.0], [0.0, 1.0]))
    rise, fall = (
        Estimate(mean, *scored(mean, spread.variance, spread.t, study.groups, most), x.size)
        for mean, spread in zip(study.pooled.tolist(), (up, down), strict=True)
    )
    covariance = (up.variance + down.variance - study.spread([1.0, -1.0], imagined=1).variance) / 2
    low, high = square_and_add(rise, fall, covariance, up.variance * down.variance)
    value = unit * (rise.value - fall.value)
    return Estimate(value, max(value + unit * low, -1.0), min(value + unit * high, 1.0), x.size)


def fieller(numerators: ArrayLike, denominators: ArrayLike) -> tuple[float, float] | None:
    """Fieller's (1954) 95 % interval of mean(numerators)/mean(denominators), both of shape (seeds,).

    It holds every ratio r at which the paired t test of numerators - r denominators does not reject. None where it is
    unbounded (the mean of the denominators does not differ from 0) or there are fewer than two pairs.
    """
    a, b = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if a.size < 2:
        return None
    t2 = float(special.stdtrit(a.size - 1, 0.975)) ** 2 / a.size
    (var_a, cov), (_, var_b) = np.cov(a, b)
    square, middle, rest = b.mean() ** 2 - t2 * var_b, a.mean() * b.mean() - t2 * cov, a.mean() ** 2 - t2 * var_a
    if square <= 0:
        return None
    half = float(np.sqrt(max(middle**2 - square * rest, 0.0)))
    return float((middle - half) / square), float((middle + half) / square)


def _recovered(study: TwoWay, gap: Estimate) -> PGR:
    splits = len(study.means)
    weak, student, ceiling = study.pooled.tolist()
    reason = _no_gap(gap.value, _error(study, gap), study.groups)
    if reason is not None:
        return PGR(None, None, None, None, study.n, splits, gap, reason, reason)
    value = (student - weak) / (ceiling - weak)
    interval = fieller(study.means[:, 1] - study.means[:, 0], study.means[:, 2] - study.means[:, 0])
    why = None
    if interval is None:
        why = "one split has no spread" if splits < 2 else "unbounded: the gap of the splits may be 0"
    low, high = (_end(study, value, sign) for sign in (-1.0, 1.0))
    if low is None or high is None:
        reason = f"no gap: PGR undefined (by {splits} splits, ceiling - weak = {gap.value:.4f} may be 0)"
        return PGR(None, None, None, None, study.n, splits, gap, reason, reason)
    return PGR(value, low, high, interval, study.n, splits, gap, None, why)


def _end(study: TwoWay, value: float, sign: float) -> float | None:
    """The ratio nearest to the value on one side that the data reject; None where there is none."""

    def rejected(ratio: float) -> float:
        contrast = np.array([ratio - 1, 1.0, -ratio])
        return abs(float(contrast @ study.pooled)) - study.spread(contrast).half

    for step in STEPS:
        beyond = value + sign * step
        if rejected(beyond) > 0:
            return value if rejected(value) >= 0 else float(optimize.brentq(rejected, *sorted((value, beyond))))
    return None


def _error(study: TwoWay, gap: Estimate) -> float:
    """The standard error of the gap; where every row shows the same, what rows not seen may add."""
    variance = study.spread(GAP).variance
    return float(np.sqrt(variance if variance > 0 else gap.variance))


def _no_gap(gap: float, error: float, groups: int) -> str | None:
    if groups < 2:
        return "one group of rows: PGR undefined (its spread is unknown)"
    numbers = f"(ceiling - weak = {gap:.4f}, SE {error:.4f})"
    if gap <= -GUARD * error:
        return f"the strong model is worse than the weak one: PGR undefined {numbers}"
    return f"no gap: PGR undefined {numbers}" if gap < GUARD * error or gap == 0 else None


def _components(p: Floats, truth: NDArray[Any]) -> Floats:
    """Per row a value whose mean is the area under the ROC curve and whose spread is the area's, shape (n,)."""
    positive = truth == 1
    ahead, behind = p[positive], p[~positive]
    if not ahead.size or not behind.size:
        raise ValueError("the area under the ROC curve needs rows of both classes in every split")
    found = np.empty(p.size)
    found[positive] = _below(ahead, behind)
    found[~positive] = 1 - _below(behind, ahead)
    area = found[positive].mean()
    share = np.where(positive, ahead.size, behind.size) / p.size
    return np.asarray(area + (found - area) / share, dtype=np.float64)


def _below(x: Floats, others: Floats) -> Floats:
    """The share of `others` below each x, ties counted half."""
    ranked = np.sort(others)
    return (np.searchsorted(ranked, x, "left") + np.searchsorted(ranked, x, "right")) / (2.0 * ranked.size)


def _unit(values: ArrayLike) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not ((x >= 0) & (x <= 1)).all():
        raise ValueError("scores must be in [0, 1], one per row")
    return x
