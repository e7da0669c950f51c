"""The heads of `Classification`: what they read, and their loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from superalign.training import distributed
from superalign.training.micro_batching import in_parts
from superalign.training.rows import pad_rows


class Heads:
    """A linear head for each question, with an optimizer of its own.

    Args:
        width: of the hidden states.
        questions: how many.
        learning_rate: of Adam.
    """

    def __init__(self, width: int, questions: int, learning_rate: float) -> None:
        self.linear = nn.Linear(width, questions)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.optimizer = torch.optim.Adam(self.linear.parameters(), lr=learning_rate)

    def loss(self, trainer: Any, model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        """Weighted mean of the binary cross-entropy (nats) with soft targets, a scalar.

        The heads take a step on the same states first; the loss that goes back through the adapter is by the new ones.
        """
        self.linear.to(inputs["targets"].device)
        state = states(model, inputs)
        first, _ = self._nats(state.detach(), inputs)
        self.optimizer.zero_grad()
        first.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        loss, odds = self._nats(state, inputs)
        known = inputs["weights"] > 0
        right = ((odds > 0) == (inputs["targets"] > 0.5)) & known
        return loss, {"accuracy": (right.sum() / known.sum()).item()}

    def _nats(self, state: torch.Tensor, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        odds = torch.einsum("bqh,qh->bq", state, self.linear.weight) + self.linear.bias
        weights = inputs["weights"]
        nats = nn.functional.binary_cross_entropy_with_logits(odds, inputs["targets"], reduction="none")
        return (nats * weights).sum() / weights.sum(), odds

    def state(self) -> dict[str, Any]:
        """All of it, for torch.save."""
        return {"linear": self.linear.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` gave."""
        self.linear.load_state_dict(state["linear"])
        self.optimizer.load_state_dict(state["optimizer"])


def states(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """For each question the last hidden state at the end of prompt or completion, [rows, questions, width]."""

    def run(ids: torch.Tensor, attention: torch.Tensor, mask: torch.Tensor, of_prompt: torch.Tensor) -> torch.Tensor:
        caught: list[torch.Tensor] = []
        handle = model.get_base_model().base_model.register_forward_hook(lambda *call: caught.append(call[2][0]))
        try:
            model(input_ids=ids, attention_mask=attention, use_cache=False, logits_to_keep=1)
        finally:
            handle.remove()
        ends = attention.sum(1) - 1
        places = torch.where(of_prompt, (ends - mask.sum(1))[:, None], ends[:, None])
        rows = torch.arange(len(ids), device=ids.device)
        found: torch.Tensor = caught[0][rows[:, None], places].float()
        return found

    names = ("input_ids", "attention_mask", "completion_mask", "of_prompt")
    mine = (distributed.share(inputs[name]) for name in names)
    return distributed.whole(torch.cat(in_parts(model, run, *mine)), len(inputs["input_ids"]))


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """A batch with targets, weights [rows, questions] and where each is read."""
    batch = pad_rows([(row["prompt_ids"], row["completion_ids"]) for row in rows])
    for name in ("targets", "weights"):
        batch[name] = torch.tensor([row[name] for row in rows], dtype=torch.float32)
    return {**batch, "of_prompt": torch.tensor([row["of_prompt"] for row in rows], dtype=torch.bool)}
