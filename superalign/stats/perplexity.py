"""Perplexity with its interval, and the ratio of two perplexities of the same texts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from superalign.stats.estimate import Estimate
from superalign.stats.intervals import bootstrap_weights, cluster_codes, enlarged


def perplexity(
    nll: ArrayLike, tokens: ArrayLike, clusters: ArrayLike, seed: int = 0, resamples: int = 1000
) -> Estimate:
    """exp(sum_i t_i l_i / sum_i t_i): e to the mean negative log-likelihood of a token; n counts texts.

    The interval is that of the mean, a ratio of sums over clusters: its standard error by the cluster bootstrap with
    the t quantile of (clusters - 1) degrees of freedom. It is made on the scale of logarithms, so that it is the same
    for ratios read either way.

    Args:
        nll: mean negative log-likelihood of the tokens of each text (nats), shape (n,).
        tokens: how many they are, shape (n,).
        clusters: texts of one are drawn together, shape (n,).
        seed, resamples: of the bootstrap.

    Raises:
        ValueError: fewer than two clusters, of which nothing is known of the spread.
    """
    x, w = np.asarray(nll, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
    if np.unique(np.asarray(clusters)).size < 2:
        raise ValueError("a perplexity with an interval needs texts of at least two clusters")
    value, half = float(np.average(x, weights=w)), _half_width(x, w, clusters, seed, resamples)
    low, middle, high = np.exp([value - half, value, value + half]).tolist()
    return Estimate(middle, low, high, x.size)


def perplexity_ratio(
    after: ArrayLike, before: ArrayLike, tokens: ArrayLike, clusters: ArrayLike, seed: int = 0, resamples: int = 1000
) -> Estimate:
    """The perplexity of the same texts after, as a multiple of that before; paired, so that hard texts cancel out.

    Raises:
        ValueError: fewer than two clusters, or unequal lengths.
    """
    now, was = np.asarray(after, dtype=np.float64), np.asarray(before, dtype=np.float64)
    if now.shape != was.shape:
        raise ValueError(f"paired values differ in number: {now.size} and {was.size}")
    return perplexity(now - was, tokens, clusters, seed, resamples)


def _half_width(x: NDArray[np.float64], w: NDArray[np.float64], clusters: ArrayLike, seed: int, draws: int) -> float:
    codes = cluster_codes(clusters)
    groups = int(codes.max()) + 1
    sums, sizes = (np.bincount(codes, weights=each).astype(np.float64) for each in (w * x, w))
    drawn = bootstrap_weights(groups, seed, draws)
    spread = float(np.std((drawn @ sums) / (drawn @ sizes), ddof=1))
    larger = float(enlarged(sums[:, None], sizes, imagined=1)[0])
    return float(special.stdtrit(groups - 1, 0.975)) * spread * larger
