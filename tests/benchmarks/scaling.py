"""How the throughput of a pool of generation actors grows with their number, over the ideal of as many times one.

    python tests/benchmarks/scaling.py [REPEATS]

The real pool (`superalign.generation.pool`) with 1, 2, 4 and 8 engines on Ray. First engines that only sleep, a
constant time for every batch: what is lost is the pool's and Ray's. Target at 8: 0.9. Then real hf engines of one
thread each, as many as there are cores at most: they share the machine's memory and caches with each other, and the
cores with the driver. Geometric means over repeats with Student's 95 % interval.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engines import ROLE, SleepingEngine, requests
from generation import NEW, prompts_of_testbed
from measure import Figure, of_ratios

from superalign.config.sections import ClusterConfig, GeneratorConfig, LoraConfig
from superalign.generation.base import GenerationRequest
from superalign.generation.hf import HFGenerator
from superalign.generation.pool import GeneratorPool
from superalign.runtime.cluster import Cluster
from superalign.runtime.connection import start

SIZES = (1, 2, 4, 8)
COUNT, BATCH_S = 256, 0.25
TARGET = 0.9
MODEL, PROMPTS = "testbed", 128


def rates(
    cluster: Cluster,
    engine: type[Any],
    arguments: Sequence[Any],
    asked: Sequence[GenerationRequest],
    sizes: Sequence[int],
    repeats: int,
) -> list[list[float]]:
    """Requests per second of each size, for every repeat."""
    pool = GeneratorPool(cluster, engine, arguments, 1, 1, sizes[-1])
    found: list[list[float]] = [[] for _ in range(repeats)]
    for size in sizes:
        pool.resize(dict.fromkeys(range(size)))
        pool.generate(asked[: 4 * size], 0)  # warm
        for repeat in found:
            began = time.perf_counter()
            pool.generate(asked, 0)
            repeat.append(len(asked) / (time.perf_counter() - began))
    pool.resize({})
    return found


def efficiency(name: str, what: str, sizes: Sequence[int], found: list[list[float]], **more: Any) -> Figure:
    """Of the largest size."""
    most = sizes[-1]
    middle = found[len(found) // 2]
    curve = ", ".join(f"{size}: {rate:.1f}" for size, rate in zip(sizes, middle, strict=True))
    ratios = [repeat[-1] / (most * repeat[0]) for repeat in found]
    return of_ratios(name, f"{most} {what} over {most} times 1 (requests/s of {curve})", ratios, **more)


def figures(quick: bool, repeats: int | None = None) -> list[Figure]:
    """Simulated engines, then real ones."""
    repeats = repeats or (2 if quick else 5)
    cores = [size for size in SIZES if size <= (os.cpu_count() or 1)]
    prompts = prompts_of_testbed(32 if quick else PROMPTS)
    asked = [GenerationRequest(ROLE, prompt, NEW, 1.0) for prompt in prompts]
    with tempfile.TemporaryDirectory() as logs, start(ClusterConfig(threads=1), Path(logs)) as cluster:
        slept = rates(cluster, SleepingEngine, ([BATCH_S] * COUNT,), requests(COUNT), SIZES, repeats)
        made = {ROLE: MODEL}, LoraConfig(), GeneratorConfig(), 1
        computed = rates(cluster, HFGenerator, made, asked, cores, repeats)
    return [
        efficiency("scaling_simulated", "simulated engines", SIZES, slept, least=TARGET, tolerance=0.05),
        efficiency("scaling_hf", f"hf engines of one thread on {os.cpu_count()} cores", cores, computed),
    ]


if __name__ == "__main__":
    print(*figures(False, *map(int, sys.argv[1:])), sep="\n")
