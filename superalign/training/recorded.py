"""TRL's trainers of policy gradients on recorded answers, with generation and rewards from our own roles.

TRL's trainers generate inside their steps. Here answers come from the generation pool with their tokens and
log-probabilities, rewards from the critic, and the trainer sees batches of both: the loss is TRL's, unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from transformers import Trainer

from superalign.training import distributed
from superalign.training.algorithms.base import TrainerSetup
from superalign.training.algorithms.policy_gradient import PolicyPhase
from superalign.training.micro_batching import in_parts
from superalign.training.rows import AnchorStream


@dataclass(frozen=True)
class RolloutCollator:
    """Batches of left-padded prompts and right-padded completions, with what was recorded of them."""

    pad: int

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """prompt_ids, prompt_mask [b, p]; completion_ids, completion_mask, old_per_token_logps [b, c]; the rest [b]."""
        prompts, completions = [row["prompt_ids"] for row in rows], [row["completion_ids"] for row in rows]
        prompt_ids, prompt_mask = _padded(prompts, self.pad, left=True)
        completion_ids, completion_mask = _padded(completions, self.pad, left=False)
        old = torch.zeros(completion_ids.shape)
        for place, row in enumerate(rows):
            old[place, : len(row["logprobs"])] = torch.tensor(row["logprobs"])
        batch = {
            "prompt_ids": prompt_ids,
            "prompt_mask": prompt_mask,
            "completion_ids": completion_ids,
            "completion_mask": completion_mask,
            "old_per_token_logps": old,
            "old_logps": old.sum(1),
        }
        for name in ("advantage", "reward"):
            batch[f"{name}s"] = torch.tensor([row[name] for row in rows], dtype=torch.float32)
        return batch


class Recorded(distributed.WholeBatch):
    """Mixed into a TRL trainer of policy gradients: batches of recorded answers instead of generation.

    The reference of the KL penalty is the policy that answered. To TRL's loss come anchor_weight * NLL(anchors).

    Attributes:
        history: one dict for each step: the loss and what TRL measures beside it.
    """

    def __init__(self, *, phase: PolicyPhase, anchors: AnchorStream, pad: int, **kwargs: Any) -> None:
        self.phase, self.anchors = phase, anchors
        self.history: list[dict[str, float]] = []
        super().__init__(reward_funcs=_unused, **kwargs)  # type: ignore[call-arg]
        self.data_collator = RolloutCollator(pad)

    get_train_dataloader = Trainer.get_train_dataloader
    _get_train_sampler = Trainer._get_train_sampler
    _prepare_inputs = Trainer._prepare_inputs

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor | None, ...]:
        """TRL's, of all rows; the balance of a mixture of experts is the mean of that in each worker's parts."""
        run = super()._get_per_token_logps_and_entropies  # type: ignore[misc]
        mine, rows = (distributed.share(input_ids), distributed.share(attention_mask)), len(input_ids)
        found = in_parts(model, lambda *part: run(model, *part, *args, **kwargs), *mine)
        logps, entropies, balance = zip(*found, strict=True)
        return (
            distributed.whole(torch.cat(logps), rows),
            None if entropies[0] is None else distributed.whole(torch.cat(entropies), rows),
            None
            if balance[0] is None
            else distributed.whole(torch.stack(balance).mean()[None], distributed.count()).mean(),
        )

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """TRL's loss of a batch from `RolloutCollator` and that of the next anchors, a scalar."""
        recorded = {**inputs, "ref_per_token_logps": inputs["old_per_token_logps"]}
        loss: torch.Tensor = super().compute_loss(model, recorded, return_outputs, num_items_in_batch)  # type: ignore[misc]
        step = {"policy": loss.item()} | {
            name.replace("/region_mean", ""): values[-1]
            for name, values in self._metrics["train"].items()  # type: ignore[attr-defined]
            if name in ("kl", "entropy", "clip_ratio/region_mean")
        }
        anchor = self.anchors.loss(model, loss.device)
        if anchor is not None:
            loss = loss + self.phase.anchor_weight * anchor
            step["anchor"] = anchor.item()
        self.history.append(step | {"loss": loss.item()})
        return loss


def _padded(rows: list[list[int]], pad: int, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    ids, mask = torch.full((len(rows), width), pad), torch.zeros(len(rows), width, dtype=torch.long)
    for place, row in enumerate(rows):
        where = slice(width - len(row), width) if left else slice(0, len(row))
        ids[place, where] = torch.tensor(row)
        mask[place, where] = 1
    return ids, mask


def _unused(**_: Any) -> list[float]:
    raise RuntimeError("rewards are recorded: TRL has nothing to score")


def own_arguments(phase: PolicyPhase) -> dict[str, Any]:
    """What TRL's config of either trainer is told beside the common arguments."""
    # TRL wants whole groups in what it would generate for two steps: it generates none.
    return {
        "beta": phase.kl,
        "epsilon": phase.clip,
        "num_generations": 2,
        "temperature": 1.0,
        "steps_per_generation": 2,
    }


def recorded(base: type, config: Any, setup: TrainerSetup, dataset: Any) -> Any:
    """A TRL trainer of policy gradients, `base`, on recorded answers with their advantages."""
    return _recorded(base)(
        phase=setup.phase,
        anchors=setup.anchors,
        pad=setup.common["processing_class"].pad_token_id,
        args=config,
        train_dataset=dataset,
        **setup.common,
    )


@cache
def _recorded(base: type) -> Any:
    return type(f"Recorded{base.__name__}", (Recorded, base), {})
