"""Forecasts of the gain that need no ground truth of the rows the student learns from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from superalign.stats.estimate import Estimate, Z
from superalign.stats.intervals import cluster_codes
from superalign.weak_to_strong.base import Floats
from superalign.weak_to_strong.protocol import folds

FOLDS = 5
MIN_ERRORS = 10  # of either kind: fewer cannot be cross-fitted
MIN_STUDIES = 4
REGULARISATION = 0.1  # inverse strength: features are often as many as rows
CHUNK = 512


def misfit(student: Floats, supervisor: Floats) -> float:
    """E|student - supervisor|^2 / 2 over P(class) on rows that neither was trained on, each of shape (n, classes).

    Charikar et al. (arXiv 2405.15116, thm 1): for squared loss and a convex class of students, the student's loss is
    at most the supervisor's less the misfit, so the more it disagrees the more it gained. Of two classes this is the
    squared difference of P(class 1); 0 is a copy of the supervisor, 1 its opposite.
    """
    off = np.asarray(student, dtype=np.float64) - np.asarray(supervisor, dtype=np.float64)
    return float((off**2).sum(1).mean() / 2)


def disagreement(student: Floats, supervisor: Floats) -> float:
    """Misfit as the share of rows where the likeliest classes differ."""
    return float((np.argmax(student, 1) != np.argmax(supervisor, 1)).mean())


def error_simulatability(features: ArrayLike, wrong: ArrayLike, groups: Sequence[str], seed: int = 0) -> float | None:
    """How well a linear probe on the student's features predicts the supervisor's errors: area under the ROC curve.

    A student can imitate errors that its features simulate (arXiv 2312.09390 E.1): 0.5 bodes well, 1 ill. The rows are
    of half 1, whose truth is open, and `wrong` must come from a supervisor that did not train on the row it answers.
    Five folds by group.

    Args:
        features: of the student before training on weak labels, shape (n, d).
        wrong: 1 where the supervisor errs, shape (n,).
        groups: the group of each row.

    Returns:
        The area; None with fewer than 10 errors or 10 right answers.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = np.asarray(features, dtype=np.float64), np.asarray(wrong).astype(np.int64)
    if min(y.sum(), (1 - y).sum()) < MIN_ERRORS:
        return None
    scores = np.full(len(y), np.nan)
    for train, heldout in folds(tuple(groups), FOLDS, seed):
        if len(np.unique(y[train])) == 2:
            probe = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARISATION, max_iter=500))
            scores[heldout] = probe.fit(x[train], y[train]).decision_function(x[heldout])
    scored = ~np.isnan(scores)
    if len(np.unique(y[scored])) < 2:
        return None
    return float(roc_auc_score(y[scored], scores[scored]))


def overlap_density(weak: Floats, features: ArrayLike) -> float | None:
    """The share of rows that seem to hold both easy patterns, which the weak model reads, and hard ones.

    Students learn the hard patterns from such rows alone (Shin et al. arXiv 2412.03881). This variant of their
    detection: (1) rows below the one change point of the weak model's sorted confidence are hard-only; (2) the others
    are scored by their mean absolute cosine, in the student's standardised features, with the ten hard-only rows
    nearest in direction; (3) rows above the one change point of the sorted scores overlap. A change point is the split
    into two constant levels of least squares, so it is found even in data without one: compare densities, do not read
    one by itself.

    Args:
        weak: P(class) by the weak model, shape (n, classes).
        features: of the student before training on weak labels, shape (n, d).

    Returns:
        A share in (0, 1); None where confidence or features do not vary.
    """
    confidence, x = np.asarray(weak, dtype=np.float64).max(1), np.asarray(features, dtype=np.float64)
    x = x - x.mean(0)
    x = x / np.maximum(x.std(0), 1e-9)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    threshold = _change_point(confidence)
    if threshold is None:
        return None
    hard = confidence < threshold
    easy = np.flatnonzero(~hard)
    count = min(10, int(hard.sum()))
    scores = np.concatenate(
        [
            np.partition(np.abs(x[easy[at : at + CHUNK]] @ x[hard].T), -count, axis=1)[:, -count:].mean(1)
            for at in range(0, len(easy), CHUNK)
        ]
    )
    cut = _change_point(scores)
    return None if cut is None else float((scores >= cut).sum() / len(confidence))


def rank_correlation(
    forecasts: Sequence[float], gains: Sequence[float], studies: Sequence[str], resamples: int = 1000, seed: int = 0
) -> Estimate | None:
    """Spearman's correlation of a forecast with the realised gain over cells.

    Cells of one study share models, rows and labels. The 95 % interval holds that of resampled studies, which has no
    width for a perfect ranking, and that of Bonett & Wright (2000, Psychometrika 65) for as many cells as there are
    studies, where a perfect ranking counts as one swap of neighbours short of it.

    Returns:
        The correlation, n the studies; None under four of them or where either does not vary.
    """
    both, codes = np.column_stack([forecasts, gains]).astype(np.float64), cluster_codes(list(studies))
    count = len(set(studies))
    if count < MIN_STUDIES or (np.ptp(both, axis=0) == 0).any():
        return None
    value = float(_spearman(both[None])[0])
    cells = [np.flatnonzero(codes == study) for study in range(count)]
    picked = np.random.default_rng(seed).integers(count, size=(resamples, count))
    draws = [_spearman(both[np.concatenate([cells[study] for study in each])][None])[0] for each in picked]
    low, high = np.nanquantile(draws, [0.025, 0.975])  # a draw of equal cells has no correlation
    most = 1 - 12 / (count * (count**2 - 1))
    bounded = min(max(value, -most), most)
    half = Z * np.sqrt((1 + bounded**2 / 2) / (count - 3))
    ends = np.tanh(np.arctanh(bounded) + np.array([-half, half]))
    return Estimate(value, float(min(low, ends[0], value)), float(max(high, ends[1], value)), count)


def _spearman(drawn: Floats) -> Floats:
    """Correlations of ranks, shape (draws,), of pairs (draws, cells, 2)."""
    ranks = stats.rankdata(drawn, axis=1)
    off = ranks - ranks.mean(1, keepdims=True)
    spread = np.sqrt((off**2).sum(1).prod(1))
    with np.errstate(invalid="ignore"):
        return np.asarray((off[..., 0] * off[..., 1]).sum(1) / spread, dtype=np.float64)


def _change_point(values: Floats) -> float | None:
    """The first value of the upper level when the sorted values are split into two constant levels by least squares."""
    x = np.sort(values)
    if x[-1] - x[0] < 1e-9:
        return None
    lower = np.arange(1, len(x))
    sums = np.cumsum(x)
    left, right = sums[:-1] / lower, (sums[-1] - sums[:-1]) / (len(x) - lower)
    between = lower * (len(x) - lower) * (right - left) ** 2
    between[np.diff(x) <= 0] = -1.0  # equal values stay together
    return float(x[int(between.argmax()) + 1])
