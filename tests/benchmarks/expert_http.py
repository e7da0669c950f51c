"""The experts' page under load: many annotators over HTTP, from a second process on the same machine.

    python tests/benchmarks/expert_http.py                # 32 annotators, 2,000 items, an SQLite file
    python tests/benchmarks/expert_http.py --pause 0.2    # each thinks 0.2 s on average instead of 0.5
    python tests/benchmarks/expert_http.py --store postgresql

The server is `superalign experts serve` as it stands, rate limit and all. Every annotator sends an answer and goes to
the next item, as a browser without JavaScript does; "next item" is the time from the request for the page of the next
item to its last byte, "answer" that from sending the form to the redirect, when the label is on disk. Then every item
must have exactly the answers it needs and every acknowledged one must be there.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from superalign.config.schema import Config
from superalign.experts.queue import ExpertQueue
from superalign.experts.users import Users
from superalign.store.run_writer import RunWriter
from tests.benchmarks.expert_load import made
from tests.experts.web.visitor import Page, Visitor

ROOT = Path(__file__).parents[2]
LIMIT_S = 0.1


class Event(NamedTuple):
    """Something an annotator did: how long it took, and on which item."""

    name: str
    who: str
    item: str
    seconds: float


def prepare(root: Path, items: int, clients: int, store: str | None = None) -> tuple[Path, ExpertQueue, dict[str, str]]:
    """A run whose queue holds items for everybody; returns folder, queue and tokens."""
    with RunWriter.create_or_resume(Config(expert={"store": store}).model_dump(mode="json"), root, "load"):
        pass
    queue = ExpertQueue(store or root / "load/experts.sqlite", space="load")
    asked = made(items, 1)
    queue.push(asked, 1, sum(item.need for item in asked))
    return (
        root / "load",
        queue,
        {name: Users(queue).add(name, "annotator") for name in map("ann{}".format, range(clients))},
    )


@contextmanager
def server(run: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`superalign experts serve` and its address; ended as Ctrl-C does."""
    command = [sys.executable, "-m", "superalign.commands.main", "experts", "serve", str(run), "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found, "the server did not start"
        try:
            yield process, found[0]
        finally:
            process.send_signal(signal.SIGINT)


def annotate(address: str, who: str, token: str, pause: float, events: list[Event], more: Callable[[], bool]) -> None:
    """Answer until nothing is left."""
    visitor, rng = Visitor(address), random.Random(who)

    def timed(name: str, item: str, method: str, path: str, fields: Mapping[str, object] | None = None) -> Page:
        began = time.perf_counter()
        answer = visitor.ask(method, path, fields)
        took = time.perf_counter() - began
        events.append(Event(name if answer.status in (200, 303) else str(answer.status), who, item, took))
        return answer

    page = visitor.login(token)
    while page.item or more():
        if page.item is None:  # others hold what is left
            time.sleep(0.5)
            page = visitor.get("/")
            continue
        time.sleep(pause * rng.expovariate(1.0))
        fields = page.form("/answer") | {"answer": rng.choice(["a", "b", "tie"])}
        answer = timed("answer", page.item, "POST", "/answer", fields)
        page = timed("next item", "", "GET", answer.headers["location"])


def load(address: str, tokens: Mapping[str, str], pause: float, more: Callable[[], bool]) -> list[Event]:
    """All annotators at once, until none has an item and there is no `more`; those whose server is gone stop."""
    events: list[Event] = []
    with ThreadPoolExecutor(len(tokens)) as pool:
        work = [pool.submit(annotate, address, who, token, pause, events, more) for who, token in tokens.items()]
        for one in work:
            with suppress(OSError, HTTPException):
                one.result()
    return events


def check(queue: ExpertQueue, events: list[Event]) -> dict[str, int]:
    """What went wrong, by name; all zero if nothing did."""
    answers = queue.answers()
    given = Counter(answer.item_id for answer in answers)
    acknowledged = {(event.item, event.who) for event in events if event.name == "answer"}
    standing = {(answer.item_id, answer.annotator) for answer in answers}
    return {
        "acknowledged answers lost": len(acknowledged - standing),
        "items with too many answers": sum(given[item.id] > item.need for item in queue.items()),
        "refused requests": sum(event.name.isdecimal() for event in events),
        "faults in the audit chain": len(queue.verify()),
    }


def percentiles(events: list[Event], name: str) -> tuple[float, float, float]:
    """Median, 95th and 99th percentile in seconds."""
    p50, p95, p99 = np.quantile([event.seconds for event in events if event.name == name], [0.5, 0.95, 0.99])
    return float(p50), float(p95), float(p99)


def main() -> int:
    """Load the page and print the figures; 1 if anything was lost or "next item" was too slow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between answers, on average")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    options = parser.parse_args()
    from tests.postgres import cluster

    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(cluster()) if options.store == "postgresql" else None
        run, queue, tokens = prepare(root, options.items, options.clients, store)
        _, address = stack.enter_context(server(run))
        began = time.perf_counter()
        events = load(address, tokens, options.pause, lambda: queue.pending(1) > 0)
        passed = time.perf_counter() - began
        answers = sum(event.name == "answer" for event in events)
        print(f"{options.store}: {options.clients} annotators, {options.items} items, {os.cpu_count()} cores")
        print(f"  {answers} answers in {passed:.1f} s, pause {options.pause} s; ms at p50, p95, p99:")
        for name in ("next item", "answer"):
            print(f"    {name:<10}", *(f"{1000 * value:6.1f}" for value in percentiles(events, name)))
        faults = {name: count for name, count in check(queue, events).items() if count}
        missing = sum(item.need for item in queue.items()) - len(queue.answers())
        print("   ", faults or "0 lost, 0 too many, 0 refused", f"{missing} not answered" if missing else "")
        queue.close()
    return int(bool(faults) or percentiles(events, "next item")[1] > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
