"""Preference training on noisy labels: TRL's DPOTrainer with the loss, the data path and the anchor our own.

TRL's `sigmoid` ignores label smoothing and no loss of its takes a weight or a noise rate for each pair (trl#5613).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from trl import DPOTrainer
from trl.trainer.utils import use_adapter

from superalign.training.algorithms.losses import LossName, confident_labels, preference_loss
from superalign.training.base import DPOSettings
from superalign.training.distributed import WholeBatch
from superalign.training.rows import AnchorStream, pad_rows, token_logps


@dataclass(frozen=True)
class PairCollator:
    """Batches of [chosen; rejected; anchors] rows with q and w, each with the next anchors."""

    anchors: AnchorStream

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Collate pairs; advances the shuffle of the anchors."""
        chosen = [(row["prompt_ids"], row["chosen_ids"]) for row in rows]
        rejected = [(row["prompt_ids"], row["rejected_ids"]) for row in rows]
        batch = pad_rows([*chosen, *rejected, *self.anchors.draw()])
        for name in ("q", "w"):
            batch[name] = torch.tensor([row[name] for row in rows], dtype=torch.float32)
        return batch


class NoiseAwareDPOTrainer(WholeBatch, DPOTrainer):
    """DPO on tokenised pairs (prompt_ids, chosen_ids, rejected_ids, q, w).

    loss = preference_loss(h, q, w) + nll * NLL(chosen) + anchor_weight * NLL(anchors), where NLL(chosen) is the mean
    over pairs of the mean over tokens (nats; arXiv 2404.19733 eq. 1) and NLL(anchors) the mean over all their tokens.
    With `confidence` the labels q are mixed with the policy's own preferences, whose share rises linearly to
    `confidence` over the first `confidence_ramp` of the training (weak-to-strong, arXiv 2312.09390 A.4).
    The reference is the "ref" adapter that TRL copies from "default" when it is constructed.

    Attributes:
        history: one dict for each step, with its parts of the loss; "preference" is divided by the mean weight, so
            that policy = reference gives ln 2 for `dpo` and `cdpo` whatever the labels.
    """

    def __init__(self, *, settings: DPOSettings, **kwargs: Any) -> None:
        self.settings = settings
        self.history: list[dict[str, float]] = []
        super().__init__(**kwargs)

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset  # already tokenised: text would not give back the very tokens that were generated

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The loss of a batch from `PairCollator`, a scalar."""
        q, w = inputs["q"], inputs["w"]
        pairs = len(q)
        with torch.no_grad(), use_adapter(self.accelerator.unwrap_model(model), adapter_name="ref"):
            reference = token_logps(model, {k: v[: 2 * pairs] for k, v in inputs.items() if k not in "qw"}).sum(1)
        logps = token_logps(model, inputs)
        mask = inputs["completion_mask"]
        sums = logps.sum(1)
        chosen, rejected = (sums[: 2 * pairs] - reference).chunk(2)
        h = self.settings.beta * (chosen - rejected)

        if self.settings.confidence:
            progress = self.state.global_step / max(self.state.max_steps, 1)
            alpha = self.settings.confidence * min(1.0, progress / max(self.settings.confidence_ramp, 1e-9))
            q = confident_labels(h.detach(), q, alpha)
        name: LossName = self.settings.loss  # type: ignore[assignment]
        preference = preference_loss(name, h, q, w, self.settings.beta)
        nll = -(sums[:pairs] / mask[:pairs].sum(1)).mean()
        loss = preference + self.settings.nll * nll
        step = {"preference": preference.item() / w.mean().item(), "nll": nll.item()}
        if len(sums) > 2 * pairs:
            anchor = -sums[2 * pairs :].sum() / mask[2 * pairs :].sum()
            loss = loss + self.settings.anchor_weight * anchor
            step["anchor"] = anchor.item()
        step |= {"loss": loss.item(), "margin": h.mean().item(), "accuracy": (h > 0).float().mean().item()}
        self.history.append(step)
        return loss
