"""95 % intervals around every figure, clustered by seed query: attempts on one seed are not independent."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from superalign.stats.estimate import Estimate, Z

MIN_JUDGE_LABELS = 30
MIN_YOUDEN = 0.3
NOTHING = 1e-14  # a variance that is rounding alone


def clustered_rate(
    values: ArrayLike, clusters: ArrayLike, seed: int = 0, resamples: int = 1000, weights: ArrayLike | None = None
) -> Estimate:
    """The mean of values in [0, 1] with an interval that counts whole clusters; they are drawn with replacement.

    Wilson's interval at the effective sample size v(1-v)/Var (of zeros and ones at most n) with the t quantile of
    (clusters - 1) degrees of freedom: symmetric intervals and percentiles are far too short near 0 and 1, which is
    where attack success ends. Var is that of the cluster bootstrap, as two further clusters like the farthest one
    would make it: where a few clusters hold all events, their spread is badly known, and this is what keeps coverage at
    93 % and more (`tests/benchmarks/interval_coverage.py`). Values without any spread never give a zero width: see
    `_unseen`. Of weighted rows (see `propensity_weights`), and of clusters of them, there are as many as Kish's
    effective number, (sum w)^2 / sum w^2.

    Raises:
        ValueError: no rows, or values outside [0, 1], or not one cluster per value.
    """
    x, codes = _checked(values, clusters, 0.0, 1.0)
    w = weights_of(weights, x.size)
    value, groups = float(np.average(x, weights=w)), _effective_groups(weights, codes)
    covariance = _covariance(x[:, None], w, codes, seed, resamples, imagined=2)
    if covariance[0, 0] <= NOTHING:
        return _unseen(value, groups, x.size, 0.0, 1.0)
    most = _kish(w) if np.isin(x, (0.0, 1.0)).all() else np.inf
    return Estimate(value, *scored(value, float(covariance[0, 0]), _quantile(groups), groups, most), x.size)


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    clusters: ArrayLike,
    seed: int = 0,
    resamples: int = 1000,
    weights: ArrayLike | None = None,
) -> Estimate:
    """mean(a - b) of values in [0, 1] measured on the same rows, with an interval over clusters.

    Rises and falls, the positive and the negative parts of a - b, each get the interval of `clustered_rate` (with one
    further cluster) in units of the largest change. They are put together by the square-and-add rule with their
    correlation (Newcombe 1998, Statistics in Medicine 17:2635, method 10; Zou and Donner 2008, ibid. 27:1693). So a few
    changes in one direction tell little of those that were not seen.

    Raises:
        ValueError: no rows, or unequal lengths, or values outside [0, 1].
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"paired values differ in number: {first.size} and {second.size}")
    x, codes = _checked(first - second, clusters, -1.0, 1.0)
    w = weights_of(weights, x.size)
    value, groups = float(np.average(x, weights=w)), _effective_groups(weights, codes)
    unit = float(np.abs(x).max())
    if np.ptp(x) == 0 or int(codes.max()) == 0:
        return _unseen(value, groups, x.size, -1.0, 1.0)
    parts = np.column_stack([np.maximum(x, 0.0), np.maximum(-x, 0.0)]) / unit
    covariance = _covariance(parts, w, codes, seed, resamples, imagined=1)
    most = _kish(w) if np.isin(x, (-1.0, 0.0, 1.0)).all() else np.inf
    rise, fall = (
        Estimate(mean, *scored(mean, float(covariance[i, i]), _quantile(groups), groups, most), x.size)
        for i, mean in enumerate(np.average(parts, axis=0, weights=w).tolist())
    )
    low, high = square_and_add(rise, fall, float(covariance[0, 1]), float(covariance[0, 0] * covariance[1, 1]))
    return Estimate(value, max(value + unit * low, -1.0), min(value + unit * high, 1.0), x.size)


def square_and_add(a: Estimate, b: Estimate, covariance: float, variances: float) -> tuple[float, float]:
    """How far the ends of the interval of a - b are from its value, by the intervals of both and their correlation.

    Args:
        a, b: both means.
        covariance: of the means.
        variances: the product of their variances.
    """
    r = min(max(covariance / np.sqrt(variances), -1.0), 1.0) if variances > NOTHING**2 else 0.0

    def added(one: float, other: float) -> float:
        return float(np.sqrt(max(one**2 + other**2 - 2 * r * one * other, 0.0)))

    return -added(a.value - a.low, b.high - b.value), added(a.high - a.value, b.value - b.low)


def active_mean(p: ArrayLike, labels: ArrayLike, pi: ArrayLike, clusters: ArrayLike | None = None) -> Estimate:
    """Active inference (arXiv 2403.03208, eq. 4): mean[p + xi (y - p)/pi], unbiased however wrong p is.

    Args:
        p: the critic's probabilities, shape (n,).
        labels: the expert's values in [0, 1]; NaN where the row was not drawn (xi = 0), shape (n,).
        pi: the propensities stored when the rows were drawn; must be > 0 for every row, shape (n,).
        clusters: rows of one cluster are summed before their spread is taken; default every row its own.

    The interval comes from the sample variance of the summands with the t quantile of the number of labels: the
    inverse propensities leave few effective summands. Without at least two labels it is [0, 1], as nothing
    is known about the error of the critic. Value and interval are clipped to [0, 1].

    Raises:
        ValueError: no rows, or values, labels or propensities out of range.
    """
    x, codes = _checked(p, np.arange(np.size(p)) if clusters is None else clusters, 0.0, 1.0)
    y, propensity = np.asarray(labels, dtype=np.float64), np.asarray(pi, dtype=np.float64)
    if y.shape != x.shape or propensity.shape != x.shape:
        raise ValueError("p, labels and pi differ in length")
    if not ((propensity > 0) & (propensity <= 1)).all():
        raise ValueError("every propensity must be in (0, 1]; an item that could not be drawn cannot be corrected for")
    drawn = ~np.isnan(y)
    summands = x + np.where(drawn, (np.nan_to_num(y) - x) / propensity, 0.0)
    value, groups = float(summands.mean()), int(codes.max()) + 1
    known = int(drawn.sum())
    if known < 2 or groups < 2:
        return Estimate(min(max(value, 0.0), 1.0), 0.0, 1.0, x.size)
    residual = np.bincount(codes, weights=summands - value)
    spread = float(np.sqrt(groups / (groups - 1) * np.sum(residual**2))) / x.size
    half = float(special.stdtrit(known - 1, 0.975)) * spread
    low, high = np.clip([value - half, value + half], 0.0, 1.0)
    return Estimate(min(max(value, 0.0), 1.0), float(low), float(high), x.size)


def corrected_rate(observed: Estimate, sensitivity: Estimate, specificity: Estimate) -> Estimate | None:
    """Rogan and Gladen (1978): the true rate behind a judge's rate, the judge's own uncertainty propagated.

    p = (q + Sp - 1)/(Se + Sp - 1), Var = [Var q + p^2 Var Se + (1-p)^2 Var Sp]/(Se + Sp - 1)^2; the variances are
    those of the given intervals, so clustering carries over. None, "uncorrected", when the judge is
    too weak (Se + Sp - 1 < 0.3) or known from fewer than 30 labels of either class.
    """
    youden = sensitivity.value + specificity.value - 1
    if youden < MIN_YOUDEN or min(sensitivity.n, specificity.n) < MIN_JUDGE_LABELS:
        return None
    p = min(max((observed.value + specificity.value - 1) / youden, 0.0), 1.0)
    variance = observed.variance + p**2 * sensitivity.variance + (1 - p) ** 2 * specificity.variance
    half = Z * float(np.sqrt(variance)) / youden
    return Estimate(p, max(0.0, p - half), min(1.0, p + half), observed.n)


def wilson(value: float, n: float, z: float = Z) -> tuple[float, float]:
    """Wilson's (1927) interval of a rate `value` seen on `n` independent rows; n need not be whole."""
    centre = (value + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * float(np.sqrt(value * (1 - value) / n + z**2 / (4 * n**2)))
    return max(0.0, centre - half), min(1.0, centre + half)


def scored(value: float, variance: float, t: float, groups: float, most: float = np.inf) -> tuple[float, float]:
    """Wilson's interval of a mean in [0, 1] at the sample size, at most `most`, that its variance stands for.

    Without a variance, what `groups` clusters that are all alike leave open.
    """
    if variance <= NOTHING:
        found = _unseen(value, groups, 0, 0.0, 1.0)
        return found.low, found.high
    return wilson(value, min(most, value * (1 - value) / variance), t)


def enlarged(sums: NDArray[np.float64], sizes: NDArray[np.float64], imagined: int) -> NDArray[np.float64]:
    """What the bootstrap's standard errors of k means are multiplied by, shape (k,).

    It draws groups - 1 out of groups as it were; and the spread of clusters of which a few are far off is badly known:
    it is taken as if `imagined` more were as far off as the farthest.

    Args:
        sums: by cluster, shape (groups, k).
        sizes: of the clusters, shape (groups,).
        imagined: how many more.
    """
    off = (sums - np.outer(sizes, sums.sum(axis=0) / sizes.sum())) ** 2
    more = 1 + imagined * off.max(axis=0) / np.maximum(off.sum(axis=0), 1e-300)
    return np.asarray(np.sqrt(more * len(sizes) / max(len(sizes) - 1, 1)), dtype=np.float64)


def bootstrap_weights(groups: int, seed: int, resamples: int) -> NDArray[np.float64]:
    """How often each of `groups` clusters is drawn in each resample, shape (resamples, groups)."""
    counts = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    return counts.astype(np.float64)


def cluster_codes(clusters: ArrayLike) -> NDArray[np.intp]:
    """The clusters as whole numbers 0 .. G-1, shape (n,)."""
    return np.unique(np.asarray(clusters), return_inverse=True)[1].reshape(-1)


def _checked(
    values: ArrayLike, clusters: ArrayLike, low: float, high: float
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    x, codes = np.asarray(values, dtype=np.float64), cluster_codes(clusters)
    if x.ndim != 1 or x.size == 0:
        raise ValueError("an estimate needs at least one row of values")
    if codes.size != x.size:
        raise ValueError(f"{x.size} values but {codes.size} clusters")
    if not ((x >= low) & (x <= high)).all():
        raise ValueError(f"values must be in [{low:g}, {high:g}]")
    return x, codes


def weights_of(weights: ArrayLike | None, rows: int) -> NDArray[np.float64]:
    """The weights of rows, 1 each where none are given, shape (rows,)."""
    return np.ones(rows) if weights is None else np.asarray(weights, dtype=np.float64)


def _kish(weights: ArrayLike) -> float:
    w = np.asarray(weights, dtype=np.float64)
    return float(w.sum() ** 2 / (w**2).sum())


def _covariance(
    x: NDArray[np.float64], w: NDArray[np.float64], codes: NDArray[np.intp], seed: int, resamples: int, imagined: int
) -> NDArray[np.float64]:
    """The covariance of the weighted means of columns by cluster bootstrap, shape (k, k), from rows of shape (n, k)."""
    groups = int(codes.max()) + 1
    if groups == 1:
        return np.zeros((x.shape[1], x.shape[1]))
    sums = np.column_stack([np.bincount(codes, weights=w * column) for column in x.T]).astype(np.float64)
    sizes = np.bincount(codes, weights=w).astype(np.float64)
    drawn = bootstrap_weights(groups, seed, resamples)
    means = (drawn @ sums) / (drawn @ sizes)[:, None]
    found: NDArray[np.float64] = np.cov(means, rowvar=False).reshape(x.shape[1], x.shape[1])
    larger = enlarged(sums, sizes, imagined)
    return found * np.outer(larger, larger)


def _quantile(groups: float) -> float:
    return float(special.stdtrit(max(groups - 1, 1.0), 0.975))


def _effective_groups(weights: ArrayLike | None, codes: NDArray[np.intp]) -> float:
    return float(codes.max() + 1) if weights is None else _kish(np.bincount(codes, weights=weights_of(weights, 0)))


def _unseen(value: float, groups: float, n: int, low: float, high: float) -> Estimate:
    """Where resampling shows no spread: the share of clusters not seen may be up to Wilson's bound for 0 of G.

    Each of those could lie anywhere in [low, high]; for 0 of G this is the rule of three (about 3.8/G).
    """
    share = Z**2 / (groups + Z**2)
    return Estimate(value, value - share * (value - low), value + share * (high - value), n)
