"""Whether rounds grow slower or larger: seconds and resident memory of a round, by which factor they grow in ten.

    python tests/benchmarks/growth.py [ROUNDS]

Real self-play in one process, small rounds of `model=testbed-small` with everything that piles up in a run: archive,
expert labels, records, report. What the critic does with labels is bounded, here as by default: it learns those of
eight rounds again, and is calibrated on those held back in the last 27; so are the answers that the learner is
anchored to, which by default there are enough of after four rounds. Until there are so many rounds grow, so the first
thirty are left out. Memory is the process's resident set (RSS) when a round is committed. Slope by Theil and
Sen with its 95 % interval. Target of both: 1 % in ten rounds.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from measure import PER_ROUNDS, Figure, growth, last_line, started

from superalign.store.clock import STAGES, TOTAL

TARGET, WARM, MEASURED = 1.01, 30, 50
POLL_S, LIMIT_S = 0.1, 3600
SMALL = [
    *("model=testbed-small", "attacker.seeds=16", "attacker.candidates=2", "learner.samples=2", "learner.max_pairs=16"),
    *("expert.budget=12", "critic.replayed=96", "critic.calibration_labels=96", "learner.anchors=12"),
    *("evaluation.prompts=1", "evaluation.benign=8", "evaluation.lookalikes=8"),
    *("evaluation.critic_probe=16", "evaluation.final_factor=1", "evaluation.bootstrap=50", "cluster.threads=1"),
]


def train(root: Path, name: str, *more: str) -> list[str]:
    """The command of a small self-play run."""
    command = [sys.executable, "-m", "superalign.commands.main", "train", "recipe=selfplay", f"run.root={root}"]
    return [*command, f"run.name={name}", *SMALL, *more]


def rows_of(run: Path) -> list[dict[str, dict[str, float]]]:
    """The rows of the rounds committed so far."""
    path = run / "metrics.jsonl"
    text = path.read_text() if path.is_file() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def watch(root: Path, rounds: int) -> tuple[list[dict[str, float]], list[float]]:
    """Seconds of each round by stage, and MiB after it."""
    run, memory = root / "grown", []
    command = train(root, run.name, "cluster=inline", f"rounds={rounds}")
    with started(command, root / "grown.log") as driver:
        process, end = psutil.Process(driver.pid), time.monotonic() + LIMIT_S
        while driver.poll() is None:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(memory)} of {rounds} rounds in {LIMIT_S} s")
            if len(rows_of(run)) > len(memory):
                memory.append(process.memory_info().rss / 2**20)
            time.sleep(POLL_S)
    if driver.returncode:
        raise RuntimeError(f"the run ended with {driver.returncode}; it said: {last_line(root / 'grown.log')}")
    return [row["timing"] for row in rows_of(run)], memory


def fastest(timings: list[dict[str, float]]) -> str:
    """The stage that grows most, and by how many seconds in ten rounds."""
    slopes = {stage: np.polyfit(range(len(timings)), [t[stage] for t in timings], 1)[0] for stage in STAGES}
    stage = max(slopes, key=lambda name: slopes[name])
    return f"most {stage}, {PER_ROUNDS * slopes[stage]:+.2f} s"


def figures(quick: bool, rounds: int | None = None) -> list[Figure]:
    """Growth of time and of memory."""
    rounds = rounds or WARM + (6 if quick else MEASURED)
    with tempfile.TemporaryDirectory() as scratch:
        timings, memory = (series[WARM:] for series in watch(Path(scratch), rounds))
    seconds = [timing[TOTAL] for timing in timings]
    what = f"in ten rounds, over rounds {WARM} to {rounds} of small self-play (median"
    took = f"a round's seconds {what} {statistics.median(seconds):.2f} s; {fastest(timings)})"
    held = f"RSS {what} {statistics.median(memory):.0f} MiB)"
    return [
        growth("growth_seconds", took, seconds, most=TARGET, tolerance=0.02),
        growth("growth_memory", held, memory, most=TARGET, tolerance=0.02),
    ]


if __name__ == "__main__":
    print(*figures(False, *map(int, sys.argv[1:])), sep="\n")
