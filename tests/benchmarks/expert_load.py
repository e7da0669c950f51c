"""The expert queue under load: many annotators at once, killed at random, leases that run out.

    python tests/benchmarks/expert_load.py                  # SQLite and PostgreSQL, 32 annotators, 2,000 items
    python tests/benchmarks/expert_load.py --store postgresql+psycopg://me@host/database

Two parts on every store. "speed": annotators are threads of one process, as in the server; how long a claim and a
submit take when all answer without pausing, and when each pauses between answers as a very quick person would.
"killing": every annotator is a process, ended by SIGKILL and replaced, dawdles until the lease runs out, submits twice,
skips and undoes. Then every item must have exactly the answers it needs (or the budget be used up), every acknowledged
label must be there, and no sample of the budget may pass its cap.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from superalign.experts.items import Item, LeaseLost
from superalign.experts.queue import ExpertQueue

LEASE_S = 3.0
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["superalign.experts.queue"])


def made(count: int, round: int) -> list[Item]:
    """Items of which every tenth is a double and every fifth of a category some decline."""
    return [
        Item(
            f"r{round}i{i:05d}", round, "pair", f"q{i}", f"a{i}", f"b{i}", f"question {i}", f"answer {i}",
            f"other answer {i}", "a critique", "poison" if i % 5 == 0 else "gardening", (i % 97 + 1) / 100, "active",
            i % 10 == 0, False,
        )
        for i in range(count)
    ]  # fmt: skip


def annotate(
    queue: ExpertQueue, who: str, tell: Callable[[str, str, float], None], pause: float, lease_s: float, wild: bool
) -> None:
    """One annotator: claims and answers until nothing is open, and tells of every event once it is acknowledged."""
    rng = random.Random(f"{who} {time.time_ns()}")
    while True:
        began = time.perf_counter()
        leased = queue.claim(who, lease_s)
        if leased is None:
            if all(r["used"] == r["budget"] for r in queue.stats()["rounds"]) or not queue.items(unanswered=True):
                return
            time.sleep(0.2)  # others hold what is left, or a lease must run out
            continue
        tell("claim", leased.item.id, time.perf_counter() - began)
        time.sleep(pause * rng.expovariate(1.0))
        chance = rng.random() if wild else 1.0
        if chance < 0.01:
            queue.release(leased.token, skip=True)
            continue
        if chance < 0.02:
            time.sleep(lease_s * rng.uniform(0.9, 1.3))
        try:
            value, began = float(rng.random() < 0.5), time.perf_counter()
            label = queue.submit(leased.token, value)
            tell("label", label.id, time.perf_counter() - began)
        except LeaseLost:
            continue
        if chance < 0.06:
            assert queue.submit(leased.token, value).id == label.id
        elif chance < 0.08:
            tell("undoing", label.id, 0.0)
            assert queue.undo(label.id)


def annotate_alone(store: tuple[str, str], who: str, log: str, pause: float, lease_s: float) -> None:
    """An annotator with a process of its own, whose log survives its end."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tell(*event: object) -> None:
        os.write(out, (json.dumps(event) + "\n").encode())

    annotate(ExpertQueue(store[0], space=store[1]), who, tell, pause, lease_s, wild=True)


def speed(store: tuple[str, str], clients: int, pause: float) -> list[Any]:
    """All annotators as threads on one queue; returns their events."""
    queue, events = ExpertQueue(store[0], space=store[1]), list[Any]()
    with ThreadPoolExecutor(clients) as pool:
        work = [
            pool.submit(annotate, queue, f"annotator {n}", lambda *event: events.append(event), pause, LEASE_S, False)
            for n in range(clients)
        ]
        for done in work:
            done.result()
    queue.close()
    return events


def killing(
    store: tuple[str, str], clients: int, pause: float, every_s: float, lease_s: float = LEASE_S
) -> tuple[list[Any], int, int]:
    """All annotators as processes, one of them killed every so often; returns events, kills, budgets passed."""
    queue, rng, killed, passed, started = ExpertQueue(store[0], space=store[1]), random.Random(0), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:

        def start(n: int) -> Any:
            nonlocal started
            started += 1
            arguments = (store, f"annotator {n}", f"{folder}/{started}.log", pause, lease_s)
            process = context.Process(target=annotate_alone, args=arguments)
            process.start()
            return process

        workers = {n: start(n) for n in range(clients)}
        while workers:
            time.sleep(every_s)
            for n in [n for n, worker in workers.items() if worker.exitcode is not None]:
                assert workers.pop(n).exitcode == 0, f"annotator {n} failed"
            rounds = queue.stats()["rounds"]
            passed += any(r["used"] + r["leased"] > r["budget"] for r in rounds)
            if workers and queue.pending(rounds[-1]["round"]):
                n = rng.choice(sorted(workers))
                workers[n].kill()
                workers[n].join()
                killed += 1
                workers[n] = start(n)
        logs = [line for path in Path(folder).iterdir() for line in path.read_bytes().splitlines(keepends=True)]
    queue.close()
    return [json.loads(line) for line in logs if line.endswith(b"\n")], killed, passed


def check(store: tuple[str, str], items: list[Item], cap: int, events: list[Any]) -> dict[str, int]:
    """What went wrong, by name; all zero if nothing did."""
    queue = ExpertQueue(store[0], space=store[1])
    round = items[0].round
    answers = [a for a in queue.answers() if a.item.round == round]
    given = Counter(a.item_id for a in answers)
    needed = sum(item.need for item in items)
    undone = {value for event, value, _ in events if event == "undoing"}
    with queue.database.read() as db:
        rows = set(db.exec_driver_sql("SELECT id FROM label").scalars())
    acknowledged = {value for event, value, _ in events if event == "label"}
    standing = {a.id for a in answers}
    faults = {
        "labels too few": max(0, min(cap, needed) - len(answers)),
        "labels beyond the budget": max(0, len(answers) - cap),
        "items with too many answers": sum(given[item.id] > item.need for item in items),
        "items with too few answers": sum(given[item.id] < item.need for item in items) if cap >= needed else 0,
        "annotators counted twice": len(answers) - len({(a.item_id, a.annotator) for a in answers}),
        "acknowledged labels lost": len(acknowledged - rows) + len(acknowledged - undone - standing),
        "faults in the audit chain": len(queue.verify()),
    }
    queue.close()
    return faults


def percentiles(events: list[Any], event: str) -> str:
    """Median, 95th and 99th percentile in milliseconds."""
    p50, p95, p99 = np.quantile([s for name, _, s in events if name == event], [0.5, 0.95, 0.99]) * 1000
    return f"{p50:6.1f} {p95:6.1f} {p99:6.1f}"


@contextmanager
def stores(given: str | None) -> Iterator[dict[str, tuple[str, str]]]:
    """The stores to load, by name."""
    from tests.postgres import cluster

    with tempfile.TemporaryDirectory() as folder:
        if given:
            yield {given.partition(":")[0]: (given, f"load-{os.getpid()}")}
            return
        with cluster() as url:
            yield {"sqlite": (f"{folder}/experts.sqlite", ""), "postgresql": (url, "load")}


def main() -> int:
    """Load every store and print the figures; 1 if anything was lost, doubled or overspent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", help="load this database instead of an SQLite file and a private PostgreSQL")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--items", type=int, default=2000)
    options = parser.parse_args()
    bad = 0
    with stores(options.store) as all_stores:
        for name, store in all_stores.items():
            print(f"{name}: {options.clients} annotators, {options.items} items, {os.cpu_count()} cores")
            for round, (title, pause, every_s) in enumerate(
                [("speed, no pause", 0.0, 0.0), ("speed, pausing 0.5 s", 0.5, 0.0), ("killing", 0.02, 0.5)], start=1
            ):
                items = made(options.items, round)
                needed = sum(item.need for item in items)
                cap = needed if every_s else needed - options.items // 20  # where nobody is killed the budget ends
                queue = ExpertQueue(store[0], space=store[1])
                began = time.perf_counter()
                queue.push(items, round, cap)
                pushed = time.perf_counter()
                queue.close()
                events, killed, passed = (
                    killing(store, options.clients, pause, every_s)
                    if every_s
                    else (speed(store, options.clients, pause), 0, 0)
                )
                ended = time.perf_counter()
                faults = check(store, items, cap, events) | {"budget passed": passed}
                labels = sum(event == "label" for event, _, _ in events)
                print(f"  {title}: {labels} labels for a budget of {cap} in {ended - pushed:.1f} s", end="")
                print(f", pushed in {pushed - began:.2f} s" + (f", {killed} killed" if every_s else ""))
                print("    ms at p50, p95, p99: claim", percentiles(events, "claim"), end="")
                print("   submit", percentiles(events, "label"))
                found = ", ".join(f"{n} {fault}" for fault, n in faults.items() if n)
                print(f"    {found or '0 lost, 0 double, 0 overspent'}")
                bad += sum(faults.values())
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
