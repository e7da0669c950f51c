"""Training on single answers with noisy labels: TRL's KTOTrainer with the loss and the data path our own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from trl import KTOConfig, KTOTrainer
from trl.trainer.utils import use_adapter

from superalign.training.algorithms.losses import kto
from superalign.training.base import KTOSettings
from superalign.training.distributed import WholeBatch
from superalign.training.phases import dataset
from superalign.training.rows import AnchorStream, Rows, pad_rows, token_logps


@dataclass(frozen=True)
class AnswerCollator:
    """Batches of [answers; mismatched answers; anchors] rows with q and w.

    A mismatched row is a prompt with the next row's completion: KTO's reference point is what such rows gain.
    """

    anchors: AnchorStream

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Collate answers; advances the shuffle of the anchors."""
        answers = [(row["prompt_ids"], row["completion_ids"]) for row in rows]
        mismatched = [(prompt, answers[(i + 1) % len(answers)][1]) for i, (prompt, _) in enumerate(answers)]
        batch = pad_rows([*answers, *mismatched, *self.anchors.draw()])
        for name in ("q", "w"):
            batch[name] = torch.tensor([row[name] for row in rows], dtype=torch.float32)
        return batch


class NoiseAwareKTOTrainer(WholeBatch, KTOTrainer):
    """KTO on tokenised answers (prompt_ids, completion_ids, q, w) with soft labels.

    loss = mean of w * kto(h, z, q) + anchor_weight * NLL(anchors), with h = beta * log-ratio of the answer and
    z = max(0, beta * mean log-ratio of the mismatched answers), which carries no gradient.

    Attributes:
        history: one dict for each step, with its parts of the loss.
    """

    def __init__(self, *, settings: KTOSettings, **kwargs: Any) -> None:
        self.settings = settings
        self.history: list[dict[str, float]] = []
        super().__init__(**kwargs)

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset  # already tokenised

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The loss of a batch from `AnswerCollator`, a scalar."""
        q, w, mask = inputs["q"], inputs["w"], inputs["completion_mask"]
        rows = len(q)
        tensors = {name: value for name, value in inputs.items() if name not in "qw"}
        judged = {name: value[: 2 * rows] for name, value in tensors.items()}
        mismatched = {name: value[rows : 2 * rows] for name, value in tensors.items()}
        trained = {name: torch.cat([value[:rows], value[2 * rows :]]) for name, value in tensors.items()}
        with torch.no_grad():
            with use_adapter(self.accelerator.unwrap_model(model), adapter_name="ref"):
                reference = token_logps(model, judged).sum(1)
            gained = token_logps(model, mismatched).sum(1) - reference[rows:]
        sums = token_logps(model, trained).sum(1)
        h = self.settings.beta * (sums[:rows] - reference[:rows])
        z = (self.settings.beta * gained.mean()).clamp(min=0)
        answers = (w * kto(h, z, q)).mean()
        loss = answers
        step = {"kto": answers.item() / w.mean().item(), "reference_point": z.item()}
        if len(sums) > rows:
            anchor = -sums[rows:].sum() / mask[2 * rows :].sum()
            loss = loss + self.settings.anchor_weight * anchor
            step["anchor"] = anchor.item()
        self.history.append(step | {"loss": loss.item()})
        return loss


def build(
    rows: Rows, settings: KTOSettings, anchors: AnchorStream, common: dict[str, Any], given: dict[str, Any]
) -> NoiseAwareKTOTrainer:
    """A trainer on these rows; `common` and `given` are what every trainer and its arguments take."""
    # TRL looks at a column of its own before it lets the data pass.
    found = dataset(
        [row | {"label": row["q"] > 0.5} for row in rows], ("prompt_ids", "completion_ids", "q", "w", "label")
    )
    return NoiseAwareKTOTrainer(
        settings=settings,
        args=KTOConfig(**given, beta=settings.beta, max_length=None),
        data_collator=AnswerCollator(anchors),
        train_dataset=found,
        **common,
    )
