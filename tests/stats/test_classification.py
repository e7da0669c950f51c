"""Calibration error, Brier score, sensitivity and specificity, of weighted rows, too."""

import numpy as np
import pytest

from superalign.stats.classification import brier, ece, ece_estimate, propensity_weights, sensitivity_specificity


def test_propensity_weights_have_mean_one_and_are_cut_nowhere() -> None:
    weights = propensity_weights([1.0, 0.5, 0.001])  # Hajek (1971): in proportion to 1/pi
    assert weights.mean() == pytest.approx(1)
    assert weights[2] / weights[0] == pytest.approx(1000)


def test_weights_undo_the_choice_of_what_is_examined() -> None:
    rng = np.random.default_rng(10)
    p = rng.random(6000)
    y = (rng.random(6000) < np.where(p > 0.5, p, p / 3)).astype(float)
    pi = np.where(p > 0.5, 0.9, 0.15)
    seen = np.flatnonzero(rng.random(6000) < pi)
    weights = propensity_weights(pi[seen])
    for figure in (ece_estimate, brier):
        whole = figure(p, y, np.arange(6000)).value
        weighted, plain = (figure(p[seen], y[seen], seen, weights=w) for w in (weights, None))
        assert abs(weighted.value - whole) < 0.01 < abs(plain.value - whole)
        assert weighted.low <= weighted.value <= weighted.high
    (whole_se, whole_sp), (se, sp) = (
        sensitivity_specificity(p, y, range(6000)),
        sensitivity_specificity(p[seen], y[seen], seen, weights=weights),
    )
    assert whole_se and whole_sp and se and sp
    assert (se.value, sp.value) == (pytest.approx(whole_se.value, abs=0.02), pytest.approx(whole_sp.value, abs=0.02))


def test_ece_is_small_when_calibrated_and_equals_the_gap_when_not() -> None:
    rng = np.random.default_rng(7)
    p = rng.random(20000)
    y = rng.random(20000) < p
    assert ece(p, y) < 0.02
    assert ece(np.full(1000, 0.9), np.arange(1000) % 2) == pytest.approx(0.4, abs=1e-3)


def test_the_ece_estimate_holds_its_value_and_narrows_with_rows() -> None:
    rng = np.random.default_rng(8)
    p = rng.random(2000)
    y = (rng.random(2000) < p**2).astype(float)
    few, many = (ece_estimate(p[:n], y[:n], np.arange(n) // 2) for n in (100, 2000))
    assert many.value == pytest.approx(ece(p, y))
    assert many.low <= many.value <= many.high
    assert few.high - few.low > many.high - many.low


@pytest.mark.parametrize(("slope", "n"), [(1.0, 40), (1.0, 400), (2.0, 100)])
def test_the_interval_holds_the_critics_own_error_which_chance_enlarges(slope: float, n: int) -> None:
    """Of 15 bins of few labels the value is .06 to .20 where the critic's error is 0: bootstrap intervals held none."""
    rng, covered = np.random.default_rng(9), 0

    def answers(count: int) -> tuple[np.ndarray, np.ndarray]:
        logit = rng.normal(0, 1.5, count)
        return 1 / (1 + np.exp(-slope * logit)), rng.random(count) < 1 / (1 + np.exp(-logit))

    truth = ece(*answers(400_000))
    for run in range(100):
        found = ece_estimate(*answers(n), np.arange(n), run, 200)
        covered += found.low <= truth <= found.high
    assert covered >= 93


def test_brier_is_the_mean_squared_gap() -> None:
    assert brier([0.8, 0.4], [1, 0], [0, 1]).value == pytest.approx((0.04 + 0.16) / 2)


def test_sensitivity_and_specificity_count_their_own_class_and_skip_ties() -> None:
    se, sp = sensitivity_specificity([0.9, 0.2, 0.1, 0.7, 0.9], [1, 1, 0, 0, 0.5], [0, 1, 2, 3, 4])
    assert se is not None
    assert sp is not None
    assert (se.value, se.n, sp.value, sp.n) == (0.5, 2, 0.5, 2)
    assert sensitivity_specificity([0.9], [1], [0])[1] is None
