"""Studies spread over benches: one queue, and whoever is free takes the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

from superalign.config import Config
from superalign.runtime.cluster import Cluster
from superalign.weak_to_strong.study import Bench, Study, Trial


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
    """As many benches as there are threads, one thread each; inline one bench has all of them."""
    count = config.cluster.threads if config.cluster.mode == "ray" else 1
    single = config.model_copy(update={"cluster": config.cluster.model_copy(update={"threads": 1})})
    own = single if config.cluster.mode == "ray" else config
    benches = [cluster.spawn(f"bench{i}", Bench, own, str(cache.resolve()), threads=1) for i in range(count)]
    with ThreadPoolExecutor(count) as pool:
        yield Workshop(benches, pool)
