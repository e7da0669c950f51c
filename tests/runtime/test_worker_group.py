"""How long a group waits for its workers; what they do is in tests/training/test_distributed.py."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from superalign.config.sections import ClusterConfig
from superalign.errors import ActorLost
from superalign.runtime.actors import current_call
from superalign.runtime.worker_group import WorkerGroup


def test_a_silent_worker_is_named_before_whoever_waits_for_the_group_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []
    put = SimpleNamespace(remote=lambda method, payload, limit_s: limits.append(limit_s))
    calls = SimpleNamespace(put=put, answers=SimpleNamespace(remote=lambda more_than, wait_s: {}))
    group: Any = WorkerGroup.__new__(WorkerGroup)
    group.__dict__ |= {"_name": "trainer", "_config": ClusterConfig(), "_workers": 2, "_log_dir": Path("logs")}
    group.__dict__ |= {"_calls": calls, "_fit": SimpleNamespace(is_alive=lambda: True), "_ask": lambda reply: reply}
    monkeypatch.setattr(current_call, "deadline", time.monotonic() + 0.2)
    with pytest.raises(ActorLost, match=r"trainer.sft: trainer-0, trainer-1 gave no answer within 0.2 s") as lost:
        group.sft()
    assert lost.value.actor == "trainer-0"
    assert 0 < limits[0] <= 0.2
