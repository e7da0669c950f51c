"""TRL's trainers of policy gradients on recorded answers, with generation and rewards from our own roles.

TRL's trainers generate inside their steps. Here answers come from the generation pool with their tokens and
log-probabilities, rewards from the critic, and the trainer sees batches of both: the loss is TRL's, unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from transformers import Trainer
from trl.trainer.utils import add_fused_lm_head

from superalign.training import distributed
from superalign.training.algorithms.base import TrainerSetup
from superalign.training.algorithms.policy_gradient import PolicyPhase
from superalign.training.micro_batching import in_parts
from superalign.training.rows import AnchorStream, completion_logps


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

    The reference of the KL penalty is the policy that answered. To TRL's loss comes anchor_weight * mean of
    `anchor_losses`.

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
        "epsilon": phase.clip,
        "num_generations": 2,
        "temperature": phase.temperature,
        "steps_per_generation": 2,
    }


@contextmanager
def at_temperature(model: Any, temperature: float) -> Iterator[Any]:
    """Give a model the output layer of `token_logps`, at a temperature."""
    base = model.get_base_model()
    add_fused_lm_head(base, temperature)
    try:
        yield model
    finally:
        del base.forward


def acting(setup: TrainerSetup) -> list[dict[str, Any]]:
    """The rows with the log-probabilities of the policy that acted: softmax(logits / temperature).

    Recorded are those at temperature 1. The ratio of policies, and what they stray from the base, must be of the policy
    that sampled, else the gradient is not that of the expected reward. At another temperature they are computed anew,
    by the policy as the phase begins: the one that answered, but by the trainer's kernels. (Answers of an older policy,
    `async.max_staleness=1`, are refused there.)
    """
    if setup.phase.temperature == 1:
        return list(setup.rows)
    with at_temperature(setup.common["model"], setup.phase.temperature) as model:
        logps = completion_logps(model, setup.rows)
    return [row | {"logprobs": own.tolist()} for row, own in zip(setup.rows, logps, strict=True)]


def priced(setup: TrainerSetup, rows: list[dict[str, Any]], price: float) -> list[dict[str, Any]]:
    """The rows with rewards r - price * sum over tokens of log pi - log base, as in RLOO (arXiv 2402.14740 section 2).

    Both are at the temperature of the phase, pi as in the rows. Rows of one `attempt` pay for all of them, each the
    whole. Tells `base_kl` (mean nats of an answer) and `penalised_reward`.
    """
    if not price:
        return rows
    with at_temperature(setup.common["model"], setup.phase.temperature) as model, model.disable_adapter():
        base = completion_logps(model, rows)
    nats = [sum(row["logprobs"]) - float(one.sum()) for row, one in zip(rows, base, strict=True)]
    whole: dict[Any, float] = {}
    names = [row.get("attempt", place) for place, row in enumerate(rows)]
    for name, strayed in zip(names, nats, strict=True):
        whole[name] = whole.get(name, 0.0) + strayed
    found = [row | {"reward": row["reward"] - price * whole[name]} for row, name in zip(rows, names, strict=True)]
    setup.measured["base_kl"] = sum(nats) / len(nats)
    setup.measured["penalised_reward"] = sum(row["reward"] for row in found) / len(found)
    return found


def recorded(base: type, config: Any, setup: TrainerSetup, price: float, advantages: Callable[..., Any]) -> Any:
    """A TRL trainer of policy gradients, `base`, on recorded answers.

    Args:
        base: GRPOTrainer or RLOOTrainer.
        config: its arguments.
        setup: the phase.
        price: of each nat that an answer strays from the base, taken off its reward.
        advantages: from rewards and groups to advantages.
    """
    rows = priced(setup, acting(setup), price)
    found = advantages([row["reward"] for row in rows], [row["group"] for row in rows])
    rows = [row | {"advantage": float(a)} for row, a in zip(rows, found, strict=True)]
    dataset = setup.dataset("prompt_ids", "completion_ids", "logprobs", "reward", "advantage", rows=rows)
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
