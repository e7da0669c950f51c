"""What roles know of training: settings and the service's interface, free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

ADAPTER = "adapter_model.safetensors"  # of a role that is saved, as plain peft calls it


@dataclass(frozen=True, slots=True)
class DPOSettings:
    """One phase of preference training; see `superalign.config.LearnerConfig` for the meaning of the fields."""

    loss: str = "cdpo"
    beta: float = 0.1
    nll: float = 0.0
    learning_rate: float = 1e-3
    epochs: int = 1
    batch_size: int = 16
    anchor_batch: int = 0
    anchor_weight: float = 0.0
    confidence: float = 0.0
    confidence_ramp: float = 0.2


@dataclass(frozen=True, slots=True)
class SFTSettings:
    """One phase of weighted supervised training."""

    learning_rate: float = 1e-3
    epochs: int = 1
    batch_size: int = 16


@dataclass(frozen=True, slots=True)
class KTOSettings:
    """One phase of training on single answers; see `superalign.config.sections.LearnerConfig`."""

    beta: float = 0.1
    learning_rate: float = 1e-3
    epochs: int = 1
    batch_size: int = 16
    anchor_batch: int = 0
    anchor_weight: float = 0.0


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """One phase of policy gradients on recorded answers; see `superalign.config.sections.LearnerConfig`."""

    algorithm: str = "grpo"
    learning_rate: float = 1e-3
    epochs: int = 1
    batch_size: int = 32
    clip: float = 0.2
    kl: float = 0.0
    kl_target: float | None = 12.0
    gae_lambda: float = 0.95
    value_learning_rate: float = 5e-3
    anchor_batch: int = 0
    anchor_weight: float = 0.0


class Resting(Protocol):
    """What can leave the accelerator's memory to a trainer until it is asked again."""

    def rest(self) -> None:
        """Leave it."""


class Trainer(Protocol):
    """Trains one role's adapter at a time; knows nothing of what the roles are."""

    def dpo(
        self,
        role: str,
        rows: Sequence[dict[str, Any]],
        settings: DPOSettings,
        anchors: Sequence[dict[str, Any]],
        seed: int,
    ) -> dict[str, float]:
        """Preference training; rows: prompt_ids, chosen_ids, rejected_ids, q, w; anchors: those of `sft`."""
        ...

    def kto(
        self,
        role: str,
        rows: Sequence[dict[str, Any]],
        settings: KTOSettings,
        anchors: Sequence[dict[str, Any]],
        seed: int,
    ) -> dict[str, float]:
        """Training on single answers; rows: prompt_ids, completion_ids, q = P(acceptable), w."""
        ...

    def policy(
        self,
        role: str,
        rows: Sequence[dict[str, Any]],
        settings: PolicySettings,
        anchors: Sequence[dict[str, Any]],
        seed: int,
    ) -> dict[str, float]:
        """Policy gradients; rows: prompt_ids, completion_ids, logprobs (of its tokens when sampled), reward, group."""
        ...

    def sft(self, role: str, rows: Sequence[dict[str, Any]], settings: SFTSettings, seed: int) -> dict[str, float]:
        """Supervised training; rows have prompt_ids, completion_ids, weight."""
        ...

    def mismatch(self, role: str, rows: Sequence[dict[str, Any]]) -> float:
        """KL per token (nats) between who generated the recorded rows and the trainer's weights of the role."""
        ...

    def adapter(self, role: str) -> dict[str, np.ndarray[Any, Any]]:
        """The role's adapter tensors, named as `peft.get_peft_model_state_dict` does."""
        ...

    def version(self, role: str) -> int:
        """How many training calls this adapter has had."""
        ...

    def save(self, folder: Path) -> None:
        """Write every role's adapter, optimizer and version."""
        ...

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote, bit for bit."""
        ...
