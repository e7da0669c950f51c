"""Classification of answers by an adapter: a linear head for each question, on the last hidden state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from superalign.training.algorithms.base import Algorithm, TrainerSetup
from superalign.training.base import Rows

if TYPE_CHECKING:
    import torch

REFERENCE: Final = "superalign.training.algorithms.classification:Classification"
"""How a phase of it is named to the training service."""


class Classification(Algorithm):
    """Rows have prompt_ids, completion_ids and, for each question, whether it is about the prompt, P(yes) and a weight.

    `targets` are P(yes) in [0, 1], `weights` are 0 where nothing is known, `of_prompt` tells where the state is read:
    at the end of the prompt or of the completion. The heads stay in the trainer: whoever wants verdicts fits heads on
    the adapted states.
    """

    @classmethod
    def check(cls, rows: Rows, role: str) -> None:
        """Every row answers a question.

        Raises:
            ValueError: a row answers none, or they differ in how many questions they have.
        """
        sizes = {(len(row["targets"]), len(row["weights"]), len(row["of_prompt"])) for row in rows}
        if len(sizes) > 1 or not all(any(w > 0 for w in row["weights"]) for row in rows):
            raise ValueError(f"{role}: every row needs a target and a weight for each question, one weight above 0")

    @classmethod
    def trainer(cls, setup: TrainerSetup) -> Any:
        """TRL's SFT trainer with `Heads` and their loss."""
        from trl import SFTConfig, SFTTrainer

        from superalign.training.algorithms.classification_heads import Heads, collate
        from superalign.training.trainers import with_loss

        width = setup.common["model"].get_base_model().get_output_embeddings().weight.shape[-1]
        heads = Heads(width, len(setup.rows[0]["targets"]), setup.phase.learning_rate)
        if setup.state is not None:
            heads.restore(setup.state)
        trainer = with_loss(SFTTrainer)(
            loss=heads.loss,
            args=SFTConfig(**setup.arguments, max_length=None, dataset_kwargs={"skip_prepare_dataset": True}),
            data_collator=collate,
            train_dataset=setup.dataset("prompt_ids", "completion_ids", "targets", "weights", "of_prompt"),
            **setup.common,
        )
        trainer.heads = heads
        return trainer

    @classmethod
    def state(cls, trainer: Any, setup: TrainerSetup) -> Any:
        """The heads with their optimizer."""
        found: dict[str, torch.Tensor] = trainer.heads.state()
        return found
