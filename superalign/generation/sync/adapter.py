"""Adapter sync: a versioned folder, loaded under a new name and number, acknowledged, then served; the old one goes."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors.numpy import save_file

from superalign.config.sections import LoraConfig
from superalign.errors import UserError
from superalign.generation.base import Tensors
from superalign.generation.sync.base import Adapter, Engine, unknown_role

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM takes as max_lora_rank


def room_for(roles: int) -> int:
    """Adapter slots (max_loras) of an engine that serves so many roles.

    One for each role, one for the adapter that comes while its predecessor is still there, and one at the end that
    stays empty: on CPU vLLM 0.30 gives a request without adapter whatever is in the last slot. Slots are filled from
    the front.
    """
    return roles + 2


def engine_rank(rank: int) -> int:
    """The smallest rank of which vLLM has slots that hold adapters of this rank.

    Raises:
        UserError: there is none.
    """
    fits = [each for each in RANKS if each >= rank]
    if not fits:
        raise UserError(
            f"lora.r={rank}: vLLM serves adapters of rank {RANKS[-1]} at most; lower lora.r or use generator.sync=full"
        )
    return fits[0]


class AdapterSync:
    """Every role is an adapter of its own in one engine.

    A name is never used twice, since vLLM's prefix cache tells adapters apart by name; a version pushed again, as after
    a roll-back, gets a further name.

    Args:
        engine: where the adapters are served; it needs `room_for` the roles.
        roles: the roles that the engine serves, all as the base at first.
        lora: rank and alpha of the adapters.
        check: raises ValueError where tensors do not fit the base.

    Raises:
        UserError: the engine has too few slots, or the adapters' rank is too high.
    """

    def __init__(
        self, engine: Engine, roles: Sequence[str], lora: LoraConfig, check: Callable[[Tensors], object]
    ) -> None:
        engine_rank(lora.r)
        if engine.slots < room_for(len(roles)):
            raise UserError(
                f"{len(roles)} roles ({', '.join(roles)}) need {room_for(len(roles))} adapter slots, and the engine "
                f"has max_loras={engine.slots}: raise it, or give some roles a model of their own"
            )
        self._engine = engine
        self._lora = lora
        self._check = check
        self._folder = tempfile.TemporaryDirectory(prefix="superalign-adapters-")
        self._served: dict[str, Adapter | None] = dict.fromkeys(roles)
        self._versions = dict.fromkeys(roles, 0)
        self._names: set[str] = set()
        self._pushed = 0

    def push(self, role: str, tensors: Tensors, version: int) -> int:
        """Serve the role with this adapter; see `WeightSync.push`.

        Raises:
            ValueError: an unknown role, or tensors that do not fit the base.
            RuntimeError: the engine did not acknowledge the adapter.
        """
        if role not in self._served:
            raise unknown_role(role, tuple(self._served))
        self._check(tensors)
        self._pushed += 1
        name = f"{role}-v{version}"
        if name in self._names:
            name += f"-{self._pushed}"
        adapter = Adapter(name, self._pushed, str(self._write(name, tensors)))
        try:
            acknowledged = self._engine.add_lora(adapter)
        except Exception:
            shutil.rmtree(adapter.path)
            raise
        if not acknowledged:
            shutil.rmtree(adapter.path)
            raise RuntimeError(f"{role}: the engine did not acknowledge {name}; version {self._versions[role]} stays")
        self._names.add(name)
        retired, self._served[role] = self._served[role], adapter
        self._versions[role] = version
        if retired is not None:  # no request is under way between two calls of the engine
            self._engine.remove_lora(retired.number)
            shutil.rmtree(retired.path)
        return version

    def serve(self, role: str | None) -> Adapter | None:
        """The adapter of a role; see `WeightSync.serve`."""
        if role is None:
            return None
        if role not in self._served:
            raise unknown_role(role, tuple(self._served))
        return self._served[role]

    def versions(self) -> dict[str, int]:
        """The version served for each role."""
        return dict(self._versions)

    def _write(self, name: str, tensors: Tensors) -> Path:
        """The adapter's folder as plain peft would load it, complete as soon as it has its name."""
        folder = Path(self._folder.name)
        draft = folder / f".{name}"
        draft.mkdir()
        save_file(tensors, draft / "adapter_model.safetensors")
        targets = sorted({key.rpartition(".lora_")[0].rpartition(".")[2] for key in tensors})
        settings = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "r": self._lora.r,
            "lora_alpha": self._lora.alpha,
            "target_modules": targets,
            "bias": "none",
        }
        (draft / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
        return draft.rename(folder / name)
