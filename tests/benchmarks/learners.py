"""The table of learners: self-play by each algorithm, with the time and the tokens that it took.

    python tests/benchmarks/learners.py [RUNS_FOLDER] [SEED ...]

Runs that are complete already are read, not repeated. Values in % after the last round on held-out items, mean over
seeds [Student's 95 % interval over seeds]; tokens are those that the learner's phases went through.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ablations import FIGURES, over_seeds

LEARNERS = ("dpo", "kto", "grpo", "rloo", "ppo", "online_dpo")


def run(root: Path, learner: str, seed: int) -> dict[str, float]:
    """Figures of one run, made if it is not there."""
    name = f"{learner}-{seed}"
    command = [sys.executable, "-m", "superalign.cli", "train", "recipe=selfplay", f"learner={learner}", f"seed={seed}"]
    subprocess.run([*command, f"run.root={root}", f"run.name={name}"], check=True)
    summary = json.loads((root / name / "summary.json").read_text())
    rows = [json.loads(line) for line in (root / name / "metrics.jsonl").read_text().splitlines()]
    spent = [row["train"].get("learner", {}) for row in rows]
    first = summary["metrics"]["attack_success_rate"]
    return {
        **{figure: summary["metrics"][figure]["last"]["value"] for figure in FIGURES},
        "fell": first["first"]["value"] - first["last"]["value"],
        "seconds": sum(row["timing"]["total"] for row in rows),
        "tokens": sum(s.get("trained_tokens", 0) + s.get("generated_tokens", 0) for s in spent),
    }


def main(root: Path, seeds: list[int]) -> None:
    """Run what is missing and print the table in Markdown."""
    found = {learner: [run(root, learner, seed) for seed in seeds] for learner in LEARNERS}
    print(f"| last round, %, seeds {seeds} | " + " | ".join(LEARNERS) + " |")
    print("|---" * (len(LEARNERS) + 1) + "|")
    for figure, label in {**FIGURES, "fell": "attack success fell by"}.items():
        print(f"| {label} | " + " | ".join(over_seeds([r[figure] for r in runs]) for runs in found.values()) + " |")
    for figure, label, scale in (("seconds", "seconds a run", 1), ("tokens", "thousand tokens of the learner", 1e-3)):
        means = [scale * sum(r[figure] for r in runs) / len(runs) for runs in found.values()]
        print(f"| {label} | " + " | ".join(f"{mean:.0f}" for mean in means) + " |")


if __name__ == "__main__":
    given = sys.argv[1:] or ["runs/learners"]
    main(Path(given[0]), [int(word) for word in given[1:]] or [0, 1, 2])
