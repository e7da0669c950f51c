"""Supervised training on weighted, tokenised demonstrations: TRL's SFTTrainer with the data path and loss our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from superalign.training.algorithms.base import Algorithm, TrainerSetup

if TYPE_CHECKING:
    import torch

REFERENCE = "superalign.training.algorithms.sft:SFT"
"""How a phase of it is named to the training service."""


class SFT(Algorithm):
    """Rows have prompt_ids, completion_ids, weight; no anchors."""

    @classmethod
    def trainer(cls, setup: TrainerSetup) -> Any:
        """TRL's trainer with `sft_loss`."""
        from trl import SFTConfig, SFTTrainer

        from superalign.training.trainers import with_loss

        return with_loss(SFTTrainer)(
            loss=sft_loss,
            args=SFTConfig(**setup.arguments, max_length=None, dataset_kwargs={"skip_prepare_dataset": True}),
            data_collator=collate,
            train_dataset=setup.dataset("prompt_ids", "completion_ids", "weight"),
            **setup.common,
        )


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """A batch with the weights of its rows."""
    import torch

    from superalign.training.rows import pad_rows

    batch = pad_rows([(row["prompt_ids"], row["completion_ids"]) for row in rows])
    return {**batch, "weight": torch.tensor([row["weight"] for row in rows], dtype=torch.float32)}


def sft_loss(trainer: Any, model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
    """Mean over rows of weight * (mean NLL of the completion's tokens, nats), a scalar.

    A row counts by its weight however long it is, so that a one-word verdict is not drowned by long critiques.
    """
    from superalign.training.rows import token_logps

    nll = -token_logps(model, inputs).sum(1) / inputs["completion_mask"].sum(1)
    return (inputs["weight"] * nll).mean(), {}
