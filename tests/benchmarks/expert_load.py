"""The expert queue under load: many annotators at once, killed at random, leases that run out.

    python tests/benchmarks/expert_load.py                  # SQLite and PostgreSQL, 32 annotators, 2,000 items
    python tests/benchmarks/expert_load.py --store postgresql+psycopg://me@host/database

Two parts on every store. "speed": nobody is killed; how long a claim and a submit take when all annotators answer
without pausing, and when each pauses between answers as a (very quick) person would. "killing": annotators are ended by
SIGKILL and replaced, dawdle until their lease runs out, submit twice, skip and undo; then every item must have exactly
the answers it needs, every acknowledged label must be there, and no sample of the budget may pass its cap.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
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


def annotate(store: tuple[str, str], who: str, log: str, pause: float, wild: bool, seed: int) -> None:
    """One annotator: claims and answers until nothing is open; every event goes to the log as it is acknowledged."""
    rng = random.Random(seed)
    queue = ExpertQueue(store[0], space=store[1])
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tell(event: str, value: object, seconds: float = 0.0) -> None:
        os.write(out, (json.dumps([event, value, seconds]) + "\n").encode())

    while True:
        began = time.perf_counter()
        leased = queue.claim(who, LEASE_S)
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
            time.sleep(LEASE_S * rng.uniform(0.9, 1.3))
        try:
            began = time.perf_counter()
            label = queue.submit(leased.token, float(rng.random() < 0.5))
            tell("label", label.id, time.perf_counter() - began)
        except LeaseLost:
            continue
        if chance < 0.06:
            value = leased.item.as_shown(label.value)
            assert queue.submit(leased.token, value).id == label.id
        elif chance < 0.08:
            assert queue.undo(label.id)
            tell("undone", label.id)


def run(
    store: tuple[str, str], clients: int, round: int, pause: float = 0.0, kill_every_s: float = 0.0
) -> dict[str, Any]:
    """Let `clients` annotators answer all that is open; returns what the checks and the figures need."""
    queue, rng, killed, passed, started = ExpertQueue(store[0], space=store[1]), random.Random(0), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:

        def start(n: int) -> Any:
            nonlocal started
            started += 1
            arguments = (store, f"annotator {n}", f"{folder}/{started}.log", pause, bool(kill_every_s), started)
            process = context.Process(target=annotate, args=arguments)
            process.start()
            return process

        began = time.perf_counter()
        workers = {n: start(n) for n in range(clients)}
        while workers:
            time.sleep(kill_every_s or 0.1)
            ended = [n for n, worker in workers.items() if worker.exitcode is not None]
            for n in ended:
                assert workers.pop(n).exitcode == 0, f"annotator {n} failed"
            passed += any(r["used"] + r["leased"] > r["budget"] for r in queue.stats()["rounds"])
            if kill_every_s and workers and queue.pending(round):
                n = rng.choice(sorted(workers))
                os.kill(workers[n].pid, signal.SIGKILL)
                workers[n].join()
                killed += 1
                workers[n] = start(n)
        seconds = time.perf_counter() - began
        logs = [line for path in Path(folder).iterdir() for line in path.read_bytes().splitlines(keepends=True)]
    events = [json.loads(line) for line in logs if line.endswith(b"\n")]
    queue.close()
    return {"events": events, "killed": killed, "budget_passed": passed, "seconds": seconds}


def check(store: tuple[str, str], items: list[Item], cap: int, events: list[Any]) -> dict[str, int]:
    """What went wrong, by name; all zero if nothing did."""
    queue = ExpertQueue(store[0], space=store[1])
    round = items[0].round
    answers = [a for a in queue.answers() if a.item.round == round]
    given = Counter(a.item_id for a in answers)
    needed = sum(item.need for item in items)
    undone = {value for event, value, _ in events if event == "undone"}
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
            for round, (title, pause, kill) in enumerate(
                [("speed, no pause", 0.0, 0.0), ("speed, pausing 0.5 s", 0.5, 0.0), ("killing", 0.02, 0.25)], start=1
            ):
                items = made(options.items, round)
                needed = sum(item.need for item in items)
                cap = needed if kill else needed - options.items // 20  # where nobody is killed the budget runs out
                queue = ExpertQueue(store[0], space=store[1])
                began = time.perf_counter()
                queue.push(items, round, cap)
                pushed = time.perf_counter() - began
                queue.close()
                done = run(store, options.clients, round, pause, kill)
                faults = check(store, items, cap, done["events"]) | {"budget passed": done["budget_passed"]}
                labels = sum(event == "label" for event, _, _ in done["events"])
                print(
                    f"  {title}: {labels} labels of {cap} in {done['seconds']:.1f} s, pushed in {pushed:.2f} s", end=""
                )
                print(f", {done['killed']} killed" if kill else "")
                print("    ms at p50, p95, p99: claim", percentiles(done["events"], "claim"), end="")
                print("   submit", percentiles(done["events"], "label"))
                print(
                    "    " + (", ".join(f"{n} {k}" for k, n in faults.items() if n) or "0 lost, 0 double, 0 overspent")
                )
                bad += sum(faults.values())
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
