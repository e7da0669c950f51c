"""Full-weights sync: the adapter is merged into the base, and the engine's weights are replaced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from superalign.errors import UserError
from superalign.generation.base import Tensors
from superalign.sync.base import Adapter, Engine, unserved


class Merged(Protocol):
    """A base into which one adapter at a time can be merged (`superalign.generation.merging.MergingBase`)."""

    model: Any

    def prepare(self, tensors: Tensors) -> Any:
        """Check an adapter."""
        ...

    def activate(self, adapter: Any) -> None:
        """Merge a prepared adapter, None for none."""
        ...


def check_single(model: str, roles: Sequence[str]) -> None:
    """One engine holds one set of weights.

    Raises:
        UserError: several roles share the model.
    """
    if len(roles) > 1:
        raise UserError(
            f"generator.sync=full serves one role per model, but {', '.join(sorted(roles))} share {model}: give each a "
            "model folder of its own (attacker.model, critic.model) or use generator.sync=adapter"
        )


class FullSync:
    """One role whose merged weights are the engine's; the frozen base is put back for whoever asks for it.

    Every tensor of the state dict is sent, the output head also where it is tied to the embeddings: vLLM keeps two
    copies and would go on with the old head.
    """

    def __init__(self, engine: Engine, role: str, base: Merged) -> None:
        self._engine = engine
        self._role = role
        self._base = base
        self._adapter: Any = None
        self._loaded: Any = None
        self._version = 0

    def push(self, role: str, tensors: Tensors, version: int) -> int:
        """Serve the role with this adapter merged; see `WeightSync.push`.

        Raises:
            ValueError: an unknown role, or tensors that do not fit the base.
        """
        self._known(role)
        adapter = self._base.prepare(tensors)
        self._load(adapter)
        self._adapter, self._version = adapter, version
        return version

    def serve(self, role: str | None) -> Adapter | None:
        """Put the weights of the role into the engine unless they are there; no request needs an adapter."""
        if role is not None:
            self._known(role)
        self._load(None if role is None else self._adapter)
        return None

    def versions(self) -> dict[str, int]:
        """The version served."""
        return {self._role: self._version}

    def _known(self, role: str) -> None:
        if role != self._role:
            raise unserved(role, [self._role])

    def _load(self, adapter: Any) -> None:
        if adapter is self._loaded:
            return
        self._base.activate(adapter)
        self._engine.reload(self._base.model.state_dict().items())
        self._loaded = adapter
