"""Weak-to-strong preference optimization: the log-ratio of an aligned weak model, matched token by token."""

from __future__ import annotations

from typing import Any

import torch
from trl import SFTTrainer

from superalign.training.distributed import WholeBatch
from superalign.training.rows import pad_rows, token_logps


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """A batch with the target log-ratio of each token of the completions, zero elsewhere; [rows, longest - 1]."""
    batch = pad_rows([(row["prompt_ids"], row["completion_ids"]) for row in rows])
    target = torch.zeros(batch["input_ids"].shape[0], batch["input_ids"].shape[1] - 1)
    for place, row in enumerate(rows):
        start = len(row["prompt_ids"]) - 1
        target[place, start : start + len(row["target"])] = torch.tensor(row["target"], dtype=torch.float32)
    return {**batch, "target": target}


class LogRatioTrainer(WholeBatch, SFTTrainer):
    """loss = mean over tokens of [beta (log pi - log pi_ref) - target]^2 (WSPO, ICLR 2025), in nats^2.

    The reference is the base without its adapter; the target is log pi_weak_aligned - log pi_weak_ref of the same
    tokens, so both models must share a vocabulary.

    Attributes:
        history: the loss of each step.
    """

    def __init__(self, *, beta: float, **kwargs: Any) -> None:
        self.beta = beta
        self.history: list[dict[str, float]] = []
        super().__init__(**kwargs)

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The loss of a batch from `collate`, a scalar."""
        with torch.no_grad(), self.accelerator.unwrap_model(model).disable_adapter():
            reference = token_logps(model, inputs)
        ratio = self.beta * (token_logps(model, inputs) - reference)
        mask = inputs["completion_mask"][:, 1:]
        loss = ((ratio - inputs["target"]) ** 2 * mask).sum() / mask.sum()
        self.history.append({"loss": loss.item()})
        return loss
