"""Sequence likelihood calibration: a hinge on the margin of chosen over rejected answers (arXiv 2305.10425)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from superalign.config.sections import LearnerConfig
from superalign.training.algorithms.base import Algorithm, TrainerSetup
from superalign.training.batch import TrainingBatch

if TYPE_CHECKING:
    import torch

# What is heavy is imported where it is used, so that `superalign config learner=slic` need not wait for it.


class SLiCSettings(LearnerConfig):
    """SLiC on the round's preferences."""

    tau: float = Field(1.0, gt=0.0, description="margin in nats from which on a pair teaches nothing")
    max_pairs: int = Field(64, gt=0, description="most preferences of a round that are used, those of largest weight")


class SLiC(Algorithm):
    """Learns from pairs: w * max(0, tau - (2 q - 1) (log p(chosen) - log p(rejected))), and the NLL of anchors."""

    Settings = SLiCSettings
    learns_from = "pairs"

    def rows(self, batch: TrainingBatch) -> list[dict[str, Any]]:
        """The preferences of largest weight."""
        chosen = sorted(batch.preferences, key=lambda p: (-p.w, p.id))[: self.settings.max_pairs]
        return [
            {
                "prompt_ids": list(p.prompt_ids),
                "chosen_ids": list(p.chosen_ids),
                "rejected_ids": list(p.rejected_ids),
                "q": p.q,
                "w": p.w,
            }
            for p in chosen
        ]

    @classmethod
    def trainer(cls, setup: TrainerSetup) -> Any:
        """TRL's supervised trainer with the loss of this module."""
        from trl import SFTConfig, SFTTrainer

        from superalign.training.trainers import with_loss

        return with_loss(SFTTrainer)(
            loss=partial(loss, setup),
            args=SFTConfig(**setup.arguments, max_length=None, dataset_kwargs={"skip_prepare_dataset": True}),
            data_collator=collate,
            train_dataset=setup.dataset("prompt_ids", "chosen_ids", "rejected_ids", "q", "w"),
            **setup.common,
        )


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """A batch of [chosen; rejected] rows with q and w."""
    import torch

    from superalign.training.rows import pad_rows

    pairs = [(row["prompt_ids"], row[name]) for name in ("chosen_ids", "rejected_ids") for row in rows]
    return pad_rows(pairs) | {name: torch.tensor([row[name] for row in rows]) for name in ("q", "w")}


def loss(setup: TrainerSetup, trainer: Any, model: Any, inputs: dict[str, torch.Tensor]) -> Any:
    """The loss of a batch, a scalar, and its parts."""
    import torch

    from superalign.training.rows import token_logps

    chosen, rejected = token_logps(model, inputs).sum(1).chunk(2)
    margin = (2 * inputs["q"] - 1) * (chosen - rejected)
    hinge = (inputs["w"] * torch.relu(setup.phase.tau - margin)).mean()
    nll = setup.anchors.loss(model, hinge.device)
    total = hinge if nll is None else hinge + setup.phase.anchor_weight * nll
    return total, {"hinge": hinge.item(), "margin": margin.mean().item()}
