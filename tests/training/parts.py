"""What the tests of several workers put into a group of them."""

from __future__ import annotations

import os
import signal
from typing import Any
from unittest import mock

import numpy as np

from superalign.config.sections import LoraConfig
from superalign.training import distributed, service
from superalign.training.service import TrainingService
from tests.training.phases import SFT, WSPO, dpo, kto, policy, sft, wspo

# Adam's first step for a weight is as long as for any other, however small its gradient: with its own epsilon, 1e-8, a
# weight whose gradient cancels to round-off goes a whole step one way or the other, and of thousands of weights some do
# on every processor. With this one it stays where it is, and two adapters differ by as little as their gradients.
EPSILON = 1e-4


class WatchedService(TrainingService):
    """A training service that tells the loss of every step, and what each worker does and holds."""

    def __init__(
        self,
        roles: tuple[str, ...],
        shard: bool = False,
        micro_batch: int | None = None,
        model: str = "testbed-small",
        dtype: str = "float32",
    ) -> None:
        lora = LoraConfig(r=4, alpha=8)
        super().__init__(dict.fromkeys(roles, model), lora, 1, dtype, shard=shard, micro_batch=micro_batch)
        for role in self._roles.values():
            role.optimizer.param_groups[0]["eps"] = EPSILON
        self._rows: list[int] = []
        (model,) = self._models.values()
        model.get_input_embeddings().register_forward_hook(lambda *call: self._rows.append(len(call[1][0])))

    def set_micro_batch(self, micro_batch: int | None) -> None:
        """Run the model on so many rows at a time from now on."""
        for model in self._models.values():
            model.micro_batch = micro_batch

    def losses(self, algorithm: str, role: str, *args: Any) -> list[float]:
        """Train, and tell the loss of each step."""
        steps: list[dict[str, float]] = []
        with mock.patch.object(service, "summary", lambda history, _: steps.extend(history) or {}):
            self.train(role, algorithm, *args)
        return [step["loss"] for step in steps]

    def rows(self) -> list[int]:
        """Of each run of the model since the last time, how many rows the first worker had."""
        rows, self._rows[:] = list(self._rows), []
        return rows

    def held(self) -> list[tuple[int, int]]:
        """Of each tensor of the base, how many numbers it has, and how many the first worker holds."""
        (model,) = self._models.values()
        frozen = [p for p in model.parameters() if not p.requires_grad]
        return [(p.numel(), getattr(p, "_local_tensor", p).numel()) for p in frozen]

    def killed(self, role: str, rows: Any, phase: Any) -> None:
        """The second worker dies while the first one trains."""
        if not distributed.first():
            os.kill(os.getpid(), signal.SIGKILL)
        self.train(role, "dpo", rows, phase)

    def alone(self) -> None:
        """Only the second worker goes wrong."""
        if not distributed.first():
            raise ZeroDivisionError("no margin")


class BothServices:
    """One service whose workers hold the whole base, and one whose workers share it, in the same processes."""

    def __init__(self, roles: tuple[str, ...]) -> None:
        self.services = {"whole": WatchedService(roles), "sharded": WatchedService(roles, shard=True)}

    def on(self, service: str, method: str, *args: Any) -> Any:
        """Call a method of one of them."""
        return getattr(self.services[service], method)(*args)


def apart(ours: Any, theirs: Any, fresh: Any) -> float:
    """How far two trained adapters are from each other, as a share of how far training has moved the first."""
    squares = np.array([[((theirs[k] - ours[k]) ** 2).sum(), ((ours[k] - fresh[k]) ** 2).sum()] for k in fresh])
    gap, moved = np.sqrt(squares.sum(0))
    return float(gap / moved)


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows that every algorithm can read."""
    rng = np.random.default_rng(seed)

    def ids() -> list[int]:
        return rng.integers(5, 290, rng.integers(2, 12)).tolist()

    made = []
    for number in range(count):
        row = {name: ids() for name in ("prompt_ids", "chosen_ids", "rejected_ids", "completion_ids")}
        size = len(row["completion_ids"])
        labels = {name: float(rng.uniform(0.1, 1.0)) for name in ("q", "w", "weight")}
        recorded = {"logprobs": (-rng.uniform(4, 6, size)).tolist(), "target": rng.normal(size=size).tolist()}
        made.append(row | labels | recorded | {"reward": float(rng.normal()), "group": str(number // 3)})
    return made


ANCHORED = {"anchor_batch": 3, "anchor_weight": 0.5}
LOSSES = ("cdpo", "dpo", "rdpo", "ropo", "drdpo", "ipo")
CLOSE = {"rel": 1e-4, "abs": 1e-7}

# Of each case: algorithm, rows, phase, anchors, seed. The last batches are odd or of one row.
CASES: dict[str, tuple[Any, ...]] = {
    **{
        loss: ("dpo", rows(9), dpo(loss=loss, batch_size=4, nll=0.05, confidence=0.2, **ANCHORED), rows(5), 1)
        for loss in LOSSES
    },
    "kto": ("kto", rows(11), kto(batch_size=5, **ANCHORED), rows(5), 1),
    "sft": (SFT, rows(11), sft(batch_size=5), (), 1),
    "wspo": (WSPO, rows(11), wspo(batch_size=5, beta=0.5), (), 1),
    **{
        name: (name, rows(14), policy(name, batch_size=4, kl=0.02, **ANCHORED), rows(5), 1)
        for name in ("grpo", "rloo", "ppo")
    },
}
