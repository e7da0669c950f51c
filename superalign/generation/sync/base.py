"""What a weight sync promises, and what it needs of an engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from superalign.generation.base import Tensors


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter that an engine has loaded. Neither name nor number is ever used again by that engine."""

    name: str
    number: int
    path: str


class Engine(Protocol):
    """The part of a generation engine that weight sync uses.

    Attributes:
        slots: adapters that may be loaded at once.
    """

    slots: int

    def add_lora(self, adapter: Adapter) -> bool:
        """Load an adapter; whether it may be asked for now."""
        ...

    def remove_lora(self, number: int) -> bool:
        """Forget an adapter; whether it was there."""
        ...

    def reload(self, weights: Iterable[tuple[str, Any]]) -> None:
        """Replace the weights, all of them, and forget what was computed with the old ones."""
        ...


class WeightSync(Protocol):
    """Keeps one engine at the versions that the learner has pushed."""

    def push(self, role: str, tensors: Tensors, version: int) -> int:
        """Serve the role with this adapter from now on; returns the version once the engine has acknowledged it.

        After an exception the role is served as before.
        """
        ...

    def serve(self, role: str | None) -> Adapter | None:
        """What a request of this role (None: the frozen base) must carry; the engine is ready for it afterwards."""
        ...

    def versions(self) -> dict[str, int]:
        """The version served for each role; 0 is the base itself."""
        ...


def unknown_role(role: str, roles: Sequence[str]) -> ValueError:
    """The error for a role that an engine does not know."""
    return ValueError(f"unknown role {role!r}; this generator serves {sorted(roles)}")
