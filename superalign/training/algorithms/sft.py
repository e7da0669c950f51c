"""Supervised training on weighted, tokenised demonstrations: TRL's SFTTrainer with the data path and loss our own."""

from __future__ import annotations

from typing import Any

import torch
from trl import SFTTrainer

from superalign.training.distributed import WholeBatch
from superalign.training.rows import pad_rows, token_logps


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """A batch with the weights of its rows."""
    batch = pad_rows([(row["prompt_ids"], row["completion_ids"]) for row in rows])
    return {**batch, "weight": torch.tensor([row["weight"] for row in rows], dtype=torch.float32)}


class WeightedSFTTrainer(WholeBatch, SFTTrainer):
    """loss = mean over rows of weight * (mean NLL of the completion's tokens, nats).

    A row counts by its weight however long it is, so that a one-word verdict is not drowned by long critiques.

    Attributes:
        history: the loss of each step.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.history: list[dict[str, float]] = []
        super().__init__(**kwargs)

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The loss of a batch from `collate`, a scalar."""
        nll = -token_logps(model, inputs).sum(1) / inputs["completion_mask"].sum(1)
        loss = (inputs["weight"] * nll).mean()
        self.history.append({"loss": loss.item()})
        return loss
