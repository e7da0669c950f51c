"""Studies over workers: how far the split is that its caller waits for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from superalign.store import progress
from superalign.weak_to_strong.worker_pool import WorkerPool


class Worker:
    """Does nothing."""

    def run(self, study: Any, number: int) -> list[Any]:
        """A study on a split."""
        return []


def test_studies_are_counted_by_the_split_that_is_waited_for() -> None:
    told: list[tuple[int, int]] = []
    progress.tell_to(lambda count: told.append((count.done, count.of)))
    all_asked = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(all_asked.wait)
        worker: Any = Worker()
        study: Any = "a study"
        pool = WorkerPool([worker], threads)
        for number in (0, 0, 1, 1):
            pool.submit(study, number)
        all_asked.set()
    progress.tell_to(None)
    assert told == [(1, 2), (0, 2), (1, 2), (2, 2)]  # split 0 ends with the second, and split 1 begins
