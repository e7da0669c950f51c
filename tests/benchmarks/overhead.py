"""What actors cost: warm rounds of self-play on cluster=laptop against cluster=inline, paired, on an idle machine.

    python tests/benchmarks/overhead.py [PAIRS] [ROUNDS] [THREADS]

Warm rounds are those from round 2 on: round 0 holds the start-up, round 1 the first training of each process. Who
goes first alternates. Prints the geometric mean of the paired ratios with Student's 95 % interval. Target: 1.05.

Ray's bookkeeping and idle actors, which Ray wakes a hundred times a second, take some per cent of a core. Where torch
has as many threads as there are cores, each such moment makes the other threads wait too; with fewer threads
(`cluster.threads` of both) they have a core of their own.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import ROOT, Figure, of_ratios

TARGET = 1.05


def warm_seconds(root: Path, name: str, cluster: str, rounds: int, threads: int) -> float:
    """Seconds of the warm rounds."""
    command = [sys.executable, "-m", "superalign.cli", "train", "recipe=selfplay", f"rounds={rounds + 1}"]
    wanted = [f"run.root={root}", f"run.name={name}", f"cluster={cluster}", f"cluster.threads={threads}"]
    subprocess.run([*command, *wanted], check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=ROOT)
    rows = [json.loads(line) for line in (root / name / "metrics.jsonl").read_text().splitlines()]
    return float(sum(row["timing"]["total"] for row in rows[2:]))


def figures(quick: bool, pairs: int | None = None, rounds: int = 2, threads: int = 2) -> list[Figure]:
    """Actors over one process."""
    pairs, ratios, seconds = pairs or (2 if quick else 5), [], []
    with tempfile.TemporaryDirectory() as scratch:
        for pair in range(pairs):
            order = ("laptop", "inline") if pair % 2 else ("inline", "laptop")
            took = {c: warm_seconds(Path(scratch), f"{c}-{pair}", c, rounds, threads) for c in order}
            ratios.append(took["laptop"] / took["inline"])
            seconds.append(took["inline"])
    took = f"{statistics.median(seconds):.1f} s, cluster.threads={threads}"
    what = f"{rounds} warm rounds of self-play, cluster=laptop over inline ({took})"
    return [of_ratios("overhead", what, ratios, most=TARGET, tolerance=0.03)]


if __name__ == "__main__":
    print(*figures(False, *map(int, sys.argv[1:])), sep="\n")
