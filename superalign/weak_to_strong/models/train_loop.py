"""The training loop of every student: micro-batches, AdamW, cosine decay, watched rows, early stopping.

Dropout stays off, as in the paper's code: a fit is the same whatever the micro-batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from superalign.errors import UserError
from superalign.weak_to_strong.base import FitSettings, History, Ints, WeakLabels
from superalign.weak_to_strong.models.losses import Objective, soft_cross_entropy
from superalign.weak_to_strong.protocol import split_groups

CLIP = 1.0
POOL = 32  # batches whose rows are sorted by length together
CHECKS = 10  # validations of a fit at least, where it has any


class ModelInputs(Protocol):
    """Rows as a module takes them."""

    lengths: Ints
    """Size of each row (tokens; 1 of a vector), shape (n,): rows of similar size make a batch."""

    def __len__(self) -> int: ...

    def batch(self, index: Ints) -> Any:
        """The rows at these positions, as the module's one argument."""


class Vectors:
    """Feature vectors, [n, d] float32."""

    def __init__(self, features: np.ndarray) -> None:
        self._features = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))
        self.lengths: Ints = np.ones(len(features), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, index: Ints) -> Tensor:
        """The vectors at these positions, [b, d]."""
        return self._features[torch.from_numpy(index)]


class Both:
    """Two sides of pairs."""

    def __init__(self, first: ModelInputs, second: ModelInputs) -> None:
        self._sides = (first, second)
        self.lengths: Ints = np.maximum(first.lengths, second.lengths)

    def __len__(self) -> int:
        return len(self._sides[0])

    def batch(self, index: Ints) -> tuple[Any, Any]:
        """Both sides of the pairs at these positions."""
        return self._sides[0].batch(index), self._sides[1].batch(index)


class Difference(nn.Module):
    """Two sides to logits (0, s(first) - s(second)) [b, 2] by one scorer: P(first better) of Bradley and Terry."""

    def __init__(self, scorer: nn.Module) -> None:
        super().__init__()
        self.scorer = scorer

    def forward(self, sides: tuple[Any, Any]) -> Tensor:
        """Logits of pairs."""
        margin = self.scorer(sides[0]) - self.scorer(sides[1])
        return torch.cat([torch.zeros_like(margin), margin], dim=1)


def fit(
    module: nn.Module,
    model_inputs: ModelInputs,
    labels: WeakLabels,
    objective: Objective,
    settings: FitSettings,
    seed: int,
    *,
    groups: Sequence[str] | None = None,
    watch: ModelInputs | None = None,
    expected_accuracy: float | None = None,
) -> History:
    """Train the parameters of `module` that want a gradient, in place.

    Args:
        module: `module(source.batch(index))` gives logits [b, classes].
        source: the labelled rows, n of them.
        labels: their labels, n rows; those of weight 0 are left out before batches are made.
        objective: what is minimised.
        settings: epochs, rate and batches.
        seed: of the order of the rows and of the validation split.
        groups: of the rows; a validation split keeps groups whole.
        watch: rows predicted at `settings.curve_points` evenly spaced steps, the first and the last among them.
        expected_accuracy: of the supervisor, for the objective's guard.

    Returns:
        The history; `steps` count from 1. With early stopping its last watched predictions are those of the last
        step, and the module is left in the best state.

    Raises:
        UserError: no row has weight, validation has no group to hold out, or the loss is not finite.
    """
    began, history = time.perf_counter(), History()
    kept = np.flatnonzero(labels.weights > 0)
    if not len(kept):
        raise UserError(f"the labels of {labels.provenance[-1]} leave no row to train on: every weight is 0")
    held: Ints = np.zeros(0, dtype=np.int64)
    if settings.validation:
        kept, held = _hold_out(kept, groups, settings.validation, seed)
    parameters = [p for p in module.parameters() if p.requires_grad]
    device = parameters[0].device
    targets = torch.from_numpy(labels.probabilities).float().to(device)
    weights = torch.from_numpy(labels.weights).float().to(device)
    module.eval()
    objective.start(targets[kept], weights[kept], expected_accuracy)
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=device.type in ("cpu", "cuda")
    )
    total = settings.epochs * math.ceil(len(kept) / settings.batch_size)
    curve = spaced(total, settings.curve_points) if watch is not None else set()
    checks = spaced(total, max(CHECKS, settings.epochs)) if len(held) else set()
    best, best_step, best_state = -1.0, 0, []

    for step, index in enumerate(batches(model_inputs.lengths, kept, settings, seed), start=1):
        progress = (step - 1) / total
        optimizer.param_groups[0]["lr"] = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
        where = torch.from_numpy(index).to(device)
        loss = backward(module, model_inputs, index, targets[where], weights[where], objective, progress, settings)
        if not math.isfinite(loss):
            raise UserError(
                f"the loss is {loss} at step {step} of {total}: lower learning_rate={settings.learning_rate:g}"
            )
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        optimizer.zero_grad()
        history.loss.append(loss)
        while objective.notes:
            history.notes.append(f"step {step} of {total}: {objective.notes.pop(0)}")
        if step in curve and watch is not None:
            history.steps.append(step)
            history.watched.append(predict_logits(module, watch, settings).argmax(1).cpu().numpy())
        if step in checks:
            predicted = predict_logits(module, model_inputs, settings, held).argmax(1)
            agreement = float((predicted == targets[held].argmax(1)).float().mean())
            if agreement > best:
                best, best_step = agreement, step
                best_state = [p.detach().to("cpu", copy=True) for p in parameters]

    if best_state:
        with torch.no_grad():
            for parameter, value in zip(parameters, best_state, strict=True):
                parameter.copy_(value)
        history.notes.append(
            f"kept the state after step {best_step} of {total}, which agrees best with the labels given "
            f"({best:.2f} of {len(held)} rows held out)"
        )
    history.seconds = time.perf_counter() - began
    return history


def backward(
    module: nn.Module,
    model_inputs: ModelInputs,
    index: Ints,
    targets: Tensor,
    weights: Tensor,
    objective: Objective,
    progress: float,
    settings: FitSettings,
) -> float:
    """Add the gradient of one batch, micro-batch by micro-batch; returns its loss.

    Weights are normalised over the batch and targets that depend on the whole of it come from a first pass without
    gradient, so that the gradient is the same for every micro-batch, and the graph of one alone is held at a time.
    """
    weights = weights / weights.sum()
    size = settings.micro_batch or len(index)
    parts = [slice(start, start + size) for start in range(0, len(index), size)]
    aims: Tensor | None = None
    if len(parts) > 1 and objective.whole_batch(progress):
        with torch.no_grad():
            logits = torch.cat([module(model_inputs.batch(index[part])) for part in parts])
        aims = objective.aim(logits, targets, progress)
    loss = 0.0
    for part in parts:
        logits = module(model_inputs.batch(index[part]))
        if aims is None:
            partial = objective.loss(logits, targets[part], weights[part], progress)
        else:
            partial = (weights[part] * soft_cross_entropy(logits, aims[part])).sum()
        partial.backward()
        loss += partial.item()
    return loss


def batches(lengths: Ints, kept: Ints, settings: FitSettings, seed: int) -> Iterator[Ints]:
    """Positions of every epoch's batches: equally large, of rows of similar length, in shuffled order.

    Among rows of one length the order is random; so are batches of vectors.
    """
    rng = np.random.default_rng(seed)
    count = math.ceil(len(kept) / settings.batch_size)
    for _ in range(settings.epochs):
        order = rng.permutation(kept)
        pools = np.array_split(order, math.ceil(count / POOL))
        order = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
        made = np.array_split(order, count)
        for position in rng.permutation(count):
            yield made[position]


@torch.no_grad()
def predict_logits(
    module: nn.Module, model_inputs: ModelInputs, settings: FitSettings, index: Ints | None = None
) -> Tensor:
    """Logits [n, classes] of all the rows, or of those at `index`, in batches of similar length."""
    index = np.arange(len(model_inputs)) if index is None else index
    order = np.argsort(model_inputs.lengths[index], kind="stable")
    size = settings.micro_batch or max(settings.batch_size, 32)
    parts = [module(model_inputs.batch(index[order[i : i + size]])) for i in range(0, len(order), size)]
    logits = torch.cat(parts).float()
    found = torch.empty_like(logits)
    found[torch.from_numpy(order)] = logits
    return found


def spaced(total: int, points: int) -> set[int]:
    """At most `points` evenly spaced steps of 1..total, both ends among them."""
    return {round(step) for step in np.linspace(1, total, points)} | {total} if points else set()


def _hold_out(kept: Ints, groups: Sequence[str] | None, share: float, seed: int) -> tuple[Ints, Ints]:
    names = tuple(str(i) if groups is None else groups[i] for i in kept)
    train, held = split_groups(names, (1 - share, share), seed)
    if not len(train) or not len(held):
        raise UserError(
            f"validation={share:g} needs at least 2 groups of rows, and there are {len(set(names))}: "
            "set validation=0 or give more rows"
        )
    return kept[train], kept[held]
