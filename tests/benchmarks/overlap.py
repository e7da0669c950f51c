"""How much of the shorter of generation and training prefetching hides: (G + T - T_async) / min(G, T).

    python tests/benchmarks/overlap.py [ROUNDS]

The real scheduler (`superalign.loop.prefetch.Prefetcher`) on real actors whose attacker, learner and trainer only
sleep, so that the schedule is measured and not the silicon. Latencies are lognormal around half a second, the same
ones with `async.max_staleness` 0 and 1; G and T are what the former took. Mean over rounds with Student's 95 %
interval; the first and the last round have nothing to overlap with and are left out. Target: 0.9.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from measure import Figure, of_values

from superalign.config.compose import load
from superalign.config.sections import ClusterConfig
from superalign.loop.prefetch import Prefetcher
from superalign.records import Query, Response, Seed
from superalign.runtime.cluster import Cluster
from superalign.runtime.connection import start
from superalign.store.clock import StageClock

MEDIAN_S, SPREAD = 0.5, 0.4
TARGET = 0.9


class Sleeper:
    """A role or the trainer: every call takes the seconds of its turn."""

    def __init__(self, seconds: list[float]) -> None:
        self.seconds = iter(seconds)

    def attack(self, seeds: list[Seed], round: int, seed: int) -> list[Query]:
        """One query on each seed."""
        time.sleep(next(self.seconds))
        return [Query(f"{s.id}-{round}", s.id, s.text, s.kind, s.category, "plain", "attacker", round) for s in seeds]

    def respond(self, queries: list[Query], seed: int) -> list[Response]:
        """Nothing, in time."""
        time.sleep(next(self.seconds))
        return []

    def refine(self) -> None:
        """Train."""
        time.sleep(next(self.seconds))


def play(cluster: Cluster, staleness: int, seconds: dict[str, list[float]]) -> list[tuple[float, float]]:
    """Seconds of each round before and in the block of training, as `recipes/selfplay.py` goes through them."""
    actors = {
        role: cluster.spawn(f"{role}{staleness}", Sleeper, took, calls=1 + staleness * (role == "learner"))
        for role, took in seconds.items()
    }
    cluster.ready()
    rounds = len(seconds["trainer"])
    seeds = [Seed(str(i), f"request {i}", "harmful", "fraud", "train") for i in range(8)]
    config = load(["recipe=selfplay", f"rounds={rounds}", f"async.max_staleness={staleness}"])
    workers: Any = SimpleNamespace(
        config=config, attacker=actors["attacker"], learner=actors["learner"], draw_seeds=lambda number: seeds
    )
    run: Any = StageClock()
    ahead, spent = Prefetcher(run, workers), []
    for number in range(1, rounds + 1):
        began = time.perf_counter()
        ahead.respond(number, ahead.attack(number))
        asked = time.perf_counter()
        with ahead.start(number + 1):
            actors["trainer"].refine()
        spent.append((asked - began, time.perf_counter() - asked))
    return spent


def figures(quick: bool, rounds: int | None = None) -> list[Figure]:
    """The overlap efficiency."""
    rounds = rounds or (6 if quick else 22)
    draw = np.random.default_rng(0)
    share = {"attacker": 0.5, "learner": 0.5, "trainer": 1.0}
    seconds = {role: (part * MEDIAN_S * draw.lognormal(0, SPREAD, rounds)).tolist() for role, part in share.items()}
    with tempfile.TemporaryDirectory() as logs, start(ClusterConfig(), Path(logs)) as cluster:
        apart, beside = (play(cluster, staleness, seconds) for staleness in (0, 1))
    efficiency = []
    for number in range(1, rounds - 1):
        trained, generated = apart[number][1], apart[number + 1][0]
        hidden = trained + generated - sum(beside[number])
        efficiency.append(hidden / min(trained, generated))
    what = f"(G + T - T_async)/min(G, T) of simulated stages around {MEDIAN_S:g} s on Ray actors"
    return [of_values("overlap", what, efficiency, least=TARGET, tolerance=0.05)]


if __name__ == "__main__":
    print(*figures(False, *map(int, sys.argv[1:])), sep="\n")
