"""A command line of superalign that keeps on disk what untrained models say and make of texts, for runs alike.

    python tests/benchmarks/remembered.py FILE train recipe=selfplay ...

Labelled answers, the first learner's answers to held-out requests, and what it makes of questions are the same in all
runs of a seed. What is remembered equals what would be computed to the bit: hidden states are kept by text, as on a CPU
each is read alone, and all else by the whole call. Nothing is kept of a role whose adapter has learned something.
"""

from __future__ import annotations

import hashlib
import pickle
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superalign.commands import main
from superalign.generation.hf import HFGenerator
from superalign.models.hidden_states import PLACES

Texts = Sequence[tuple[int, ...]]
Call = Callable[..., Any]


class Memory:
    """A file of what was computed, by what it was computed from."""

    def __init__(self, file: Path) -> None:
        self._rows = sqlite3.connect(file, timeout=60, isolation_level=None)
        self._rows.execute("create table if not exists remembered (asked blob primary key, found blob)")

    def get(self, asked: bytes) -> bytes | None:
        """What was found; None if it was not asked yet."""
        row = self._rows.execute("select found from remembered where asked = ?", (asked,)).fetchone()
        return row[0] if row else None

    def put(self, found: dict[bytes, bytes]) -> None:
        """Remember what was found."""
        self._rows.executemany("insert or ignore into remembered values (?, ?)", list(found.items()))


def remembering_states(read: Call, memory: Memory) -> Call:
    """`HFGenerator.hidden_states` that looks into a file first, and adds to it what it had to read."""

    def hidden_states(
        engine: HFGenerator, model: str, prompts: Texts, completions: Texts, layers: Sequence[int], role: Any = None
    ) -> NDArray[np.float32]:
        if role is not None or not prompts:
            return np.asarray(read(engine, model, prompts, completions, layers, role))
        texts = list(zip(prompts, completions, strict=True))
        keys = [_key((*_about(engine, model), tuple(layers)), text) for text in texts]
        found = {key: state for key in set(keys) if (state := memory.get(key)) is not None}
        if missing := [place for place, key in enumerate(keys) if key not in found]:
            fresh = read(engine, model, *zip(*(texts[i] for i in missing), strict=True), layers, role)
            new = {keys[i]: state.tobytes() for i, state in zip(missing, fresh, strict=True)}
            memory.put(new)
            found |= new
        shape = (len(keys), len(PLACES), len(layers), -1)
        return np.stack([np.frombuffer(found[key], dtype=np.float32) for key in keys]).reshape(shape)

    return hidden_states


def remembering_calls(call: Call, memory: Memory, role_of: Callable[..., str | None]) -> Call:
    """A method of `HFGenerator` that looks into a file first where the role's adapter has learned nothing yet."""

    def remembered(engine: HFGenerator, *asked: Any, **named: Any) -> Any:
        role = role_of(*asked, **named)
        if role not in engine.versions() or not _untrained(engine, role):
            return call(engine, *asked, **named)
        about = (call.__name__, *_about(engine, engine._models[role]), engine.versions()[role])
        key = _key(about, asked, sorted(named.items()))
        if (found := memory.get(key)) is None:
            found = pickle.dumps(call(engine, *asked, **named))
            memory.put({key: found})
        return pickle.loads(found)

    return remembered


def _untrained(engine: HFGenerator, role: str) -> bool:
    adapter = engine._adapters[role]
    return adapter is None or not any(bool(second.any()) for _, second in adapter.values())


def _about(engine: HFGenerator, model: str) -> tuple[str, str]:
    return model, str(engine._bases[model].model.dtype).removeprefix("torch.")


def _key(*about: Any) -> bytes:
    return hashlib.sha256(repr(about).encode()).digest()


def _role_of_requests(requests: Sequence[Any], *_: Any, **__: Any) -> str | None:
    """The role that all requests are of, None where there are several."""
    roles = {request.role for request in requests}
    return roles.pop() if len(roles) == 1 else None


def remember(file: Path) -> None:
    """Let the engine of this process remember."""
    memory = Memory(file)
    engine: Any = HFGenerator
    engine.hidden_states = remembering_states(engine.hidden_states, memory)
    engine.generate = remembering_calls(engine.generate, memory, _role_of_requests)
    engine.sequence_logprobs = remembering_calls(engine.sequence_logprobs, memory, lambda role, *_, **__: role)


if __name__ == "__main__":
    remember(Path(sys.argv[1]))
    sys.exit(main.main(sys.argv[2:]))
