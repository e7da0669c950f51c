"""AUROC with its interval, and the best threshold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from superalign.stats.roc import auroc, best_threshold


def test_the_area_is_that_of_scikit_learn_with_ties_and_weights() -> None:
    rng = np.random.default_rng(0)
    labels, weights = rng.integers(0, 2, 300), rng.uniform(0.2, 3, 300)
    scores = np.round(rng.normal(labels, 1.2), 1)
    for given in (None, weights):
        found = auroc(scores, labels, np.arange(300), weights=given)
        assert found is not None
        assert found.value == pytest.approx(roc_auc_score(labels, scores, sample_weight=given))
        assert found.low < found.value < found.high and found.n == 300


def test_its_interval_covers_the_truth_with_clusters() -> None:
    """Scores of clusters of two share half of their spread; P(N(1, 1) above N(0, 1)) = Phi(1/sqrt(2)) = .760."""
    rng, hits, truth = np.random.default_rng(1), 0, 0.7602
    for _ in range(200):
        labels = np.repeat(rng.integers(0, 2, 60), 2)
        scores = labels + (np.repeat(rng.normal(size=60), 2) + rng.normal(size=120)) / np.sqrt(2)
        found = auroc(scores, labels, np.repeat(np.arange(60), 2), resamples=300)
        assert found is not None
        hits += found.low <= truth <= found.high
    assert hits >= 180


def test_areas_near_one_are_covered_too() -> None:
    """Percentiles of the bootstrap cover .85 to .90 of these (Phi(3.2 / sqrt 2) = .988)."""
    rng, hits, truth = np.random.default_rng(12), 0, float(norm.cdf(3.2 / 2**0.5))
    for run in range(150):
        labels = np.arange(140) % 5 < 2
        found = auroc(rng.normal(size=140) + 3.2 * labels, labels, range(140), run, 200)
        assert found is not None
        hits += found.low <= truth <= found.high
    assert hits / 150 >= 0.93


def test_classes_that_never_overlap_still_have_an_interval_and_one_class_has_none() -> None:
    found = auroc([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], range(4))
    assert found is not None and found.value == 1 and found.low < 0.6
    assert auroc([0.1, 0.9], [1, 1], range(2)) is None


def test_scores_that_say_nothing_have_an_area_of_one_half() -> None:
    found = auroc([1.0] * 40, [0, 1] * 20, range(40))
    assert found is not None and (found.low, found.value, found.high) == (0.5, 0.5, 0.5)


def test_the_best_threshold_is_midway_and_near_one_half_where_several_are_equal() -> None:
    assert best_threshold([0.1, 0.2, 0.3, 0.7], [0, 0, 1, 1]) == pytest.approx(0.25)
    assert best_threshold([0.1, 0.4, 0.9], [0, 0, 1]) == pytest.approx(0.65)
    assert best_threshold([0.01, 0.02, 0.9, 0.03], [0, 1, 0, 1]) == pytest.approx(0.015)
    with pytest.raises(ValueError, match="both classes"):
        best_threshold([0.1, 0.2], [1, 1])
