"""What actors cost: warm rounds of self-play on cluster=laptop against cluster=inline, paired, on an idle machine.

    python tests/benchmarks/overhead.py [PAIRS] [ROUNDS]

Warm rounds are those from round 2 on: round 0 holds the start-up, round 1 the first training of each process. Who
goes first alternates. Prints the geometric mean of the paired ratios with Student's 95 % interval.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats

from superalign.team import versions

ROOT = Path(__file__).parents[2]


def warm_seconds(root: Path, name: str, cluster: str, rounds: int) -> float:
    """Seconds of the warm rounds."""
    command = [sys.executable, "-m", "superalign.cli", "train", "recipe=selfplay", f"rounds={rounds + 1}"]
    wanted = [f"run.root={root}", f"run.name={name}", f"cluster={cluster}"]
    subprocess.run([*command, *wanted], check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=ROOT)
    rows = [json.loads(line) for line in (root / name / "metrics.jsonl").read_text().splitlines()]
    return float(sum(row["timing"]["total"] for row in rows[2:]))


def main(pairs: int, rounds: int) -> None:
    """Run the pairs and print one ratio."""
    logs = []
    print(f"{os.cpu_count()} cores, {platform.platform()}, {versions()}")
    with tempfile.TemporaryDirectory() as scratch:
        for pair in range(pairs):
            order = ("laptop", "inline") if pair % 2 else ("inline", "laptop")
            took = {c: warm_seconds(Path(scratch), f"{c}-{pair}", c, rounds) for c in order}
            logs.append(np.log(took["laptop"] / took["inline"]))
            print(f"pair {pair}: laptop {took['laptop']:.1f} s, inline {took['inline']:.1f} s", flush=True)
    mean, half = np.mean(logs), stats.t.ppf(0.975, pairs - 1) * np.std(logs, ddof=1) / np.sqrt(pairs)
    low, ratio, high = np.exp([mean - half, mean, mean + half])
    print(f"laptop / inline, {rounds} warm rounds, {pairs} pairs: {ratio:.3f} [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*[*given, *(5, 2)[len(given) :]])
