"""Many processes on one queue, killed at any moment: nothing lost, nothing counted twice, no budget passed."""

import multiprocessing
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from superalign.experts.queue import ExpertQueue
from tests.benchmarks import expert_load
from tests.experts.test_queue import Clock, item

OpenQueue = Callable[..., ExpertQueue]


def work(store: str, space: str, who: str) -> None:
    queue = ExpertQueue(store, space=space)
    while (leased := queue.claim(who, 60)) is not None:
        queue.submit(leased.token, 1.0)


def test_the_budget_holds_when_many_processes_race_for_the_last_labels(
    store: tuple[str, str], open_queue: OpenQueue
) -> None:
    context = multiprocessing.get_context("spawn")
    queue = open_queue()
    queue.push([item(i, double=i % 3 == 0) for i in range(60)], 1, 47)
    workers = [context.Process(target=work, args=(*store, f"ann{n}")) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    labels = queue.labels()
    assert len(labels) == 47
    assert len({(label.item_id, label.annotator) for label in labels}) == 47
    doubles = {i.id for i in queue.items() if i.double}
    singles = [label.item_id for label in labels if label.item_id not in doubles]
    assert len(singles) == len(set(singles))
    assert queue.verify() == []


def test_threads_share_one_queue(open_queue: OpenQueue) -> None:
    queue = open_queue()
    queue.push([item(i, double=i % 4 == 0) for i in range(60)], 1, 100)

    def annotate(who: str) -> None:
        while leased := queue.claim(who, 60):
            queue.held(who)
            queue.submit(leased.token, 1.0)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(annotate, [f"ann{n}" for n in range(12)]))
    given = Counter(label.item_id for label in queue.labels())
    assert given == {i.id: i.need for i in queue.items()}
    assert queue.verify() == []


def test_many_processes_may_create_the_queue_at_once(store: tuple[str, str]) -> None:
    code = "import sys; from superalign.experts.queue import ExpertQueue; ExpertQueue(sys.argv[1], space=sys.argv[2])"
    openers = [subprocess.Popen([sys.executable, "-c", code, *store]) for _ in range(6)]
    assert [opener.wait(120) for opener in openers] == [0] * 6


SUBMITTER = """
import sys
from superalign.experts.queue import ExpertQueue
queue = ExpertQueue(sys.argv[1], space=sys.argv[2])
while (leased := queue.claim("ann", 5)) is not None:
    print(queue.submit(leased.token, 1.0).id, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 7, 30])
def test_a_submitter_killed_at_any_moment_loses_no_acknowledged_label(
    store: tuple[str, str], open_queue: OpenQueue, lines: int
) -> None:
    clock = Clock()
    open_queue().push([item(i) for i in range(400)], 1, 400)
    process = subprocess.Popen([sys.executable, "-c", SUBMITTER, *store], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    acknowledged += process.stdout.readlines()
    process.wait()
    whole = {line.strip() for line in acknowledged if line.endswith("\n")}
    clock.now = 1e12
    reopened = open_queue(clock=clock)
    assert reopened.claim("ann", 5) is not None  # waits until the server has noticed the death
    stored = {label.id for label in reopened.labels()}
    assert len(whole) >= lines
    assert whole <= stored
    assert len(stored) <= len(whole) + 1
    assert reopened.verify() == []


def test_annotators_killed_at_random_leave_every_item_with_the_answers_it_needs(store: tuple[str, str]) -> None:
    items = expert_load.made(100, 1)
    needed = sum(i.need for i in items)
    ExpertQueue(store[0], space=store[1]).push(items, 1, needed)
    events, killed, passed = expert_load.killing(store, clients=6, pause=0.02, every_s=0.3, lease_s=2.0)
    assert killed > 0
    assert passed == 0
    assert not any(expert_load.check(store, items, needed, events).values())
