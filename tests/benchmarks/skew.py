"""How much sooner a call is through when engines take their work from one queue, instead of each having its share.

    python tests/benchmarks/skew.py [REPEATS]

Eight engines on Ray that only sleep; a call of 256 requests, a default round's answers. The real pool
(`superalign.generation.pool`) hands out pieces of it to whoever is free; static shards are the same pieces, dealt out
in advance. Skewed are either the requests, their lengths lognormal with a coefficient of variation of 1,
a batch lasting as long as its longest; or the engines, of which one takes twice the time;
or both. Geometric means over repeats, each with lengths of its own, with Student's 95 % interval.

Target: 1.3, or, where a queue without any cost of its own would gain less than that on these very latencies, 95 % of
what it would gain. So it is with requests skewed alone: nobody knows beforehand which is long, so the last piece may
be. Heavier tails do not help: on paper such a call gains 1.20 at a coefficient of 1, 1.26 at 2 and 1.27 at 3.
"""

from __future__ import annotations

import heapq
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from engines import Recording, SleepingEngine, cut, requests, shard
from measure import Figure, of_ratios

from superalign.config.sections import ClusterConfig
from superalign.generation.pool import PIECES, GeneratorPool
from superalign.runtime.cluster import Cluster
from superalign.runtime.connection import start

ENGINES, COUNT = 8, 256
MEAN_S, VARIATION = 0.1, 1.0
SLOWNESS = 2.0
TARGET, OF_PAPER = 1.3, 0.95
CASES = {
    "skew_requests": ("heavy-tailed requests", VARIATION, 1.0),
    "skew_engine": (f"one of {ENGINES} engines at half the speed", 0.0, SLOWNESS),
    "skew_both": ("heavy-tailed requests and one engine at half the speed", VARIATION, SLOWNESS),
}


def latencies(count: int, variation: float) -> list[float]:
    """Seconds of each request: lognormal with this mean and coefficient of variation."""
    spread = np.sqrt(np.log1p(variation**2))
    draw = np.random.default_rng(0).lognormal(-(spread**2) / 2, spread, count)
    return (MEAN_S * draw).tolist()


def on_paper(took: Sequence[float], slowness: float) -> float:
    """The gain of one call's latencies if nothing but they take time.

    Pieces go to whoever is free first, as in the pool from the last on; of several, to the slow one.
    """
    pieces = [max(piece) for piece in cut(took, PIECES * ENGINES)]
    pace = [slowness, *[1.0] * (ENGINES - 1)]
    static = max(sum(pieces[number::ENGINES]) * pace[number] for number in range(ENGINES))
    free = [(0.0, number) for number in range(ENGINES)]
    for piece in reversed(pieces):
        at, number = free[0]
        heapq.heapreplace(free, (round(at + piece * pace[number], 6), number))
    return static / max(free)[0]


def gains(cluster: Cluster, variation: float, slowness: float, repeats: int) -> list[float]:
    """Seconds of static shards over those of the queue."""
    recording: Any = Recording(cluster, slowness)
    took = latencies(repeats * COUNT, variation)
    pool = GeneratorPool(recording, SleepingEngine, (took,), 1, ENGINES, ENGINES)
    pool.resize(dict.fromkeys(range(ENGINES)))
    found = []
    for repeat in range(repeats):
        asked = requests(COUNT, first=repeat * COUNT)
        began = time.perf_counter()
        pool.generate(asked, 0)
        queued = time.perf_counter()
        shard(asked, recording.engines, PIECES)
        found.append((time.perf_counter() - queued) / (queued - began))
    pool.resize({})
    return found


def figures(quick: bool, repeats: int | None = None) -> list[Figure]:
    """Static shards over the queue, for each kind of skew."""
    repeats = repeats or (3 if quick else 20)
    with tempfile.TemporaryDirectory() as logs, start(ClusterConfig(threads=1), Path(logs)) as cluster:
        found = {name: gains(cluster, *how, repeats) for name, (_, *how) in CASES.items()}
    return [figure(name, ratios) for name, ratios in found.items()]


def figure(name: str, ratios: list[float]) -> Figure:
    """A case's gains beside what paper gives for the same latencies."""
    skewed, variation, slowness = CASES[name]
    took = latencies(len(ratios) * COUNT, variation)
    most = statistics.geometric_mean(on_paper(call, slowness) for call in cut(took, len(ratios)))
    what = f"static shards over the pool's queue, {skewed}; {most:.3g} on paper"
    return of_ratios(name, what, ratios, least=round(min(TARGET, OF_PAPER * most), 2), tolerance=0.05)


if __name__ == "__main__":
    print(*figures(False, *map(int, sys.argv[1:])), sep="\n")
