"""What roles know of training: phases and the service's interface, free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from pydantic import BaseModel

from superalign.config.sections import Section
from superalign.models.states import GivesHiddenStates

if TYPE_CHECKING:
    import numpy as np

ADAPTER = "adapter_model.safetensors"  # of a role that is saved, as plain peft calls it
Rows = Sequence[dict[str, Any]]


class Phase(Section):
    """What one phase of training of one role is told.

    Attributes:
        learning_rate: of Adam, constant over the phase.
        epochs: passes over the rows.
        batch_size: rows in a batch, of all workers together.
        anchor_batch: anchors supervised beside each step.
        anchor_weight: what their loss (nats per token) is multiplied by; 0 draws none.
        retained_weight: of anchors with log-probabilities on record, see `superalign.training.rows.anchor_losses`.
    """

    learning_rate: float
    epochs: int
    batch_size: int
    anchor_batch: int = 0
    anchor_weight: float = 0.0
    retained_weight: float = 0.0

    @classmethod
    def of(cls, settings: BaseModel, **changes: Any) -> Self:
        """The fields of a role's settings that this phase has, with changes."""
        given = {name: getattr(settings, name) for name in cls.model_fields if hasattr(settings, name)}
        return cls(**given | changes)


class SupportsSleep(Protocol):
    """What can leave the accelerator's memory to a trainer until it is asked again."""

    def sleep(self) -> None:
        """Leave it."""


class Trainer(GivesHiddenStates, Protocol):
    """Trains one role's adapter at a time; knows nothing of what the roles are."""

    def train(
        self, role: str, algorithm: str, rows: Rows, phase: Any, anchors: Rows = (), seed: int = 0
    ) -> dict[str, float]:
        """One phase of training; see `superalign.training.service.TrainingService.train`."""
        ...

    def mismatch(self, role: str, rows: Rows) -> float:
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
