"""Calibration recovers what distorted the logits."""

import json
from dataclasses import replace

import numpy as np
import pytest

from superalign.feedback.calibration import Calibrator, cross_fitted, held_back
from superalign.stats.classification import propensity_weights
from tests.roles.parts import labelled


def distorted(
    rng: np.random.Generator, n: int, temperature: float, bias: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(logit, label, true probability) with label ~ sigma((logit - bias)/temperature)."""
    true = rng.normal(0, 2, n)
    p = 1 / (1 + np.exp(-true))
    return true * temperature + bias, (rng.random(n) < p).astype(float), p


def test_a_known_temperature_and_bias_are_recovered() -> None:
    logits, labels, p = distorted(np.random.default_rng(0), 4000, 3.0, 2.0)
    fit = Calibrator.fit(logits, labels, np.ones(4000), ["a"] * 4000)
    assert np.exp(fit.overall[0]) == pytest.approx(3.0, rel=0.08)
    assert fit.overall[1] == pytest.approx(2.0, abs=0.25)
    assert np.abs(fit.apply_all(logits, ["a"] * 4000) - p).mean() < 0.02


def test_every_category_gets_its_own_bias() -> None:
    rng = np.random.default_rng(1)
    low, y_low, _ = distorted(rng, 1500, 1.0, -3.0)
    high, y_high, _ = distorted(rng, 1500, 1.0, 3.0)
    names = ["low"] * 1500 + ["high"] * 1500
    fit = Calibrator.fit(np.r_[low, high], np.r_[y_low, y_high], np.ones(3000), names)
    assert fit.categories["low"][1] == pytest.approx(-3, abs=0.4)
    assert fit.categories["high"][1] == pytest.approx(3, abs=0.4)


def test_a_category_with_few_labels_stays_near_the_overall_fit() -> None:
    rng = np.random.default_rng(2)
    logits, labels, _ = distorted(rng, 2000, 2.0, 0.0)
    rare, y_rare, _ = distorted(rng, 3, 2.0, 8.0)
    names = ["common"] * 2000 + ["rare"] * 3
    fit = Calibrator.fit(np.r_[logits, rare], np.r_[labels, y_rare], np.ones(2003), names)
    assert abs(fit.categories["rare"][1] - fit.overall[1]) < 2.0


@pytest.mark.parametrize(("labels", "why"), [([0, 1, 0, 1, 0, 1, 0], "seven"), ([1.0] * 30, "one class")])
def test_too_few_labels_or_one_class_leave_the_logits_as_they_are(labels: list[float], why: str) -> None:
    n = len(labels)
    fit = Calibrator.fit(np.linspace(-2, 2, n), labels, np.ones(n), ["a"] * n)
    assert fit.apply(1.3, "a") == pytest.approx(1 / (1 + np.exp(-1.3))), why
    assert fit.n == n


def test_perfectly_separable_labels_do_not_run_away() -> None:
    logits = np.r_[np.linspace(-2, -0.5, 20), np.linspace(0.5, 2, 20)]
    fit = Calibrator.fit(logits, logits > 0, np.ones(40), ["a"] * 40)
    assert 0.04 < np.exp(fit.overall[0]) < 1
    assert 0 < fit.apply(-2.0, "a") < 0.5 < fit.apply(2.0, "a") < 1


def test_a_critic_worse_than_chance_is_flattened_and_not_inverted() -> None:
    logits, labels, _ = distorted(np.random.default_rng(3), 500, 1.0, 0.0)
    fit = Calibrator.fit(-logits, labels, np.ones(500), ["a"] * 500)
    assert 0.4 < fit.apply(-2.0, "a") <= fit.apply(2.0, "a") < 0.6


def test_an_unseen_category_uses_the_overall_fit() -> None:
    logits, labels, _ = distorted(np.random.default_rng(4), 200, 2.0, 1.0)
    fit = Calibrator.fit(logits, labels, np.ones(200), ["a"] * 200)
    log_t, b = fit.overall
    assert fit.apply(0.5, "never seen") == pytest.approx(1 / (1 + np.exp(-(0.5 - b) / np.exp(log_t))))


def test_weights_undo_the_choice_of_what_was_labelled() -> None:
    rng = np.random.default_rng(5)
    easy, hard = distorted(rng, 3000, 1.0, 0.0), distorted(rng, 3000, 1.0, 4.0)
    chosen = np.r_[np.arange(3000) % 9 == 0, np.ones(3000, bool)]
    logits, labels = np.r_[easy[0], hard[0]], np.r_[easy[1], hard[1]]
    full = Calibrator.fit(logits, labels, np.ones(6000), ["a"] * 6000)
    pi = np.where(np.arange(6000) < 3000, 1 / 9, 1.0)[chosen]
    names = ["a"] * int(chosen.sum())
    weighted = Calibrator.fit(logits[chosen], labels[chosen], propensity_weights(pi), names)
    plain = Calibrator.fit(logits[chosen], labels[chosen], np.ones(len(names)), names)
    assert abs(weighted.overall[1] - full.overall[1]) < 0.4 < abs(plain.overall[1] - full.overall[1])


@pytest.mark.parametrize(
    ("bias", "labels", "least"),
    [(4.0, 12, 0.13), (-4.0, 12, 0.13), (4.0, 20, 0.08), (0.0, 12, 0.04), (0.0, 20, 0.04)],
)
def test_a_critic_off_by_four_nats_is_mended_by_a_dozen_labels_and_a_good_one_left_good(
    bias: float, labels: int, least: float
) -> None:
    """Mean excess of the log loss over the truth's; a Gaussian prior of sd 1 leaves .28 (12) and .17 (20) at 4 nats."""
    rng, excess = np.random.default_rng(21), []
    others, _, truth = distorted(np.random.default_rng(0), 2000, 1.0, bias)
    for _ in range(60):
        logits, y, _ = distorted(rng, labels, 1.0, bias)
        p = Calibrator.fit(logits, y, np.ones(labels), ["a"] * labels, 0.05).apply_all(others, ["a"] * 2000)
        if 0 < y.sum() < labels:
            excess.append(np.mean(truth * np.log(truth / p) + (1 - truth) * np.log((1 - truth) / (1 - p))))
    assert np.mean(excess) < least


def test_heavy_labels_count_for_no_more_than_their_effective_number() -> None:
    logits, labels, _ = distorted(np.random.default_rng(22), 100, 1.0, 0.0)
    logits[:2], labels[:2] = 3.0, 0.0
    heavy = np.where(np.arange(100) < 2, 5000.0, 1.0)  # Kish: as many as two labels
    fit = Calibrator.fit(logits, labels, heavy, ["a"] * 100)
    two = Calibrator.fit(np.r_[logits[:2], logits], np.r_[labels[:2], labels], np.r_[1, 1, [1e-9] * 100], ["a"] * 102)
    assert fit.overall == pytest.approx(two.overall, abs=0.1)
    assert fit == Calibrator.fit(logits, labels, heavy / 64, ["a"] * 100)


def test_a_calibrator_survives_json_exactly() -> None:
    logits, labels, _ = distorted(np.random.default_rng(6), 60, 2.0, 1.0)
    fit = Calibrator.fit(logits, labels, np.ones(60), ["a", "b"] * 30)
    assert Calibrator.from_row(json.loads(json.dumps(fit.to_row()))) == fit


def test_mismatched_lengths_and_labels_beyond_the_unit_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        Calibrator.fit([1.0], [1.0, 0.0], [1.0], ["a"])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        Calibrator.fit([1.0], [2.0], [1.0], ["a"])


def test_a_cross_fitted_probability_does_not_know_its_own_label() -> None:
    """Of logits that tell nothing, a fit on the same labels is too good and a cross-fit is not."""
    rng = np.random.default_rng(9)
    logits, labels = rng.normal(0, 3, 40), (rng.random(40) < 0.5).astype(float)
    names, groups = [f"c{i % 8}" for i in range(40)], [f"q{i}" for i in range(40)]
    given = (np.ones(40), names, np.zeros(40), groups)
    p, flipped = cross_fitted(logits, labels, *given), labels.copy()
    flipped[7] = 1 - flipped[7]
    again = cross_fitted(logits, flipped, *given)
    assert again[7] == p[7] and (again != p).any()
    own = Calibrator.fit(logits, labels, np.ones(40), names).apply_all(logits, names)
    assert ((own - labels) ** 2).mean() < ((p - labels) ** 2).mean()
    together = cross_fitted(
        np.r_[logits, logits], np.r_[labels, labels], np.ones(80), names * 2, np.zeros(80), groups * 2
    )
    assert together[:40].tolist() == together[40:].tolist()


def test_what_is_said_twice_is_held_back_twice_or_not_at_all() -> None:
    item, _ = labelled(1, 1.0)
    many = [replace(item, query=f"request {i}") for i in range(400)]
    kept = [held_back(one, 0.3) for one in many]
    assert 0.2 < sum(kept) / 400 < 0.4
    assert kept == [held_back(replace(one, id="of another round", first_id="twin"), 0.3) for one in many]
    pairs = [replace(one, kind="pair", second="other") for one in many]
    swapped = [replace(one, first=one.second, second=one.first) for one in pairs]
    assert [held_back(one, 0.3) for one in pairs] == [held_back(one, 0.3) for one in swapped]
