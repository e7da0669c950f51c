"""What actors cost: warm rounds of self-play on cluster=laptop against cluster=inline, paired, on an idle machine.

    python tests/benchmarks/overhead.py [PAIRS] [ROUNDS] [THREADS]

Warm rounds are those from round 2 on: round 0 holds the start-up, round 1 the first training of each process. Who
goes first alternates. Prints the geometric mean of the paired ratios with Student's 95 % interval. Target: 1.05.

Ray's bookkeeping and idle actors, each of which Ray wakes a hundred times a second, take about a tenth of a core. Both
sides have THREADS (`cluster.threads`), by default two, or one where there are but two cores: that tenth has a core to
run on, as on any machine of a cluster. Name as many threads as there are cores to see what it costs otherwise: every
thread waits for the one whose core it takes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import ROOT, Figure, of_ratios

from superalign.config.sections import ClusterConfig

TARGET = 1.05


def warm_seconds(root: Path, name: str, cluster: str, rounds: int, threads: int) -> float:
    """Seconds of the warm rounds."""
    command = [sys.executable, "-m", "superalign.commands.main", "train", "recipe=selfplay", f"rounds={rounds + 1}"]
    wanted = [f"run.root={root}", f"run.name={name}", f"cluster={cluster}", f"cluster.threads={threads}"]
    subprocess.run([*command, *wanted], check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=ROOT)
    rows = [json.loads(line) for line in (root / name / "metrics.jsonl").read_text().splitlines()]
    return float(sum(row["timing"]["total"] for row in rows[2:]))


def figures(quick: bool, pairs: int | None = None, rounds: int = 2, threads: int | None = None) -> list[Figure]:
    """Actors over one process."""
    pairs, ratios, seconds = pairs or (2 if quick else 5), [], []
    cores = len(os.sched_getaffinity(0))
    threads = threads or max(1, min(ClusterConfig().threads, cores - 1))
    with tempfile.TemporaryDirectory() as scratch:
        for pair in range(pairs):
            order = ("laptop", "inline") if pair % 2 else ("inline", "laptop")
            took = {c: warm_seconds(Path(scratch), f"{c}-{pair}", c, rounds, threads) for c in order}
            ratios.append(took["laptop"] / took["inline"])
            seconds.append(took["inline"])
    took = f"{statistics.median(seconds):.1f} s, cluster.threads={threads}, {cores} cores"
    what = f"{rounds} warm rounds of self-play, cluster=laptop over inline ({took})"
    return [of_ratios("overhead", what, ratios, most=TARGET, tolerance=0.03)]


if __name__ == "__main__":
    print(*figures(False, *map(int, sys.argv[1:])), sep="\n")
