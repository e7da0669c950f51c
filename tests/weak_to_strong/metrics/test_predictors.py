"""Forecasts of the gain without ground truth of the student's rows."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.weak_to_strong.metrics.predictors import (
    disagreement,
    error_simulatability,
    misfit,
    overlap_density,
    rank_correlation,
)


def binary(p: np.ndarray) -> np.ndarray:
    return np.column_stack([1 - p, p])


def test_misfit_is_the_squared_difference_of_two_classes_and_nothing_for_a_copy() -> None:
    rng = np.random.default_rng(0)
    p, q = rng.random(100), rng.random(100)
    assert misfit(binary(p), binary(p)) == disagreement(binary(p), binary(p)) == 0.0
    assert misfit(binary(p), binary(q)) == pytest.approx(np.mean((p - q) ** 2))
    assert misfit(np.eye(4)[[0, 1]], np.eye(4)[[2, 3]]) == disagreement(np.eye(4)[[0, 1]], np.eye(4)[[2, 3]]) == 1.0


def test_for_squared_loss_and_a_convex_class_the_gain_is_at_least_the_misfit() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4000, 5))
    truth = x @ rng.normal(size=5)
    weak = truth + np.sin(3 * x[:, 0]) + 0.5 * x[:, 1] ** 2
    student = x @ np.linalg.lstsq(x, weak, rcond=None)[0]
    gain = np.mean((weak - truth) ** 2) - np.mean((student - truth) ** 2)
    forecast = 2 * misfit(student[:, None], weak[:, None])
    assert gain >= forecast - 1e-9 and forecast > 0.5


def test_errors_that_the_features_tell_are_simulatable_and_random_ones_are_not() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(600, 20))
    groups = [f"g{i // 2}" for i in range(600)]
    told = (features[:, 0] + 0.3 * rng.normal(size=600) > 0.8).astype(int)
    plain, random = (error_simulatability(features, wrong, groups) for wrong in (told, rng.permutation(told)))
    assert plain is not None and random is not None
    assert plain > 0.9 and abs(random - 0.5) < 0.1


def test_a_group_in_training_and_held_out_would_give_random_errors_away() -> None:
    rng = np.random.default_rng(3)
    once, wrong = rng.normal(size=(100, 60)), rng.integers(0, 2, 100)
    groups = [f"g{i}" for i in range(100)] * 4
    found = error_simulatability(np.tile(once, (4, 1)), np.tile(wrong, 4), groups)
    assert found is not None and found < 0.7


def test_too_few_errors_forecast_nothing() -> None:
    assert error_simulatability(np.random.default_rng(4).normal(size=(100, 3)), np.eye(100)[0], ["a"] * 100) is None


def points(overlapping: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows with an easy pattern, a hard one, or both: the weak model is sure where it reads the easy one."""
    kind = rng.choice(3, 900, p=[0.7 - overlapping, overlapping, 0.3])  # easy, both, hard
    signs = rng.choice([-1.0, 1.0], (900, 1))
    easy, hard = rng.normal(size=(2, 1, 12))
    x = signs * (easy * (kind != 2)[:, None] + 1.5 * hard * (kind != 0)[:, None]) + 0.3 * rng.normal(size=(900, 12))
    p = np.clip(np.where(kind == 2, 0.55, 0.92) + 0.03 * rng.normal(size=900), 0.5, 1)
    return binary(p), x


def test_overlap_density_finds_the_share_of_rows_with_both_patterns() -> None:
    rng = np.random.default_rng(5)
    few, many = (overlap_density(*points(share, rng)) for share in (0.15, 0.5))
    assert few is not None and many is not None
    assert few == pytest.approx(0.15, abs=0.08) and many == pytest.approx(0.5, abs=0.08)


def test_without_any_variation_there_is_no_overlap_density() -> None:
    assert overlap_density(np.full((20, 2), 0.5), np.random.default_rng(6).normal(size=(20, 3))) is None
    assert overlap_density(binary(np.linspace(0.5, 1, 20)), np.ones((20, 3))) is None


def test_forecasts_are_ranked_against_realised_gains() -> None:
    gains = [0.01, 0.02, 0.05, 0.04, 0.09]
    found = rank_correlation([0.1, 0.2, 0.3, 0.4, 0.5], gains, "abcde")
    assert found is not None
    assert (found.value, found.n) == (pytest.approx(0.9), 5)
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert rank_correlation([-f for f in (0.1, 0.2, 0.3, 0.4)], gains[:4], "abcd").value == pytest.approx(-0.8)  # type: ignore[union-attr]


def test_a_perfect_ranking_of_few_cells_proves_little() -> None:
    few, many = (rank_correlation(list(range(n)), list(range(n)), list(map(str, range(n)))) for n in (4, 40))
    assert few is not None and many is not None
    assert few.value == many.value == pytest.approx(1.0)
    assert few.low < 0 and many.low > 0.9


def test_many_cells_of_few_studies_prove_no_more_than_the_studies() -> None:
    forecasts, gains = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), np.array([0.1, 0.3, 0.2, 0.5, 0.4, 0.6])
    once = rank_correlation(forecasts.tolist(), gains.tolist(), "abcdef")
    studies = [name for name in "abcdef" for _ in range(20)]
    copied = rank_correlation(forecasts.repeat(20).tolist(), gains.repeat(20).tolist(), studies)
    assert once is not None and copied is not None
    assert (copied.value, copied.low, copied.high, copied.n) == pytest.approx((once.value, once.low, once.high, 6))


def test_fewer_than_four_studies_or_equal_forecasts_correlate_with_nothing() -> None:
    assert rank_correlation([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], "abc") is None
    assert rank_correlation([0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4], "abca") is None
    assert rank_correlation([0.1] * 6, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "abcdef") is None
