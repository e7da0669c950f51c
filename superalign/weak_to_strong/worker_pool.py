"""Studies spread over benches: one queue, and whoever is free takes the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from superalign.config.schema import Config
from superalign.runtime.cluster import Cluster
from superalign.runtime.placement import PlacementGroup
from superalign.weak_to_strong.study import Bench, Study, Trial

BENCH_CPU: Final = 0.9  # of a CPU: the driver of a job reserves the rest of one


class Workshop:
    """A queue of studies over the benches: whoever is free takes the next."""

    def __init__(self, benches: Sequence[Bench], pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._free: SimpleQueue[Bench] = SimpleQueue()
        for bench in benches:
            self._free.put(bench)

    def begin(self, study: Study, number: int) -> Future[list[Trial]]:
        """Ask for a study on a split."""
        return self._pool.submit(self._run, study, number)

    def _run(self, study: Study, number: int) -> list[Trial]:
        bench = self._free.get()
        try:
            return bench.run(study, number)
        finally:
            self._free.put(bench)


@contextmanager
def workshop(config: Config, cluster: Cluster, cache: Path) -> Iterator[Workshop]:
    """As many benches as `cluster.threads` says, one thread each; inline one bench has all of them.

    On a cluster that was joined each reserves a CPU, so that they are spread over the nodes.
    """
    count = config.cluster.threads if config.cluster.mode == "ray" else 1
    single = config.model_copy(update={"cluster": config.cluster.model_copy(update={"threads": 1})})
    own = single if config.cluster.mode == "ray" else config
    joined = config.cluster.mode == "ray" and config.cluster.address != "local"
    benches = [
        cluster.spawn(
            f"bench{i}",
            Bench,
            own,
            str(cache.resolve()),
            threads=1,
            place=PlacementGroup("CPU", BENCH_CPU) if joined else None,
        )
        for i in range(count)
    ]
    with ThreadPoolExecutor(count) as pool:
        yield Workshop(benches, pool)
