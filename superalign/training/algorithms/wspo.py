"""Weak-to-strong preference optimization (ICLR 2025): an aligned weak model's log-ratio, matched token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from superalign.training.algorithms.base import Algorithm, TrainerSetup
from superalign.training.base import Phase

if TYPE_CHECKING:
    import torch

REFERENCE = "superalign.training.algorithms.wspo:WSPO"
"""How a phase of it is named to the training service."""


class WSPOPhase(Phase):
    """One phase; `beta` scales the log-ratio of the policy."""

    beta: float


class WSPO(Algorithm):
    """Rows have prompt_ids, completion_ids, target (one per token, nats); no anchors."""

    @classmethod
    def trainer(cls, setup: TrainerSetup) -> Any:
        """TRL's trainer of supervised learning with `wspo_loss`."""
        from trl import SFTConfig, SFTTrainer

        from superalign.training.trainers import with_loss

        return with_loss(SFTTrainer)(
            loss=lambda trainer, model, inputs: wspo_loss(setup.phase, trainer, model, inputs),
            args=SFTConfig(**setup.arguments, max_length=None, dataset_kwargs={"skip_prepare_dataset": True}),
            data_collator=collate,
            train_dataset=setup.dataset("prompt_ids", "completion_ids", "target"),
            **setup.common,
        )


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """A batch with the target log-ratio of each token of the completions, zero elsewhere; [rows, longest - 1]."""
    import torch

    from superalign.training.rows import pad_rows

    batch = pad_rows([(row["prompt_ids"], row["completion_ids"]) for row in rows])
    target = torch.zeros(batch["input_ids"].shape[0], batch["input_ids"].shape[1] - 1)
    for place, row in enumerate(rows):
        start = len(row["prompt_ids"]) - 1
        target[place, start : start + len(row["target"])] = torch.tensor(row["target"], dtype=torch.float32)
    return {**batch, "target": target}


def wspo_loss(
    phase: WSPOPhase, trainer: Any, model: Any, inputs: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, dict[str, float]]:
    """Mean over tokens of [beta (log pi - log pi_ref) - target]^2, a scalar in nats^2.

    The reference is the base without its adapter; the target is log pi_weak_aligned - log pi_weak_ref of the same
    tokens, so both models must share a vocabulary.
    """
    import torch

    from superalign.training.rows import token_logps

    with torch.no_grad(), trainer.accelerator.unwrap_model(model).disable_adapter():
        reference = token_logps(model, inputs)
    ratio = phase.beta * (token_logps(model, inputs) - reference)
    mask = inputs["completion_mask"][:, 1:]
    return ((ratio - inputs["target"]) ** 2 * mask).sum() / mask.sum(), {}
