"""Engines that only sleep, and work dealt out to them in advance: for `scaling.py` and `skew.py`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from superalign.generation.base import Generation, GenerationRequest, Generator, Tensors
from superalign.runtime.cluster import Cluster

T = TypeVar("T")
ROLE, LIMIT = "learner", 64


class SleepingEngine:
    """A `Generator` whose requests take the seconds that are given for their prompts' first tokens.

    What is asked in one call is one batch, and over when its longest request is. `slowness` multiplies.
    """

    def __init__(self, seconds: Sequence[float], slowness: float = 1.0) -> None:
        self.seconds = [slowness * one for one in seconds]
        self.served: dict[str, int] = {ROLE: 0}

    def generate(self, requests: Sequence[GenerationRequest], seed: int) -> list[Generation]:
        """Nothing, in time."""
        time.sleep(max(self.seconds[request.prompt_ids[0]] for request in requests))
        return [Generation((), (), None, "", True, self.served[request.role]) for request in requests]

    def load_adapter(self, role: str, tensors: Tensors, version: int) -> int:
        """Acknowledge."""
        self.served[role] = version
        return version

    def versions(self) -> dict[str, int]:
        """The version served for each role."""
        return self.served


def requests(count: int, first: int = 0) -> list[GenerationRequest]:
    """As many requests, numbered by their first token, all of one length: no queue can know which is long."""
    return [GenerationRequest(ROLE, (number,), LIMIT, 1.0) for number in range(first, first + count)]


class Recording:
    """A cluster that remembers the engines it started, the first of them slower than the others."""

    def __init__(self, cluster: Cluster, slowness: float) -> None:
        self.cluster, self.slowness = cluster, slowness
        self.engines: list[Generator] = []

    def spawn(self, name: str, cls: type[Any], *args: Any, **more: Any) -> Any:
        """Start an engine."""
        slowness = 1.0 if self.engines else self.slowness
        self.engines.append(self.cluster.spawn(name, cls, *args, slowness=slowness, **more))
        return self.engines[-1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cluster, name)


def cut(work: Sequence[T], pieces: int) -> list[Sequence[T]]:
    """Consecutive pieces of like length."""
    step = -(-len(work) // pieces)
    return [work[start : start + step] for start in range(0, len(work), step)]


def shard(asked: Sequence[GenerationRequest], engines: Sequence[Generator], pieces: int) -> None:
    """The same number of pieces for every engine, dealt out in advance; returns when the last engine is through."""
    parts = cut(asked, pieces * len(engines))

    def serve(number: int) -> None:
        for part in parts[number :: len(engines)]:
            engines[number].generate(part, 0)

    with ThreadPoolExecutor(len(engines)) as threads:
        list(threads.map(serve, range(len(engines))))
