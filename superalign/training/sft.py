"""Supervised training on weighted, tokenised demonstrations: TRL's SFTTrainer with the data path and loss our own."""

from __future__ import annotations

from typing import Any

import torch
from trl import SFTTrainer

from superalign.training.rows import pad_rows


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """A batch with labels on the completions only, and the weights of the rows."""
    batch = pad_rows([(row["prompt_ids"], row["completion_ids"]) for row in rows])
    mask = batch.pop("completion_mask")
    batch["labels"] = batch["input_ids"].masked_fill(mask == 0, -100)
    batch["weight"] = torch.tensor([row["weight"] for row in rows], dtype=torch.float32)
    return batch


class WeightedSFTTrainer(SFTTrainer):
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
        weight = inputs["weight"]
        output = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            labels=inputs["labels"],
            use_cache=False,
            fused_lm_head=True,
        )
        tokens = (inputs["labels"] != -100).sum(1)
        loss = (weight * -output.log_probs.sum(1) / tokens).mean()
        self.history.append({"loss": loss.item()})
        return loss
