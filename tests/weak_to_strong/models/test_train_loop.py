from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from superalign.errors import UserError
from superalign.weak_to_strong.base import FitSettings, Rows, Text, WeakLabels
from superalign.weak_to_strong.models import backbones
from superalign.weak_to_strong.models.finetuned import FinetunedStudent
from superalign.weak_to_strong.models.losses import Confidence, CrossEntropy, Objective, Product
from superalign.weak_to_strong.models.tokenization import Tokens
from superalign.weak_to_strong.models.train_loop import Vectors, backward, batches, fit, predict_logits, spaced
from superalign.weak_to_strong.protocol import split_groups
from tests.weak_to_strong.models.parts import certain, head, points

WORDS = ["how", "do", "I", "bake", "a", "cake", "the", "answer", "is", "yes", "no", "cannot", "help"]


def texts(n: int, length: int | None = None) -> tuple[Text, ...]:
    rng = np.random.default_rng(0)
    return tuple(Text(" ".join(rng.choice(WORDS, length or rng.integers(1, 20)))) for _ in range(n))


def tiny(model: str, inputs: tuple[Text, ...]) -> tuple[nn.Module, Tokens]:
    """A whole tiny language model under a head, as the student of `full:` trains it, and its rows."""
    rows = Rows(tuple(map(str, range(len(inputs)))), tuple(map(str, range(len(inputs)))), inputs)
    student = FinetunedStudent(model, False, 2, "classify", 0)
    return student._fresh(student._model_inputs(rows)), backbones.tokens(model, inputs)


def gradients(module: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in module.parameters() if p.grad is not None]


def test_a_head_learns_what_its_labels_say() -> None:
    x, truth = points()
    module = head()
    history = fit(module, Vectors(x), certain(truth), CrossEntropy(), FitSettings(), seed=0)
    said = predict_logits(module, Vectors(x), FitSettings()).argmax(1).numpy()
    assert (said == truth).mean() > 0.9
    assert history.loss[-1] < history.loss[0] == pytest.approx(np.log(2))
    assert len(history.loss) == 30 * 4


def test_the_same_seed_gives_the_same_bits_and_leaves_the_global_ones_alone() -> None:
    x, truth = points()
    torch.manual_seed(1)
    before, found = torch.get_rng_state(), []
    for seed in (0, 0, 1):
        module = head()
        fit(module, Vectors(x), certain(truth), Confidence(), FitSettings(epochs=3), seed)
        found.append(module.weight.detach().clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("objective", [CrossEntropy, Product, Confidence, lambda: Confidence(guard=False)])
@pytest.mark.parametrize("micro_batch", [1, 3, 5])
def test_micro_batches_give_the_gradient_of_the_whole_batch(
    tiny_model: str, objective: Callable[[], Objective], micro_batch: int
) -> None:
    rng = np.random.default_rng(0)
    targets = torch.from_numpy(rng.dirichlet([1, 1], 13)).float()
    weights = torch.from_numpy(rng.random(13)).float()
    found = []
    for size in (0, micro_batch):
        module, model_inputs = tiny(tiny_model, texts(13))
        logits = predict_logits(module, model_inputs, FitSettings())
        # Micro-batches of one class each: hardened by themselves they would come out otherwise than the whole batch.
        sorted_rows = (logits[:, 1] - logits[:, 0]).argsort().numpy()
        made = objective()
        made.start(targets, weights)
        settings = FitSettings(micro_batch=size)
        loss = backward(module, model_inputs, sorted_rows, targets, weights, made, 0.5, settings)
        found.append((loss, gradients(module)))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-5)
    for whole, parts in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-5 * float(whole.abs().max()))


class Kept:
    """What autograd keeps for the backward pass, in bytes, now and at most."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def pack(self, tensor: Tensor) -> Any:
        return _Held(tensor, self)


class _Held:
    def __init__(self, tensor: Tensor, kept: Kept) -> None:
        self.tensor, self._kept = tensor, kept
        kept.now += tensor.nbytes
        kept.most = max(kept.most, kept.now)

    def __del__(self) -> None:
        self._kept.now -= self.tensor.nbytes


def activations(model: str, rows: int, micro_batch: int) -> int:
    module, model_inputs = tiny(model, texts(rows, 8))
    targets = torch.full((rows, 2), 0.5)
    objective = Confidence()
    objective.start(targets, torch.ones(rows))
    kept = Kept()
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda held: held.tensor):
        backward(
            module,
            model_inputs,
            np.arange(rows),
            targets,
            torch.ones(rows),
            objective,
            0.5,
            FitSettings(micro_batch=micro_batch),
        )
    assert kept.now == 0
    return kept.most


def test_activation_memory_is_that_of_one_micro_batch(tiny_model: str) -> None:
    # Texts have the same number of words, but not of tokens: micro-batches differ a little.
    alone = activations(tiny_model, 32, 4)
    whole = [activations(tiny_model, rows, 4) for rows in (4, 8, 16, 32)]
    assert max(whole) < 1.3 * min(whole)
    assert alone == whole[-1]
    assert activations(tiny_model, 32, 0) > 5 * alone


def test_rows_of_weight_zero_are_left_out() -> None:
    x, truth = points()
    wrong = np.arange(200) < 80
    labels = WeakLabels(np.eye(2)[np.where(wrong, 1 - truth, truth)], np.where(wrong, 0.0, 1.0), ("weak",))
    alone = WeakLabels(np.eye(2)[truth[~wrong]], np.ones(120), ("weak",))
    settings, found = FitSettings(epochs=3, batch_size=200), []
    for rows, given in ((x, labels), (x[~wrong], alone)):
        module = head()
        history = fit(module, Vectors(rows), given, CrossEntropy(), settings, seed=0)
        found.append(module.weight.detach().clone())
        assert len(history.loss) == 3
    torch.testing.assert_close(found[0], found[1])


def test_twice_the_weight_is_the_row_twice() -> None:
    x, truth = points(20)
    twice = np.concatenate([np.arange(20), np.arange(5)])
    settings, found = FitSettings(epochs=5, batch_size=100), []
    weights = np.where(np.arange(20) < 5, 2.0, 1.0)
    for rows, labels in (
        (x, WeakLabels(np.eye(2)[truth], weights, ("weak",))),
        (x[twice], certain(truth[twice])),
    ):
        module = head()
        fit(module, Vectors(rows), labels, CrossEntropy(), settings, seed=0)
        found.append(module.weight.detach().clone())
    torch.testing.assert_close(found[0], found[1])


def test_no_weight_at_all_is_refused() -> None:
    x, truth = points(20)
    labels = WeakLabels(np.eye(2)[truth], np.zeros(20), ("words:60", "filter:0.5"))
    with pytest.raises(UserError, match=r"filter:0\.5 leave no row to train on"):
        fit(head(), Vectors(x), labels, CrossEntropy(), FitSettings(), seed=0)


def test_a_loss_that_is_not_finite_is_refused_with_a_remedy() -> None:
    x, truth = points(20)
    x[3, 3] = np.inf
    with pytest.raises(UserError, match=r"the loss is nan at step 1 of 30: lower learning_rate=0\.01"):
        fit(head(), Vectors(x), certain(truth), CrossEntropy(), FitSettings(), seed=0)


def test_batches_hold_every_row_once_an_epoch_and_rows_of_similar_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 640)
    settings = FitSettings(epochs=2, batch_size=32)
    made = list(batches(lengths, np.arange(640), settings, seed=0))
    first, second = made[:20], made[20:]
    for epoch in (first, second):
        assert sorted(np.concatenate(epoch).tolist()) == list(range(640))
    assert max(np.ptp(lengths[batch]) for batch in made) < 12
    starts = [int(lengths[batch].min()) for batch in first]
    assert starts != sorted(starts)
    assert [b.tolist() for b in first] != [b.tolist() for b in second]


def test_no_batch_is_a_stray_rest() -> None:
    sizes = {len(b) for b in batches(np.ones(65, dtype=np.int64), np.arange(65), FitSettings(epochs=1), seed=0)}
    assert sizes == {33, 32}


def test_watched_rows_are_predicted_at_evenly_spaced_steps() -> None:
    x, truth = points()
    watched = Vectors(points(50, seed=1)[0])
    history = fit(
        head(), Vectors(x), certain(truth), CrossEntropy(), FitSettings(epochs=9, curve_points=4), 0, watch=watched
    )
    assert history.steps == [1, 13, 24, 36]
    assert [w.shape for w in history.watched] == [(50,)] * 4


@pytest.mark.parametrize(
    ("total", "points", "steps"), [(3, 10, {1, 2, 3}), (100, 2, {1, 100}), (5, 1, {1, 5}), (5, 0, set())]
)
def test_steps_are_spaced_from_the_first_to_the_last(total: int, points: int, steps: set[int]) -> None:
    assert spaced(total, points) == steps


def test_early_stopping_keeps_the_state_that_agrees_best_with_the_labels_given() -> None:
    rng = np.random.default_rng(0)
    x, truth = points(120)
    noise = rng.normal(size=(120, 300))  # enough to learn every label by heart
    given = np.where(rng.random(120) < 0.35, 1 - truth, truth)
    x = np.hstack([x, noise])
    settings = FitSettings(epochs=60, validation=0.4)
    module = head(310)
    history = fit(module, Vectors(x), certain(given), CrossEntropy(), settings, seed=0)
    (note,) = history.notes
    assert "agrees best with the labels given" in note
    step = int(note.split("after step ")[1].split(" ")[0])
    assert step < len(history.loss)
    _, held = split_groups(tuple(map(str, range(120))), (0.6, 0.4), 0)
    said = predict_logits(module, Vectors(x), settings).argmax(1).numpy()
    assert f"({(said == given)[held].mean():.2f} of {len(held)} rows held out)" in note


def test_validation_holds_out_whole_groups() -> None:
    x, truth = points(40)
    with pytest.raises(UserError, match=r"validation=0\.2 needs at least 2 groups"):
        fit(head(), Vectors(x), certain(truth), CrossEntropy(), FitSettings(validation=0.2), 0, groups=("one",) * 40)
