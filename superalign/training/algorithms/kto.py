"""Kahneman-Tversky optimisation on single answers with soft labels: TRL's KTOTrainer, loss and data path our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from superalign.config.sections import LearnerConfig
from superalign.training.algorithms.base import Algorithm, TrainerSetup, weighted
from superalign.training.base import Phase, Rows
from superalign.training.batch import TrainingBatch

if TYPE_CHECKING:
    import torch

    from superalign.training.rows import AnchorStream

COLUMNS = ("prompt_ids", "completion_ids", "q", "w", "label")


class KTOSettings(LearnerConfig):
    """KTO on the round's scored responses."""

    batch_size: int = Field(
        16, ge=2, description="responses in a batch; the reference point is measured between those of a batch"
    )
    beta: float = Field(0.1, gt=0.0, description="strength of the pull towards the reference (arXiv 2402.01306)")
    max_rows: int = Field(256, gt=0, description="most responses of a round that are used, those of largest weight")


class KTOPhase(Phase):
    """One phase of KTO; `beta` as in `KTOSettings`."""

    beta: float


class KTO(Algorithm):
    """Learns from P(acceptable) of single responses."""

    Settings = KTOSettings
    Phase = KTOPhase
    learns_from: ClassVar[Literal["pairs", "responses"]] = "responses"

    def rows(self, batch: TrainingBatch) -> list[dict[str, Any]]:
        """The labelled responses of largest weight."""
        labelled = sorted((r for r in batch.responses if r.w > 0), key=lambda r: (-r.w, r.response.id))
        return [
            {
                "prompt_ids": list(r.response.prompt_ids),
                "completion_ids": list(r.response.token_ids),
                "q": r.p,
                "w": r.w,
            }
            for r in labelled[: self.settings.max_rows]
        ]

    @classmethod
    def check(cls, rows: Rows, role: str) -> None:
        """Every answer has weight."""
        weighted(rows, role, "answer")

    @classmethod
    def trainer(cls, setup: TrainerSetup) -> Any:
        """TRL's trainer; the reference is the "ref" adapter that it copies from "default" when it is made."""
        from trl import KTOConfig, KTOTrainer

        from superalign.training.trainers import with_loss

        return with_loss(KTOTrainer)(
            loss=lambda trainer, model, inputs: kto_loss(setup.phase, trainer, model, inputs),
            args=KTOConfig(**setup.arguments, beta=setup.phase.beta, max_length=None),
            data_collator=lambda rows: collate(rows, setup.anchors, setup.rows),
            # TRL looks at a column of its own before it lets the data pass.
            train_dataset=setup.dataset(*COLUMNS, rows=[row | {"label": row["q"] > 0.5} for row in setup.rows]),
            **setup.common,
        )


def collate(rows: list[dict[str, Any]], anchors: AnchorStream, everything: Rows) -> dict[str, torch.Tensor]:
    """A batch of [answers; mismatched answers; next anchors] rows with q and w; advances the shuffle of the anchors.

    A mismatched row is a prompt with the next row's completion (arXiv 2402.01306 section 4.1): KTO's reference point is
    what such rows gain. The same answer to the same prompt is no mismatch: the next other row of the batch is taken,
    or, as where a batch has one row, of `everything`, the rows of the phase; none if there is no other. `mismatched`
    has how many there are.
    """
    import torch

    from superalign.training.rows import pad_with_anchors

    answers = [(row["prompt_ids"], row["completion_ids"]) for row in rows]
    mismatched = [
        (own[0], other[1])
        for i, own in enumerate(answers)
        if (other := _other(own, [*answers[i + 1 :], *answers[:i]], everything)) is not None
    ]
    batch = pad_with_anchors([*answers, *mismatched], anchors)
    batch["mismatched"] = torch.tensor(len(mismatched))
    for name in ("q", "w"):
        batch[name] = torch.tensor([row[name] for row in rows], dtype=torch.float32)
    return batch


def _other(own: tuple[Any, Any], near: list[tuple[Any, Any]], everything: Rows) -> tuple[Any, Any] | None:
    """The next (prompt, completion) that is not `own`, of the rest of the batch or else of all rows."""
    if (found := next((other for other in near if other != own), None)) is not None:
        return found
    far = [(list(row["prompt_ids"]), list(row["completion_ids"])) for row in everything]
    place = far.index(own)
    return next((other for other in [*far[place:], *far[:place]] if other != own), None)


def kto_loss(
    phase: KTOPhase, trainer: Any, model: Any, inputs: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, dict[str, float]]:
    """Mean of w * kto(h, z, q) + anchor_weight * mean of `anchor_losses`, a scalar, and its parts.

    h = beta * log-ratio of the answer; z = max(0, beta * mean log-ratio of the mismatched answers), which carries no
    gradient (arXiv 2402.01306 eq. 8); 0, as at the reference, where there is no mismatched answer.
    """
    import torch
    from trl.trainer.utils import use_adapter

    from superalign.training.algorithms.losses import kto
    from superalign.training.rows import anchor_losses, token_logps

    q, w, mask = inputs["q"], inputs["w"], inputs["completion_mask"]
    rows, end = len(q), len(q) + int(inputs["mismatched"])
    tensors = {name: inputs[name] for name in ("input_ids", "attention_mask", "completion_mask")}
    judged = {name: value[:end] for name, value in tensors.items()}
    mismatched = {name: value[rows:end] for name, value in tensors.items()}
    trained = {name: torch.cat([value[:rows], value[end:]]) for name, value in tensors.items()}
    with torch.no_grad():
        with use_adapter(trainer.accelerator.unwrap_model(model), adapter_name="ref"):
            reference = token_logps(model, judged).sum(1)
        gained = token_logps(model, mismatched).sum(1) - reference[rows:] if end > rows else reference.new_zeros(1)
    logps = token_logps(model, trained)
    sums = logps.sum(1)
    h = phase.beta * (sums[:rows] - reference[:rows])
    z = (phase.beta * gained.mean()).clamp(min=0)
    answers = (w * kto(h, z, q)).mean()
    loss = answers
    figures = {"kto": answers.item() / w.mean().item(), "reference_point": z.item()}
    if len(sums) > rows:
        losses = anchor_losses(logps[rows:], inputs["recorded"], phase.retained_weight)
        anchor = losses.sum(1).sum() / mask[end:].sum()
        loss = loss + phase.anchor_weight * anchor
        figures["anchor"] = anchor.item()
    return loss, figures
