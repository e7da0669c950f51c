"""What the death of an actor costs: from the kill to the next finished round, and how much work is done again.

    python tests/benchmarks/recovery.py [RUNS]

A self-play run with actors loses one after the other, each killed at a random moment of a round. Printed are the time
from the kill to the next commit, in undisturbed rounds and in seconds (means with Student's 95 % interval), and how
many rounds were begun again for each kill: at most one may be, and no expert label may be lost.
"""

from __future__ import annotations

import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from growth import rows_of, train
from measure import Figure, exact, last_line, of_values, started

from superalign.experts.queue import ExpertQueue

ROLES = ("generator", "trainer", "attacker", "critic", "learner")
WARM, BETWEEN = 3, 2  # rounds before the first kill, and from one kill to the next
POLL_S, LIMIT_S = 0.05, 900


class Losses(NamedTuple):
    """Seconds from each kill to the next commit; rounds begun again; seconds of an undisturbed round."""

    until: list[float]
    again: int
    usual: float


def await_rounds(driver: subprocess.Popen[bytes], run: Path, rounds: int) -> float:
    """When so many rounds were committed."""
    end = time.monotonic() + LIMIT_S
    while len(rows_of(run)) < rounds:
        if driver.poll() is not None or time.monotonic() > end:
            said = last_line(log_of(run))
            raise RuntimeError(f"round {rounds - 1} did not come: exit code {driver.returncode}; it said: {said}")
        time.sleep(POLL_S)
    return time.monotonic()


def log_of(run: Path) -> Path:
    """What the driver says."""
    return run.with_suffix(".log")


def labels(run: Path) -> dict[str, float]:
    """The expert labels given so far."""
    return {label.id: label.value for label in ExpertQueue(run / "experts.sqlite").labels()}


def kills(root: Path, seed: int) -> Losses:
    """Kill every role once in a run."""
    run, rng, known = root / f"killed{seed}", random.Random(seed), {}
    until: list[float] = []
    rounds = WARM + BETWEEN * len(ROLES)
    command = train(root, run.name, "cluster=laptop", f"rounds={rounds}", f"seed={seed}")
    with started(command, log_of(run)) as driver:
        for number, role in enumerate(rng.sample(ROLES, len(ROLES))):
            done = WARM + BETWEEN * number
            await_rounds(driver, run, done)
            time.sleep(rng.random() * rows_of(run)[-1]["timing"]["total"] * 0.9)
            if len(rows_of(run)) > done:  # the round was quicker than the last
                continue
            pids = re.findall(rf"{role} starts: pid (\d+)", (run / "logs" / f"{role}.log").read_text())
            known |= labels(run)
            killed = time.monotonic()
            os.kill(int(pids[-1]), signal.SIGKILL)
            until.append(await_rounds(driver, run, done + 1) - killed)
        await_rounds(driver, run, rounds + 1)
        driver.wait(LIMIT_S)
    if not known.items() <= labels(run).items():
        raise RuntimeError(f"an expert label was lost in {run}")
    begun = re.findall(r"round (\d+): attack", (run / "logs" / "driver.log").read_text())
    # Rounds with a loss hold the restart: the median is of the others.
    usual = statistics.median(row["timing"]["total"] for row in rows_of(run)[2:])
    return Losses(until, len(begun) - len(set(begun)), usual)


def figures(quick: bool, runs: int | None = None) -> list[Figure]:
    """Time to recover and rounds done again."""
    with tempfile.TemporaryDirectory() as scratch:
        found = [kills(Path(scratch), seed) for seed in range(runs or (1 if quick else 2))]
    seconds = [until for run in found for until in run.until]
    rounds = [until / run.usual for run in found for until in run.until]
    what, again = "from the kill of an actor to the next finished round", sum(run.again for run in found)
    lost = f"rounds begun again for each kill ({again} for {len(seconds)}); no label lost"
    return [
        of_values("recovery_rounds", f"{what}, in undisturbed rounds", rounds, tolerance=0.3),
        of_values("recovery_seconds", what, seconds, unit="s", tolerance=0.3),
        exact("recovery_lost", lost, again / len(seconds), most=1.0),
    ]


if __name__ == "__main__":
    print(*figures(False, *map(int, sys.argv[1:])), sep="\n")
