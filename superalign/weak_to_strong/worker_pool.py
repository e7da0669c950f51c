"""Studies spread over workers: one queue, and whoever is free takes the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from superalign.config.schema import Config
from superalign.runtime.cluster import Cluster
from superalign.runtime.placement import Reservation
from superalign.store.progress import advance
from superalign.weak_to_strong.study import Study, StudyWorker, Trial

WORKER_CPU: Final = 0.9  # of a CPU: the driver of a job reserves the rest of one


class WorkerPool:
    """A queue of studies over workers: whoever is free takes the next."""

    def __init__(self, workers: Sequence[StudyWorker], threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._free: SimpleQueue[StudyWorker] = SimpleQueue()
        for worker in workers:
            self._free.put(worker)
        self._left: Counter[int] = Counter()  # studies by split
        self._asked: Counter[int] = Counter()

    def submit(self, study: Study, number: int) -> Future[list[Trial]]:
        """Ask for a study on a split."""
        self._asked[number] += 1
        self._left[number] += 1
        return self._threads.submit(self._run, study, number)

    def _run(self, study: Study, number: int) -> list[Trial]:
        worker = self._free.get()
        try:
            return worker.run(study, number)
        finally:
            self._free.put(worker)
            self._left[number] -= 1
            self._tell()

    def _tell(self) -> None:
        """How far the first split is that is not done, for which its caller waits."""
        number = next((number for number in sorted(self._asked) if self._left[number]), max(self._asked))
        advance("studies", self._asked[number] - self._left[number], self._asked[number])


@contextmanager
def worker_pool(config: Config, cluster: Cluster, cache: Path) -> Iterator[WorkerPool]:
    """As many workers as `cluster.threads` says, one thread each; inline one worker has all of them.

    On a cluster that was joined each reserves a CPU, so that they are spread over the nodes.
    """
    count = config.cluster.threads if config.cluster.mode == "ray" else 1
    single = config.model_copy(update={"cluster": config.cluster.model_copy(update={"threads": 1})})
    own = single if config.cluster.mode == "ray" else config
    joined = config.cluster.mode == "ray" and config.cluster.address != "local"
    workers = [
        cluster.spawn(
            f"worker{i}",
            StudyWorker,
            own,
            str(cache.resolve()),
            threads=1,
            place=Reservation("CPU", WORKER_CPU) if joined else None,
        )
        for i in range(count)
    ]
    with ThreadPoolExecutor(count) as threads:
        yield WorkerPool(workers, threads)
