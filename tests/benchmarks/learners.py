"""The table of learners: self-play by each algorithm, with the time and the tokens that it took.

    python tests/benchmarks/learners.py [RUNS_FOLDER] [SEED ...]

Runs that are complete already are read, not repeated. Each has one core and one process. Values in % after the last
round on held-out items, mean over seeds [Student's 95 % interval over seeds, cut to where a figure can lie]; tokens are
those that the learner's phases went through, seconds the processor's of the runs that were made here.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from math import nan
from pathlib import Path

import numpy as np
from ablations import FIGURES, told

ALONE = ("cluster=inline", "cluster.threads=1")
LEARNERS = ("dpo", "kto", "grpo", "rloo", "ppo", "online_dpo")


def run(root: Path, learner: str, seed: int) -> dict[str, float]:
    """Figures of one run, made if it is not there."""
    name = f"{learner}-{seed}"
    command = [sys.executable, "-m", "superalign.cli", "train", "recipe=selfplay", f"learner={learner}", f"seed={seed}"]
    read, before = (root / name / "summary.json").is_file(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, *ALONE, f"run.root={root}", f"run.name={name}"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    summary = json.loads((root / name / "summary.json").read_text())
    rows = [json.loads(line) for line in (root / name / "metrics.jsonl").read_text().splitlines()]
    spent = [row["train"].get("learner", {}) for row in rows]
    first = summary["metrics"]["attack_success_rate"]
    return {
        **{figure: summary["metrics"][figure]["last"]["value"] for figure in FIGURES},
        "fell": first["first"]["value"] - first["last"]["value"],
        "seconds": nan if read else spent_s,
        "tokens": sum(s.get("trained_tokens", 0) + s.get("generated_tokens", 0) for s in spent),
    }


def main(root: Path, seeds: list[int]) -> None:
    """Run what is missing and print the table in Markdown."""
    found = {learner: [run(root, learner, seed) for seed in seeds] for learner in LEARNERS}
    print(f"| last round, %, seeds {seeds} | " + " | ".join(LEARNERS) + " |")
    print("|---" * (len(LEARNERS) + 1) + "|")
    for figure, label in {**FIGURES, "fell": "attack success fell by"}.items():
        cells = [told([r[figure] for r in runs], differences=figure == "fell") for runs in found.values()]
        print(f"| {label} | " + " | ".join(cells) + " |")
    for figure, label, scale in (
        ("tokens", "thousand tokens of the learner", 1e-3),
        ("seconds", "processor seconds a run", 1),
    ):
        means = [scale * np.nanmean([r[figure] for r in runs]) for runs in found.values()]
        print(f"| {label} | " + " | ".join(f"{mean:.0f}" for mean in means) + " |")


if __name__ == "__main__":
    given = sys.argv[1:] or ["runs/learners"]
    main(Path(given[0]), [int(word) for word in given[1:]] or [0, 1, 2])
