"""The adapters and memories of roles in a committed round."""

from __future__ import annotations

import json
from typing import Any

from superalign.store.folder import RunFolder

MEMORY, WEIGHTS = "memory.json", "adapters"
TRAINED = ("attacker", "critic", "learner")


def load_memory(run: RunFolder) -> dict[str, Any]:
    """What roles remembered at the last committed round."""
    last = run.last_round()
    assert last is not None
    memory: dict[str, Any] = json.loads((run.round_path(last) / MEMORY).read_text(encoding="utf-8"))
    return memory
