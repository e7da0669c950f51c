"""The guard of the confidence loss, in real training on digits."""

from __future__ import annotations

import numpy as np
import torch

from superalign.weak_to_strong.base import FitSettings, Floats, Ints, WeakLabels
from superalign.weak_to_strong.models.losses import Confidence, CrossEntropy
from superalign.weak_to_strong.models.train_loop import Vectors, fit, predict_logits
from tests.weak_to_strong.models.parts import certain, head


def digits() -> tuple[Floats, Ints]:
    from sklearn.cluster import KMeans
    from sklearn.datasets import load_digits

    images, digit = load_digits(return_X_y=True)
    distances = KMeans(100, n_init=1, random_state=0).fit(images).transform(images)
    return np.exp(-(distances**2) / (2 * distances.min(1).mean() ** 2)), digit


def test_a_student_that_starts_out_sure_of_something_else_is_caught_and_saved() -> None:
    x, digit = digits()
    task, other = np.isin(digit, [1, 4, 5, 7, 9]).astype(int), (digit >= 5).astype(int)
    train, test = np.arange(650), np.arange(650, 1797)
    rng = np.random.default_rng(0)
    weak = certain(np.where(rng.random(650) < 0.1, 1 - task[train], task[train]))
    found = {}
    for guard in (True, False):
        module = head(100)
        fit(module, Vectors(x[train]), certain(other[train]), CrossEntropy(), FitSettings(learning_rate=0.05), 0)
        history = fit(
            module,
            Vectors(x[train]),
            weak,
            Confidence(guard=guard),
            FitSettings(learning_rate=0.02),
            0,
            expected_accuracy=0.9,
        )
        said = predict_logits(module, Vectors(x[test]), FitSettings()).argmax(1).numpy()
        found[guard] = ((said == task[test]).mean(), history.notes)
    assert found[False][1] == []
    (note,) = found[True][1]
    assert note.startswith("step ") and "the confidence loss was turned off: the student agrees with" in note
    assert found[True][0] > found[False][0] + 0.1


def test_the_guard_is_silent_on_healthy_digits() -> None:
    x, digit = digits()
    task = np.isin(digit, [1, 4, 5, 7, 9]).astype(int)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(1797)
        first, second = order[:650], order[650:1300]
        supervisor = head(10)
        few = Vectors(x[:, :10])
        labels = certain(task[first])
        fit(supervisor, Vectors(x[first, :10]), labels, CrossEntropy(), FitSettings(), seed)
        p = torch.softmax(predict_logits(supervisor, few, FitSettings()).double(), 1).numpy()
        accuracy = float((p[second].argmax(1) == task[second]).mean())
        weak = WeakLabels.of(p[second], "weak")
        for objective in (Confidence(), Confidence(threshold="streaming")):
            history = fit(
                head(100), Vectors(x[second]), weak, objective, FitSettings(), seed, expected_accuracy=accuracy
            )
            assert history.notes == []
