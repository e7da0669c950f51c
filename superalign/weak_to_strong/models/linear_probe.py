"""What all students have in common, and those that are a linear head on features that stay as they are."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import nn

from superalign.weak_to_strong.base import FitSettings, Floats, History, Inputs, Kind, Rows, WeakLabels
from superalign.weak_to_strong.models.features import Featuriser
from superalign.weak_to_strong.models.losses import Objective
from superalign.weak_to_strong.models.train_loop import Both, Difference, ModelInputs, Vectors, fit, predict_logits


class Student(ABC):
    """A model that learns from labels and predicts; a supervisor is one that learnt from the truth.

    Args:
        classes: how many there are.
        kind: classify, or pairs: one scorer with one output reads both sides, their scores' difference is the log-odds.
    """

    def __init__(self, classes: int, kind: Kind) -> None:
        self._kind, self._outputs = kind, 1 if kind == "pairs" else classes
        self._module: nn.Module | None = None
        self._settings = FitSettings()

    def fit(
        self,
        rows: Rows,
        labels: WeakLabels,
        objective: Objective,
        settings: FitSettings,
        seed: int,
        watch: Rows | None = None,
        expected_accuracy: float | None = None,
    ) -> History:
        """Train a fresh model on labelled rows, whatever was learnt before; see `train_loop.fit`."""
        self._module, self._settings = None, settings
        model_inputs = self._model_inputs(rows)
        self._module = self._fresh(model_inputs)
        watched = None if watch is None else self._model_inputs(watch)
        return fit(
            self._module,
            model_inputs,
            labels,
            objective,
            settings,
            seed,
            groups=rows.groups,
            watch=watched,
            expected_accuracy=expected_accuracy,
        )

    def predict(self, rows: Rows) -> Floats:
        """P(class), shape (n, classes); of pairs, column 1 is P(first is better). Before a fit, the initial head's."""
        model_inputs = self._model_inputs(rows)
        logits = predict_logits(self._current(model_inputs), model_inputs, self._settings).double()
        return np.asarray(torch.softmax(logits, dim=1).cpu().numpy(), dtype=np.float64)

    def features(self, rows: Rows) -> Floats:
        """What the head reads, shape (n, d); of pairs, the first's less the second's."""
        first = self._read(rows.inputs)
        return first if rows.seconds is None else first - self._read(rows.seconds)

    def _current(self, model_inputs: ModelInputs) -> nn.Module:
        self._module = self._module or self._fresh(model_inputs)
        return self._module

    def _model_inputs(self, rows: Rows) -> ModelInputs:
        first = self._side(rows.inputs)
        return first if rows.seconds is None else Both(first, self._side(rows.seconds))

    def _fresh(self, model_inputs: ModelInputs) -> nn.Module:
        scorer = self._scorer(model_inputs)
        return Difference(scorer) if self._kind == "pairs" else scorer

    @abstractmethod
    def _scorer(self, model_inputs: ModelInputs) -> nn.Module:
        """An untrained module from one side of `source` to the outputs."""

    @abstractmethod
    def _side(self, values: Inputs) -> ModelInputs:
        """Inputs as the scorer takes them."""

    @abstractmethod
    def _read(self, values: Inputs) -> Floats:
        """What the head reads of inputs, shape (n, d)."""


class HeadStudent(Student):
    """A linear head, zero at first, on features that stay as they are.

    Args:
        read: makes the features.
    """

    def __init__(self, read: Featuriser, classes: int, kind: Kind) -> None:
        super().__init__(classes, kind)
        self._featuriser = read

    def _scorer(self, model_inputs: ModelInputs) -> nn.Module:
        seen = model_inputs.batch(np.zeros(1, dtype=np.int64))
        return zero_head((seen[0] if self._kind == "pairs" else seen).shape[1], self._outputs)

    def _side(self, values: Inputs) -> ModelInputs:
        return Vectors(self._featuriser(values))

    def _read(self, values: Inputs) -> Floats:
        return self._featuriser(values).astype(np.float64)


def zero_head(width: int, outputs: int) -> nn.Linear:
    """A linear layer of zeros; no random number is drawn."""
    head: nn.Linear = nn.utils.skip_init(nn.Linear, width, outputs)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head
