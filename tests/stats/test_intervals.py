"""Intervals must cover the truth as often as they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.stats.estimate import Estimate
from superalign.stats.intervals import active_mean, clustered_rate, corrected_rate, paired_difference


def clustered_draws(rng: np.random.Generator, truth: float, groups: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Zeros and ones whose cluster rates are Beta distributed (intra-cluster correlation 1/4)."""
    rates = rng.beta(3 * truth, 3 * (1 - truth), groups)
    return (rng.random((groups, size)) < rates[:, None]).astype(float).ravel(), np.repeat(np.arange(groups), size)


@pytest.mark.parametrize("truth", [0.05, 0.3, 0.5, 0.95])
def test_clustered_rates_cover_the_truth_in_about_95_of_100_runs(truth: float) -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for run in range(400):
        values, clusters = clustered_draws(rng, truth, 40, 4)
        estimate = clustered_rate(values, clusters, run, 200)
        covered += estimate.low <= truth <= estimate.high
    assert covered / 400 >= 0.93


def test_ignoring_the_clusters_would_cover_far_less() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for run in range(200):
        values, _ = clustered_draws(rng, 0.4, 20, 16)
        estimate = clustered_rate(values, np.arange(values.size), run, 100)
        covered += estimate.low <= 0.4 <= estimate.high
    assert covered / 200 < 0.8


def test_zero_of_n_has_an_upper_bound_near_the_rule_of_three_over_clusters() -> None:
    estimate = clustered_rate(np.zeros(200), np.repeat(np.arange(50), 4))
    assert estimate.low == 0.0
    assert 3 / 50 < estimate.high < 4 / 50
    assert estimate.n == 200


def test_one_single_cluster_says_little() -> None:
    estimate = clustered_rate([0.0, 1.0, 1.0, 1.0], ["a"] * 4)
    assert estimate.high - estimate.low > 0.5


def test_an_estimate_is_a_function_of_its_seed() -> None:
    values, clusters = clustered_draws(np.random.default_rng(0), 0.5, 20, 3)
    assert clustered_rate(values, clusters, 7) == clustered_rate(values, clusters, 7)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=40))
def test_every_interval_holds_its_value_and_stays_within_the_unit(rows: list[tuple[float, int]]) -> None:
    estimate = clustered_rate([v for v, _ in rows], [c for _, c in rows], 0, 50)
    assert -1e-12 <= estimate.low <= estimate.value + 1e-12
    assert estimate.value - 1e-12 <= estimate.high <= 1 + 1e-12


def test_values_outside_the_unit_and_empty_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        clustered_rate([0.2, 1.5], [0, 1])
    with pytest.raises(ValueError, match="at least one row"):
        clustered_rate([], [])
    with pytest.raises(ValueError, match="2 values but 3 clusters"):
        clustered_rate([0, 1], [0, 1, 2])


def test_pairing_removes_the_noise_that_both_sides_share() -> None:
    rng = np.random.default_rng(3)
    difficulty = rng.random(120)
    before, after = (difficulty < 0.6).astype(float), (difficulty < 0.45).astype(float)
    paired = paired_difference(before, after, np.arange(120))
    separate = clustered_rate(before, np.arange(120)), clustered_rate(after, np.arange(120))
    assert paired.low > 0
    assert paired.high - paired.low < sum(e.high - e.low for e in separate)


@pytest.mark.parametrize(
    ("groups", "size", "up", "down"), [(20, 4, 0.05, 0.01), (40, 4, 0.02, 0.0), (100, 4, 0.02, 0.0), (5, 4, 0.1, 0.1)]
)
def test_paired_differences_cover_rare_changes_and_few_clusters(groups: int, size: int, up: float, down: float) -> None:
    """Percentiles of the bootstrap cover .70 to .91 of these, Student's interval .82 to .99."""
    rng, covered = np.random.default_rng(9), 0
    for run in range(300):
        rise, fall, _ = rng.dirichlet(np.maximum([2 * up, 2 * down, 2 - 2 * up - 2 * down], 1e-6), groups).T
        drawn = rng.random((groups, size))
        rises, falls = drawn < rise[:, None], drawn > 1 - fall[:, None]
        found = paired_difference(rises.ravel(), falls.ravel(), np.repeat(np.arange(groups), size), run, 200)
        covered += found.low <= up - down <= found.high
    assert covered / 300 >= 0.93


def test_one_change_in_a_hundred_rows_does_not_exclude_no_change() -> None:
    after = np.arange(100) == 7
    found = paired_difference(after, np.zeros(100), np.arange(100))
    assert found.value == pytest.approx(0.01) and found.low < 0 < found.high < 0.1


def test_changes_of_any_size_in_every_row_get_about_students_interval() -> None:
    change = np.random.default_rng(4).normal(0.05, 0.1, 200).clip(-0.5, 0.5)
    found = paired_difference(0.5 + change / 2, 0.5 - change / 2, np.arange(200))
    half = 1.97 * change.std(ddof=1) / 200**0.5
    assert (found.low, found.high) == pytest.approx((change.mean() - half, change.mean() + half), abs=0.15 * half)


@pytest.mark.parametrize("kind", ["Brier", "rare"])
def test_means_of_values_between_zero_and_one_cover_too(kind: str) -> None:
    """Squared errors of a sharp critic, and a few values above 0: percentiles cover .84 and .88 of them."""
    rng, covered = np.random.default_rng(11), 0
    z = rng.normal(size=(300, 10 if kind == "Brier" else 40, 1))
    if kind == "Brier":
        p = 1 / (1 + np.exp(-3 * z))
        values, truth = (p - (rng.random(z.shape) < p)) ** 2, float((p * (1 - p)).mean())
    else:
        z = np.sqrt(0.3) * z + np.sqrt(0.7) * rng.normal(size=(300, 40, 4))
        values, truth = (z < -2.0537) * rng.random(z.shape), 0.01  # P(z < -2.0537) = .02
    for run, each in enumerate(values):
        found = clustered_rate(each.ravel(), np.repeat(np.arange(each.shape[0]), each.shape[1]), run, 200)
        covered += found.low <= truth <= found.high
    assert covered / 300 >= 0.93


def test_no_difference_anywhere_still_has_a_width() -> None:
    estimate = paired_difference(np.ones(30), np.ones(30), np.arange(30))
    assert estimate.value == 0
    assert estimate.low < -0.05
    assert estimate.high > 0.05


@pytest.mark.parametrize("critic_error", [0.05, 0.35])
def test_active_means_cover_the_truth_even_with_a_bad_critic(critic_error: float) -> None:
    rng = np.random.default_rng(4)
    covered, values = 0, []
    for _ in range(400):
        y = (rng.random(400) < 0.4).astype(float)
        wrong = rng.random(400) < critic_error
        p = np.where(wrong, 1 - y, y) * 0.8 + 0.1 + rng.normal(0, 0.05, 400).clip(-0.1, 0.1)
        a = np.sqrt(p * (1 - p))
        pi = np.minimum(1, 60 * (0.3 / 400 + 0.7 * a / a.sum()))
        labels = np.where(rng.random(400) < pi, y, np.nan)
        estimate = active_mean(p, labels, pi)
        covered += estimate.low <= 0.4 <= estimate.high
        values.append(estimate.value)
    assert covered / 400 >= 0.92
    assert abs(np.mean(values) - 0.4) < 0.015


def test_active_mean_corrects_a_critic_that_is_biased_by_thirty_points() -> None:
    rng = np.random.default_rng(5)
    y = (rng.random(3000) < 0.3).astype(float)
    pi = np.full(3000, 0.3)
    estimate = active_mean(np.full(3000, 0.6), np.where(rng.random(3000) < pi, y, np.nan), pi)
    assert estimate.low <= 0.3 <= estimate.high < 0.45


def test_without_labels_nothing_is_known_about_the_mean() -> None:
    estimate = active_mean([0.9, 0.8], [np.nan, np.nan], [0.5, 0.5])
    assert (estimate.value, estimate.low, estimate.high) == (pytest.approx(0.85), 0.0, 1.0)


def test_a_propensity_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="could not be drawn"):
        active_mean([0.5, 0.5], [np.nan, 1.0], [0.0, 1.0])


def test_the_corrected_rate_covers_the_truth_where_the_raw_rate_does_not() -> None:
    rng = np.random.default_rng(6)
    truth, se, sp = 0.2, 0.85, 0.9
    raw_hits = corrected_hits = 0
    for run in range(200):
        y = rng.random(500) < truth
        seen = np.where(y, rng.random(500) < se, rng.random(500) > sp).astype(float)
        raw = clustered_rate(seen, np.arange(500), run, 100)
        judged = clustered_rate(rng.random(60) < se, np.arange(60)), clustered_rate(rng.random(60) < sp, np.arange(60))
        corrected = corrected_rate(raw, *judged)
        assert corrected is not None
        raw_hits += raw.low <= truth <= raw.high
        corrected_hits += corrected.low <= truth <= corrected.high
    assert raw_hits / 200 < 0.6
    assert corrected_hits / 200 >= 0.92


def test_a_weak_or_little_known_judge_corrects_nothing() -> None:
    observed = Estimate(0.3, 0.2, 0.4, 100)
    good = Estimate(0.9, 0.8, 0.95, 60)
    assert corrected_rate(observed, good, Estimate(0.3, 0.2, 0.4, 60)) is None
    assert corrected_rate(observed, good, Estimate(0.9, 0.7, 1.0, 29)) is None


def test_equal_weights_change_nothing_and_unequal_ones_widen_the_interval() -> None:
    values, clusters = np.arange(60) % 3 == 0, np.arange(60)
    plain, equal = clustered_rate(values, clusters), clustered_rate(values, clusters, weights=np.full(60, 2.0))
    assert equal == plain
    uneven = clustered_rate(values, clusters, weights=np.where(np.arange(60) < 6, 10.0, 1.0))
    assert uneven.value == pytest.approx((2 * 10 + 18) / (6 * 10 + 54))
    assert uneven.high - uneven.low > 1.3 * (plain.high - plain.low)
    assert paired_difference(values, ~values, clusters, weights=np.ones(60)) == paired_difference(
        values, ~values, clusters
    )


def test_a_few_heavy_rows_of_one_value_leave_much_unseen() -> None:
    ones = np.ones(30)
    heavy = clustered_rate(ones, np.arange(30), weights=np.where(np.arange(30) < 2, 10.0, 0.1))
    assert heavy.low < clustered_rate(np.ones(3), np.arange(3)).low < clustered_rate(ones, np.arange(30)).low
    assert heavy.high == 1
