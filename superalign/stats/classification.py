"""Figures of a probabilistic classifier: calibration error, Brier score, sensitivity, specificity."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superalign.stats.estimate import Estimate
from superalign.stats.intervals import bootstrap_weights, cluster_codes, clustered_rate, enlarged, weights_of


def propensity_weights(pi: ArrayLike) -> NDArray[np.float64]:
    """1/pi scaled to mean 1 (Hajek 1971): inverse propensities make drawn labels stand for all items, shape (n,).

    Never cut at a number: of 336 labels of 5,000 items nearly all are heavier than 10, so a cut there tells of the
    items drawn and not of all. What few heavy labels leave unknown is told by the intervals.
    """
    weights = 1.0 / np.asarray(pi, dtype=np.float64)
    return np.asarray(weights / weights.mean() if weights.size else weights, dtype=np.float64)


def ece(p: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error over equal-mass bins: sum_b n_b/n |mean p - mean y| (arXiv 1706.04599, eq. 3)."""
    gap, member = _gaps(p, labels, bins)
    return float(np.abs(np.bincount(member, weights=gap)).sum() / gap.size)


def ece_estimate(
    p: ArrayLike,
    labels: ArrayLike,
    clusters: ArrayLike,
    seed: int = 0,
    resamples: int = 1000,
    weights: ArrayLike | None = None,
) -> Estimate:
    """`ece`, with an interval of the critic's own error, by a cluster bootstrap over fixed bins.

    The value is the usual one: chance alone makes every bin's gap larger, so that few labels show an error of a critic
    that has none. So the interval begins at the least error s sum_b |g_b|, with the gaps g_b that were seen, for which
    such a value is no rare chance, P(sum_b |s g_b + noise_b| >= value) >= .025. Its end is that of the bootstrap, less
    the bias that this has of its own. Weights count in a bin's gap, not in which rows it holds.
    """
    gap, member = _gaps(p, labels, 15)
    w = weights_of(weights, gap.size)
    codes = cluster_codes(clusters)
    groups, width = int(codes.max()) + 1, int(member.max()) + 1
    sums = np.bincount(codes * width + member, w * gap, groups * width).reshape(groups, width).astype(np.float64)
    drawn = bootstrap_weights(groups, seed, resamples)
    seen = sums.sum(axis=0) / w.sum()
    sizes = np.bincount(codes, weights=w).astype(np.float64)
    noise = ((drawn @ sums) / (drawn @ sizes)[:, None] - seen) * enlarged(sums, sizes, imagined=1)
    value = float(np.abs(seen).sum())
    draws = np.abs(seen + noise).sum(axis=1)
    high = float(np.quantile(draws, 0.975) - draws.mean()) + value
    shares = np.linspace(0.0, 1.0, 41)
    chance = np.array([(np.abs(share * seen + noise).sum(axis=1) >= value).mean() for share in shares])
    low = float(shares[max(np.flatnonzero(chance >= 0.025).min(initial=40) - 1, 0)]) * value  # rounded outwards
    return Estimate(value, low, min(max(high, value), 1.0), gap.size)


def brier(
    p: ArrayLike,
    labels: ArrayLike,
    clusters: ArrayLike,
    seed: int = 0,
    resamples: int = 1000,
    weights: ArrayLike | None = None,
) -> Estimate:
    """The Brier score mean (p - y)^2 with its clustered interval."""
    difference = np.asarray(p, dtype=np.float64) - np.asarray(labels, dtype=np.float64)
    return clustered_rate(difference**2, clusters, seed, resamples, weights)


def sensitivity_specificity(
    p: ArrayLike,
    labels: ArrayLike,
    clusters: ArrayLike,
    seed: int = 0,
    resamples: int = 1000,
    weights: ArrayLike | None = None,
) -> tuple[Estimate | None, Estimate | None]:
    """P(p >= 1/2 | y = 1) and P(p < 1/2 | y = 0) with intervals; None where the class is absent, ties left out."""
    accepted, y = np.asarray(p, dtype=np.float64) >= 0.5, np.asarray(labels, dtype=np.float64)
    codes = cluster_codes(clusters)

    def rate(hits: NDArray[np.bool_], rows: NDArray[np.bool_]) -> Estimate | None:
        w = None if weights is None else np.asarray(weights, dtype=np.float64)[rows]
        return clustered_rate(hits[rows], codes[rows], seed, resamples, w) if rows.any() else None

    return rate(accepted, y > 0.5), rate(~accepted, y < 0.5)


def _gaps(p: ArrayLike, labels: ArrayLike, bins: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """p - y per row and the row's equal-mass bin."""
    x, y = np.asarray(p, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if x.size == 0 or x.shape != y.shape:
        raise ValueError(f"calibration error needs as many labels as probabilities, at least one: {x.size}, {y.size}")
    rank = np.empty(x.size, dtype=np.intp)
    rank[np.argsort(x, kind="stable")] = np.arange(x.size)
    return x - y, rank * min(bins, x.size) // x.size
