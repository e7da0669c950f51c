"""Full-weights sync: the adapter is merged into the base, and the engine's weights are replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from superalign.errors import UserError
from superalign.generation.base import Tensors
from superalign.generation.sync.base import Adapter, Engine, unknown_role


class MergeableBase(Protocol):
    """A base into which one adapter at a time can be merged (`superalign.generation.merging.MergingBase`)."""

    model: Any

    def prepare(self, tensors: Tensors) -> Any:
        """Check an adapter."""
        ...

    def activate(self, adapter: Any) -> None:
        """Merge a prepared adapter, None for none."""
        ...


def check_single(models: Mapping[str, str]) -> None:
    """One engine holds one set of weights, so one role of a model can be trained.

    Args:
        models: the model of each role that will be pushed.

    Raises:
        UserError: several of them share a model.
    """
    for model in sorted(set(models.values())):
        roles = sorted(role for role in models if models[role] == model)
        if len(roles) > 1:
            raise UserError(
                f"generator.sync=full serves one trained role per model, but {', '.join(roles)} share {model}: give "
                "each a model folder of its own (attacker.model, critic.model) or use generator.sync=adapter"
            )


class FullSync:
    """One role whose merged weights are the engine's; the frozen base is put back for whoever else is asked.

    Every tensor of the state dict is sent, the output head also where it is tied to the embeddings: vLLM keeps two
    copies and would go on with the old head.

    Args:
        engine: whose weights are replaced.
        roles: the roles that the engine serves, all as the base at first; the first one pushed is the only one.
        base: what adapters are merged into.
    """

    def __init__(self, engine: Engine, roles: Sequence[str], base: MergeableBase) -> None:
        self._engine = engine
        self._base = base
        self._adapters: dict[str, Any] = dict.fromkeys(roles)
        self._versions = dict.fromkeys(roles, 0)
        self._trained: str | None = None
        self._loaded: Any = None

    def push(self, role: str, tensors: Tensors, version: int) -> int:
        """Serve the role with this adapter merged; see `WeightSync.push`.

        Raises:
            UserError: another role was pushed before.
            ValueError: an unknown role, or tensors that do not fit the base.
        """
        self._known(role)
        if self._trained is not None:
            check_single(dict.fromkeys((self._trained, role), "one model"))
        adapter = self._base.prepare(tensors)
        self._load(adapter)
        self._trained, self._adapters[role], self._versions[role] = role, adapter, version
        return version

    def serve(self, role: str | None) -> Adapter | None:
        """Put the weights of the role into the engine unless they are there; no request needs an adapter."""
        if role is not None:
            self._known(role)
        self._load(None if role is None else self._adapters[role])
        return None

    def versions(self) -> dict[str, int]:
        """The version served for each role."""
        return dict(self._versions)

    def _known(self, role: str) -> None:
        if role not in self._adapters:
            raise unknown_role(role, tuple(self._adapters))

    def _load(self, adapter: Any) -> None:
        if adapter is self._loaded:
            return
        self._base.activate(adapter)
        self._engine.reload(self._base.model.state_dict().items())
        self._loaded = adapter
