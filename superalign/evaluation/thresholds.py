"""A threshold that answers with known verdicts choose, and what it is worth on answers that did not choose it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from superalign.records import content_share
from superalign.stats.roc import best_threshold

FOLDS: Final = 5
LEAST_OF_EITHER: Final = 8
"""Answers of each verdict from which on a judge is checked."""


def cross_fitted(
    p: NDArray[np.float64], truth: NDArray[np.bool_], clusters: Sequence[str], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """For each answer the best threshold of the answers in other folds; whole clusters are in one fold."""
    fold = np.array([int(FOLDS * content_share("judge fold", cluster)) for cluster in clusters])
    cut = np.full(len(p), 0.5)
    for number in range(FOLDS):
        rest = fold != number
        if truth[rest].any() and not truth[rest].all():
            cut[~rest] = best_threshold(p[rest], truth[rest], weights[rest])
    return cut
