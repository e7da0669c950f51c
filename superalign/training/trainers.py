"""A TRL trainer with a loss of our own: what the algorithms' trainers are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from superalign.training.distributed import WholeBatch

Loss = Callable[[Any, Any, dict[str, torch.Tensor]], tuple[torch.Tensor, dict[str, float]]]
"""(trainer, model, batch) to the loss, a scalar, and the step's figures."""


class OwnLoss(WholeBatch):
    """Mixed into a trainer: rows are tokenised already, and the loss is a function.

    Attributes:
        history: one dict for each step: the loss, and the figures that the function gives beside it.
    """

    def __init__(self, *, loss: Loss, **kwargs: Any) -> None:
        self.own_loss, self.history = loss, list[dict[str, float]]()
        super().__init__(**kwargs)

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset  # text would not give back the very tokens that were generated

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The loss of a batch, a scalar."""
        loss, figures = self.own_loss(self, model, inputs)
        self.history.append(figures | {"loss": loss.item()})
        return loss


@cache
def with_loss(base: type) -> Any:
    """The trainer class `base` with `loss=` as one more argument."""
    return type(f"OwnLoss{base.__name__}", (OwnLoss, base), {})
