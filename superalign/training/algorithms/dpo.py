"""Direct preference optimisation on noisy labels: TRL's DPOTrainer with loss, data path and anchors of our own.

TRL's `sigmoid` ignores label smoothing and no loss of its takes a weight or a noise rate for each pair (trl#5613).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from superalign.config.sections import LearnerConfig
from superalign.training.algorithms.base import ROPO_ALPHA, Algorithm, TrainerSetup, weighted
from superalign.training.base import Phase, Rows
from superalign.training.batch import TrainingBatch

if TYPE_CHECKING:
    import torch

    from superalign.training.rows import AnchorStream

PairLoss = Callable[..., "torch.Tensor"]
LossName = Literal["cdpo", "dpo", "rdpo", "ropo", "drdpo", "ipo"]
COLUMNS = ("prompt_ids", "chosen_ids", "rejected_ids", "q", "w")


class DPOSettings(LearnerConfig):
    """DPO on the round's preferences."""

    loss: LossName = Field(
        "cdpo",
        description="loss of a pair under label noise: conservative, plain, robust, ROPO, Dr. DPO or IPO (per token)",
    )
    beta: float = Field(0.1, gt=0.0, description="strength of the pull towards the reference (arXiv 2305.18290)")
    ropo_alpha: float = Field(
        ROPO_ALPHA,
        gt=2.0,
        description="loss=ropo: weight of its noise-tolerant term; larger ones trust surprising labels less "
        "(arXiv 2404.04102)",
    )
    nll: float = Field(
        0.05, ge=0.0, description="weight of the chosen responses' NLL, nats per token (arXiv 2404.19733)"
    )
    max_pairs: int = Field(96, gt=0, description="most preferences of a round that are used, those of largest weight")


class DPOPhase(Phase):
    """One phase of DPO.

    Attributes:
        loss, beta, nll, ropo_alpha: see `DPOSettings`.
        confidence: largest share of the policy's own preferences in the labels (arXiv 2312.09390 A.4).
        confidence_ramp: share of the training over which it rises.
    """

    loss: LossName
    beta: float
    nll: float
    ropo_alpha: float = ROPO_ALPHA
    confidence: float = 0.0
    confidence_ramp: float = 0.2


class DPO(Algorithm):
    """Learns from the blended preferences of a round."""

    Settings = DPOSettings
    Phase: ClassVar[type[DPOPhase]] = DPOPhase
    learns_from: ClassVar[Literal["pairs", "responses"]] = "pairs"

    def rows(self, batch: TrainingBatch) -> list[dict[str, Any]]:
        """The preferences of largest weight."""
        return [
            {
                "prompt_ids": list(p.prompt_ids),
                "chosen_ids": list(p.chosen_ids),
                "rejected_ids": list(p.rejected_ids),
                "q": p.q,
                "w": p.w,
            }
            for p in sorted(batch.preferences, key=lambda p: -p.w)[: self.settings.max_pairs]
        ]

    @classmethod
    def check(cls, rows: Rows, role: str) -> None:
        """Every pair has weight."""
        weighted(rows, role, "pair")

    @classmethod
    def pair_loss(cls, phase: Any, h: torch.Tensor, q: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """The loss of a batch of pairs, a scalar: what a variant of DPO replaces.

        Args:
            phase: its settings.
            h: beta * (log-ratio of chosen - log-ratio of rejected), nats, [pairs]; log-ratios are sums over tokens, for
                a loss in `losses.PER_TOKEN` means.
            q: P(chosen is better), [pairs].
            w: weight of the label, [pairs].
        """
        from superalign.training.algorithms.losses import preference_loss

        return preference_loss(phase.loss, h, q, w, phase.beta, phase.ropo_alpha)

    @classmethod
    def trainer(cls, setup: TrainerSetup) -> Any:
        """TRL's trainer; the reference is the "ref" adapter that it copies from "default" when it is made."""
        from trl import DPOConfig, DPOTrainer

        from superalign.models.openings import is_large
        from superalign.training.trainers import with_loss

        again = setup.phase.epochs > 1 and is_large(setup.common["model"].get_base_model())
        known: dict[int, torch.Tensor] | None = {} if again else None
        return with_loss(DPOTrainer)(
            loss=lambda trainer, model, inputs: dpo_loss(cls.pair_loss, setup.phase, trainer, model, inputs, known),
            args=DPOConfig(**setup.arguments, beta=setup.phase.beta, max_length=None),
            data_collator=lambda rows: collate(rows, setup.anchors),
            train_dataset=setup.dataset(
                *COLUMNS, "number", rows=[{**row, "number": number} for number, row in enumerate(setup.rows)]
            ),
            **setup.common,
        )


def collate(rows: list[dict[str, Any]], anchors: AnchorStream) -> dict[str, torch.Tensor]:
    """A batch of [chosen; rejected; next anchors] rows with q, w and number; advances the shuffle of the anchors."""
    import torch

    from superalign.training.rows import pad_with_anchors

    chosen = [(row["prompt_ids"], row["chosen_ids"]) for row in rows]
    rejected = [(row["prompt_ids"], row["rejected_ids"]) for row in rows]
    batch = pad_with_anchors([*chosen, *rejected], anchors)
    for name in ("q", "w"):
        batch[name] = torch.tensor([row[name] for row in rows], dtype=torch.float32)
    batch["number"] = torch.tensor([row["number"] for row in rows])
    return batch


def dpo_loss(
    pair_loss: PairLoss,
    phase: DPOPhase,
    trainer: Any,
    model: Any,
    inputs: dict[str, torch.Tensor],
    known: dict[int, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, dict[str, float]]:
    """pair_loss(h, q, w) + nll * NLL(chosen) + anchor_weight * mean of `anchor_losses`, a scalar, and its parts.

    NLL(chosen) is the mean over pairs of the mean over tokens (nats; arXiv 2404.19733 eq. 1). With `confidence` the
    labels q are mixed with the policy's own preferences (weak-to-strong, arXiv 2312.09390 A.4). The figure
    `preference` is divided by the mean weight, so that policy = reference gives ln 2 for `dpo` and `cdpo` whatever the
    labels.

    `known` keeps what the reference says of the phase's pairs, by number, for further passes.
    """

    from superalign.training.algorithms.losses import PER_TOKEN, confident_labels
    from superalign.training.rows import anchor_losses, token_logps

    q, w = inputs["q"], inputs["w"]
    pairs = len(q)
    reference = reference_logps(trainer, model, inputs, known)
    logps = token_logps(model, inputs)
    mask = inputs["completion_mask"]
    sums = logps.sum(1)
    ratios = sums[: 2 * pairs] - reference
    if phase.loss in PER_TOKEN:
        ratios = ratios / mask[: 2 * pairs].sum(1)
    chosen, rejected = ratios.chunk(2)
    h = phase.beta * (chosen - rejected)

    if phase.confidence:
        progress = trainer.state.global_step / max(trainer.state.max_steps, 1)
        alpha = phase.confidence * min(1.0, progress / max(phase.confidence_ramp, 1e-9))
        q = confident_labels(h.detach(), q, alpha)
    preference = pair_loss(phase, h, q, w)
    nll = -(sums[:pairs] / mask[:pairs].sum(1)).mean()
    loss = preference + phase.nll * nll
    figures = {"preference": preference.item() / w.mean().item(), "nll": nll.item()}
    if len(sums) > 2 * pairs:
        losses = anchor_losses(logps[2 * pairs :], inputs["recorded"], phase.retained_weight)
        anchor = losses.sum(1).sum() / mask[2 * pairs :].sum()
        loss = loss + phase.anchor_weight * anchor
        figures["anchor"] = anchor.item()
    return loss, figures | {"margin": h.mean().item(), "accuracy": (h > 0).float().mean().item()}


def reference_logps(
    trainer: Any, model: Any, inputs: dict[str, torch.Tensor], known: dict[int, torch.Tensor] | None
) -> torch.Tensor:
    """Log-probability of each answer of a batch under the reference, [chosen; rejected]; see `dpo_loss`."""
    import torch
    from trl.trainer.utils import use_adapter

    from superalign.training.rows import token_logps

    numbers: list[int] = inputs["number"].tolist()
    if known is not None and all(number in known for number in numbers):
        return torch.stack([known[number] for number in numbers]).T.flatten()
    texts = {name: inputs[name][: 2 * len(numbers)] for name in ("input_ids", "attention_mask", "completion_mask")}
    with torch.no_grad(), use_adapter(trainer.accelerator.unwrap_model(model), adapter_name="ref"):
        found = token_logps(model, texts).sum(1)
    if known is not None:
        known |= dict(zip(numbers, found.view(2, -1).T, strict=True))
    return found
