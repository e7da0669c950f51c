"""PPO on TRL's trainer base: value head, generalised advantages, clipped losses, adaptive KL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from trl.trainer.base_config import _BaseConfig
from trl.trainer.base_trainer import _BaseTrainer
from trl.trainer.utils import add_fused_lm_head

from superalign.training import distributed
from superalign.training.algorithms.advantages import generalised, whitened
from superalign.training.algorithms.base import TrainerSetup
from superalign.training.algorithms.policy_gradient import PolicyPhase
from superalign.training.recorded import acting
from superalign.training.rows import AnchorStream, pad_rows, token_logps

VALUE_WEIGHT = 0.5
KL_GAIN, KL_ERROR = 0.1, 0.2


@dataclass
class ValueFunction:
    """What PPO keeps of a role between phases beside its adapter.

    Attributes:
        head: value of a state from the policy's last hidden state, [.., hidden] to [.., 1].
        optimizer: Adam of the head alone: no value gradient reaches the policy.
        kl: coefficient of the KL penalty, adapted after every phase.
    """

    head: nn.Linear
    optimizer: torch.optim.Adam
    kl: float

    @classmethod
    def fresh(cls, hidden: int, learning_rate: float, kl: float) -> ValueFunction:
        """Values of 0 everywhere."""
        head = nn.Linear(hidden, 1)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        return cls(head, torch.optim.Adam(head.parameters(), lr=learning_rate), kl)

    def adapt(self, kl: float, target: float | None) -> None:
        """Proportional control in log space, towards `target` nats per answer (arXiv 1909.08593 section 2.2)."""
        if target is None:
            return
        error = min(max(kl / target - 1, -KL_ERROR), KL_ERROR)
        self.kl *= 1 + KL_GAIN * error

    def to(self, device: torch.device) -> None:
        """Move head and optimizer to where the policy is."""
        self.head.to(device)
        for state in self.optimizer.state.values():
            state.update({name: value.to(device) for name, value in state.items() if name != "step"})

    def state(self) -> dict[str, Any]:
        """All of it, for torch.save."""
        return {"head": self.head.state_dict(), "optimizer": self.optimizer.state_dict(), "kl": self.kl}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` gave."""
        self.head.load_state_dict(state["head"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.kl = float(state["kl"])


@dataclass(frozen=True)
class TokenCollator:
    """Right-padded answers with what was recorded of their tokens, [b, longest - 1], aligned to `token_logps`."""

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Collate rows that `PPOTrainer.annotate` has completed."""
        batch = pad_rows([(row["prompt_ids"], row["completion_ids"]) for row in rows])
        width = batch["input_ids"].shape[1] - 1
        for name in ("logprobs", "advantages", "values", "returns"):
            spread = torch.zeros(len(rows), width)
            for place, row in enumerate(rows):
                start = len(row["prompt_ids"]) - 1
                spread[place, start : start + len(row[name])] = torch.tensor(row[name])
            batch[name] = spread
        return batch


class PPOTrainer(distributed.WholeBatch, _BaseTrainer):
    """PPO (arXiv 1707.06347 eq. 7, 9) on rows that `annotate` completed.

    loss = clipped policy loss + anchor_weight * mean `anchor_losses`; the clipped value loss trains the head beside
    it, each a mean over the tokens of a batch.

    Attributes:
        history: one dict for each step: losses, share of clipped ratios, approximate KL to the policy that answered.
    """

    def __init__(self, *, phase: PolicyPhase, value: ValueFunction, anchors: AnchorStream, **kwargs: Any) -> None:
        self.phase, self.value, self.anchors = phase, value, anchors
        self.history: list[dict[str, float]] = []
        super().__init__(data_collator=TokenCollator(), **kwargs)

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The policy's loss of a batch, a scalar; takes a step of the value head on the way."""
        clip, mask = self.phase.clip, inputs["completion_mask"][:, 1:].float()
        count = mask.sum()
        logps, values = logps_and_values(model, inputs, self.value.head)
        ratio = torch.exp((logps - inputs["logprobs"]) * mask)
        advantages = inputs["advantages"]
        gains = torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
        loss = -(gains * mask).sum() / count
        step = {
            "policy": loss.item(),
            "clip_ratio": (((ratio - 1).abs() > clip) * mask).sum().item() / count.item(),
            "kl": ((inputs["logprobs"] - logps) * mask).sum().item() / count.item(),
            "value": self._learn_value(values, inputs, mask),
        }
        anchor = self.anchors.loss(model, loss.device)
        if anchor is not None:
            loss = loss + self.phase.anchor_weight * anchor
            step["anchor"] = anchor.item()
        self.history.append(step | {"loss": loss.item()})
        return loss

    def _learn_value(self, values: torch.Tensor, inputs: dict[str, torch.Tensor], mask: torch.Tensor) -> float:
        clip, old, returns = self.phase.clip, inputs["values"], inputs["returns"]
        clipped = old + (values - old).clamp(-clip, clip)
        errors = torch.maximum((values - returns) ** 2, (clipped - returns) ** 2)
        loss = VALUE_WEIGHT * (errors * mask).sum() / mask.sum()
        self.value.optimizer.zero_grad()
        loss.backward()
        distributed.add_up(self.value.head.parameters())
        self.value.optimizer.step()
        return loss.item()


def logps_and_values(model: Any, inputs: dict[str, torch.Tensor], head: nn.Linear) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each token, zero outside completions, and the value before it, both [b, t - 1].

    The head reads what the model hands to its output layer; its gradients end there.
    """
    caught: list[torch.Tensor] = []
    handle = model.get_base_model().base_model.register_forward_hook(lambda *call: caught.append(call[2][0].detach()))
    try:
        logps = token_logps(model, inputs, apart=False)
    finally:
        handle.remove()
    values: torch.Tensor = head(torch.cat(caught)[:, :-1].float()).squeeze(-1)  # the base may be of another dtype
    return logps, distributed.whole(values, len(logps))


@torch.no_grad()
def annotate(
    model: Any, rows: list[dict[str, Any]], gae_lambda: float, value: ValueFunction, size: int = 64
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Complete recorded rows by values, returns and whitened advantages of their tokens.

    The reward of token t is -kl * (log pi(t) - log base(t)), and the last one's also the reward of the answer. All
    log-probabilities are at the temperature of the model's output layer.

    Args:
        model: the policy that answered, a PEFT model.
        rows: prompt_ids, completion_ids, logprobs (nats, one per token, at that temperature), reward.
        gae_lambda: of the estimator.
        value: values, and the strength of the penalty.
        size: rows at a time.

    Returns:
        The rows, and the mean over answers of their KL to the base (nats) and of the whole reward.
    """
    device = next(model.parameters()).device
    value.to(device)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]["prompt_ids"]) + len(rows[i]["completion_ids"]))
    width = max(len(row["completion_ids"]) for row in rows)
    shape = (len(rows), width)
    rewards, values, mask = torch.zeros(shape), torch.zeros(shape), torch.zeros(shape)
    kl_to_base = torch.zeros(len(rows))
    for part in (order[i : i + size] for i in range(0, len(order), size)):
        batch = pad_rows([(rows[i]["prompt_ids"], rows[i]["completion_ids"]) for i in part])
        inputs = {name: value.to(device) for name, value in batch.items()}
        predicted = logps_and_values(model, inputs, value.head)[1].cpu()
        with model.disable_adapter():
            base = token_logps(model, inputs).cpu()
        for place, i in enumerate(part):
            row, start = rows[i], len(rows[i]["prompt_ids"]) - 1
            tokens = slice(start, start + len(row["completion_ids"]))
            paid = torch.tensor(row["logprobs"]) - base[place, tokens]
            length = len(paid)
            rewards[i, :length] = -value.kl * paid
            rewards[i, length - 1] += row["reward"]
            values[i, :length], mask[i, :length], kl_to_base[i] = predicted[place, tokens], 1.0, paid.sum()
    advantages, returns = generalised(rewards, values, mask, gae_lambda)
    advantages = whitened(advantages, mask)
    done = [
        row | {name: found[i, : len(row["completion_ids"])].tolist() for name, found in columns}
        for columns in [(("advantages", advantages), ("values", values), ("returns", returns))]
        for i, row in enumerate(rows)
    ]
    return done, {"base_kl": kl_to_base.mean().item(), "penalised_reward": (rewards.sum(1)).mean().item()}


def make(setup: TrainerSetup, value: ValueFunction) -> PPOTrainer:
    """A trainer on the rows of a setup, which are annotated first; adds what was found of them to `measured`."""
    model, rows = setup.common["model"], acting(setup)
    add_fused_lm_head(model.get_base_model(), setup.phase.temperature)
    rows, found = annotate(model, rows, setup.phase.gae_lambda, value)
    setup.measured |= found
    columns = ("prompt_ids", "completion_ids", "logprobs", "advantages", "values", "returns")
    return PPOTrainer(
        phase=setup.phase,
        value=value,
        anchors=setup.anchors,
        args=_BaseConfig(**setup.arguments),
        train_dataset=setup.dataset(*columns, rows=rows),
        **setup.common,
    )
