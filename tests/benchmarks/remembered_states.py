"""A command line of superalign that keeps on disk what frozen models make of texts, for runs that read the same ones.

    python tests/benchmarks/remembered_states.py FILE train recipe=selfplay ...

Labelled answers, and the first learner's answers to held-out requests, are the same in all runs of a benchmark. On a
CPU each text is read alone, so what is remembered equals what would be read to the bit. Adapters' states are not kept.
"""

from __future__ import annotations

import hashlib
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
Read = Callable[..., NDArray[np.float32]]


def remembering(read: Read, file: Path) -> Read:
    """`HFGenerator.hidden_states` that looks into a file first, and adds to it what it had to read."""
    known = sqlite3.connect(file, timeout=60, isolation_level=None)
    known.execute("create table if not exists states (text blob primary key, state blob)")

    def hidden_states(
        engine: Any, model: str, prompts: Texts, completions: Texts, layers: Sequence[int], role: str | None = None
    ) -> NDArray[np.float32]:
        if role is not None or not prompts:
            return read(engine, model, prompts, completions, layers, role)
        about = (model, str(engine._bases[model].model.dtype).removeprefix("torch."), tuple(layers))
        texts = list(zip(prompts, completions, strict=True))
        keys = [hashlib.sha256(repr((about, text)).encode()).digest() for text in texts]
        found: dict[bytes, NDArray[np.float32]] = {}
        for key in set(keys):
            for (state,) in known.execute("select state from states where text = ?", (key,)):
                found[key] = np.frombuffer(state, dtype=np.float32).reshape(len(PLACES), len(layers), -1)
        missing = [place for place, key in enumerate(keys) if key not in found]
        if missing:
            fresh = read(engine, model, *zip(*(texts[i] for i in missing), strict=True), layers, role)
            found |= dict(zip([keys[i] for i in missing], fresh, strict=True))
            rows = [(keys[i], found[keys[i]].tobytes()) for i in missing]
            known.executemany("insert or ignore into states values (?, ?)", rows)
        return np.stack([found[key] for key in keys])

    return hidden_states


if __name__ == "__main__":
    HFGenerator.hidden_states = remembering(HFGenerator.hidden_states, Path(sys.argv[1]))  # type: ignore[method-assign]
    sys.exit(main.main(sys.argv[2:]))
