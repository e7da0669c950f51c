"""How well scores tell two classes apart at every threshold, and which threshold tells them apart best."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from superalign.stats.estimate import Estimate
from superalign.stats.intervals import NOTHING, bootstrap_weights, cluster_codes, scored, weights_of, wilson

Vector = NDArray[np.float64]
CHUNK = 2_000_000  # numbers of a bootstrap that are held at once


def auroc(
    scores: ArrayLike,
    labels: ArrayLike,
    clusters: ArrayLike,
    seed: int = 0,
    resamples: int = 1000,
    weights: ArrayLike | None = None,
) -> Estimate | None:
    """P(a positive scores above a negative) + P(they tie)/2 (Hanley and McNeil 1982), by a cluster bootstrap.

    Wilson's interval at the sample size that the bootstrap's variance stands for, with the t quantile of the smaller
    class: percentiles are too short for areas near 1. Classes that never overlap count as many rows as the smaller has.

    Args:
        scores: shape (n,).
        labels: above 1/2 are positive, shape (n,).
        clusters: rows of one are drawn together, shape (n,).
        seed, resamples: of the bootstrap.
        weights: make rows drawn with unequal chances stand for all.

    Returns:
        The estimate, of n rows; None where a class is absent.
    """
    x, positive = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64) > 0.5
    if positive.all() or not positive.any():
        return None
    order = np.argsort(x, kind="stable")
    x, positive, codes = x[order], positive[order], cluster_codes(clusters)[order]
    w = weights_of(weights, x.size)[order]
    starts = np.flatnonzero(np.r_[True, np.diff(x) > 0])
    value = float(_area(w[None], positive, starts)[0])
    smaller = float(min(positive.sum(), (~positive).sum()))
    if value in (0.0, 1.0):
        low, high = wilson(value, smaller)
        return Estimate(value, min(low, value), max(high, value), x.size)
    drawn = bootstrap_weights(int(codes.max()) + 1, seed, resamples)
    step = max(1, CHUNK // x.size)
    areas = np.concatenate(
        [_area(w * drawn[i : i + step][:, codes], positive, starts) for i in range(0, resamples, step)]
    )
    if (variance := float(np.nanvar(areas))) <= NOTHING:  # scores that are all equal: the area is one half for sure
        return Estimate(value, value, value, x.size)
    t = float(special.stdtrit(max(smaller - 1, 1.0), 0.975))
    return Estimate(value, *scored(value, variance, t, smaller, x.size), x.size)


def best_threshold(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The cut that maximises sensitivity + specificity - 1 (Youden 1950); scores at or above it count as positive.

    It lies midway between two scores that occur; of several that are equally good, the one nearest to 1/2 is taken.

    Raises:
        ValueError: a class is absent.
    """
    x, positive = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64) > 0.5
    if positive.all() or not positive.any():
        raise ValueError("a threshold needs scores of both classes")
    w = weights_of(weights, x.size)
    known = np.unique(x)
    cuts = np.concatenate([[known[0]], (known[1:] + known[:-1]) / 2])
    hit = (x[None] >= cuts[:, None]) * w
    youden = hit[:, positive].sum(axis=1) / w[positive].sum() - hit[:, ~positive].sum(axis=1) / w[~positive].sum()
    best = cuts[youden >= youden.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def _area(weights: Vector, positive: NDArray[np.bool_], starts: NDArray[np.intp]) -> Vector:
    """The area under the curve of each row of weights; NaN where a class got none.

    Args:
        weights: of the rows in the order of their scores, shape (draws, n).
        positive: shape (n,).
        starts: where each run of equal scores begins.
    """
    up = np.add.reduceat(np.where(positive, weights, 0.0), starts, axis=1)
    down = np.add.reduceat(np.where(positive, 0.0, weights), starts, axis=1)
    below = np.cumsum(down, axis=1) - down
    pairs = up.sum(axis=1) * down.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray((up * (below + down / 2)).sum(axis=1) / pairs, dtype=np.float64)
