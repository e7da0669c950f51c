"""The stores that every test of the queue runs on: a real SQLite file and a real PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from superalign.experts.queue import ExpertQueue
from tests.postgres import postgres

__all__ = ["postgres"]  # one cluster for all tests of this folder

OpenQueue = Callable[..., ExpertQueue]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Store and space of an empty queue."""
    if request.param == "sqlite":
        return str(tmp_path / "experts.sqlite"), ""
    return request.getfixturevalue("postgres"), f"test-{secrets.token_hex(8)}"


@pytest.fixture
def open_queue(store: tuple[str, str]) -> OpenQueue:
    """Opens the store once more: `open_queue(clock=...)`."""
    return lambda **settings: ExpertQueue(store[0], space=store[1], **settings)
