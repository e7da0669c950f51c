"""What a student took from its supervisor."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.weak_to_strong.metrics.agreement import (
    agreement,
    confident_disagreement,
    deception,
    expected_calibration,
    expected_overconfidence,
    imitation_curve,
    probed,
    saliency,
)
from superalign.weak_to_strong.metrics.pgr import Scores

ROWS = np.arange(200)


def flipped(labels: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(len(labels)) < rate, 1 - labels, labels)


def test_a_copy_agrees_everywhere_and_truth_agrees_only_where_the_supervisor_is_right() -> None:
    rng = np.random.default_rng(0)
    truth = [rng.integers(0, 2, 200) for _ in range(3)]
    weak = [flipped(y, 0.25, rng) for y in truth]
    clusters = [ROWS] * 3
    copy, honest = agreement(weak, weak, truth, clusters), agreement(truth, weak, truth, clusters)
    assert copy.supervisor_wrong is not None and copy.supervisor_wrong.value == copy.all.value == 1.0
    assert honest.supervisor_right is not None and honest.supervisor_wrong is not None
    assert (honest.supervisor_right.value, honest.supervisor_wrong.value) == (1.0, 0.0)
    assert honest.supervisor_right.n + honest.supervisor_wrong.n == honest.all.n == 600


def test_a_supervisor_that_never_errs_has_no_errors_to_imitate() -> None:
    y = np.tile([0, 1], 50)
    found = agreement([y], [y], [y], [np.arange(100)])
    assert found.supervisor_wrong is None and found.to_dict()["supervisor_wrong"] is None


def test_splits_without_errors_of_the_supervisor_are_no_hindrance() -> None:
    y, wrong = np.tile([0, 1], 50), np.tile([0, 0], 50)
    found = agreement([y, y], [y, wrong], [y, y], [np.arange(100)] * 2)
    assert found.supervisor_wrong is not None and found.supervisor_wrong.n == 50


def test_imitation_is_followed_over_the_steps_of_training() -> None:
    truth, weak = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 0])
    curve = imitation_curve(np.array([[0, 0, 0, 0], truth, weak]), weak, truth)
    assert curve == {"accuracy": [0.5, 1.0, 0.5], "right": [0.5, 1.0, 1.0], "wrong": [0.5, 0.0, 1.0]}
    assert imitation_curve(np.array([[0, 0, 1, 1]]), truth, truth)["wrong"] == []


def test_calibration_is_pooled_over_splits() -> None:
    rng = np.random.default_rng(1)
    p = [rng.random(400) for _ in range(4)]
    clusters = [np.arange(400)] * 4
    sound = expected_calibration(p, [rng.random(400) < each for each in p], clusters)
    sure = expected_calibration([np.round(each) for each in p], [rng.random(400) < each for each in p], clusters)
    assert sound.n == 1600 and sound.high < sure.low


def test_only_disagreement_of_two_who_are_sure_counts_as_confident() -> None:
    sure0, sure1, unsure1 = [0.99, 0.01], [0.01, 0.99], [0.4, 0.6]
    student, weak = np.array([sure0, sure0, sure0, unsure1]), np.array([sure1, sure0, unsure1, sure0])
    assert confident_disagreement([student], [weak], [np.arange(4)]).value == 0.25


def test_overconfidence_is_signed() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 500)
    right = rng.random(500) < 0.8
    said = np.where(right, truth, 1 - truth)
    for confidence, sign in ((0.95, 1), (0.6, -1)):
        p = np.full((500, 2), 1 - confidence)
        p[np.arange(500), said] = confidence
        found = expected_overconfidence([p], [truth], [np.arange(500)])
        assert found.value == pytest.approx(confidence - right.mean())
        assert sign * found.low > 0 and sign * found.high > 0


def scores(weak: list[int], student: list[int], ceiling: list[int]) -> Scores:
    return Scores(*(np.array(each, dtype=float) for each in (weak, student, ceiling)), np.arange(len(weak)))


def test_the_deception_score_is_the_share_of_known_errors_that_the_supervisor_cannot_see() -> None:
    #        strong-known: 5 rows, of which weak-unknown: the last 3
    found = deception([scores([1, 1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 1, 0, 0], [1, 1, 1, 1, 1, 0, 0])])
    assert found.score is not None
    assert (found.score.value, found.score.n) == (pytest.approx(2 / 3), 3)
    assert found.base_rate == pytest.approx(3 / 5)
    assert found.rows == ((2, 3), (1, 1)) and found.errors == ((1, 2), (1, 1))
    assert sum(found.to_dict()["score"][end] for end in ("low", "high")) > 0


def test_errors_placed_at_random_score_the_base_rate_and_imitation_scores_more() -> None:
    rng = np.random.default_rng(3)
    weak = [(rng.random(500) < 0.7).astype(float) for _ in range(5)]
    aimless = [(rng.random(500) < 0.8).astype(float) for _ in range(5)]
    ceiling, clusters = np.ones(500), np.arange(500)
    random = deception([Scores(w, s, ceiling, clusters) for w, s in zip(weak, aimless, strict=True)])
    imitated = deception([Scores(w, w, ceiling, clusters) for w in weak])
    assert random.score is not None and random.base_rate is not None and imitated.score is not None
    assert random.score.low < random.base_rate < random.score.high
    assert imitated.score.value == 1.0


def test_without_errors_on_known_rows_there_is_no_deception_score() -> None:
    found = deception([scores([1, 0, 0], [1, 1, 0], [1, 1, 0])])
    assert found.to_dict() == {"score": None, "base_rate": 0.5}
    assert deception([scores([1, 0], [0, 0], [0, 0])]).base_rate is None


def test_features_that_tell_the_truth_more_plainly_are_more_salient() -> None:
    rng = np.random.default_rng(4)
    y, y_test = rng.integers(0, 3, 400), rng.integers(0, 3, 300)

    def features(labels: np.ndarray, signal: float) -> np.ndarray:
        return np.eye(3)[labels] * signal + rng.normal(size=(len(labels), 3)) * np.array([1.0, 1.0, 100.0])

    before, after = ((features(y, s), features(y_test, s)) for s in (0.5, 4.0))
    found = saliency(*([probed(x, y, x_test, y_test)] for x, x_test in (before, after)), [np.arange(300)])
    assert found.change.low > 0 and found.change.value == pytest.approx(found.after.value - found.before.value)
    assert found.after.n == 300
