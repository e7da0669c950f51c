"""The ablation table of the README: the default against shuffled verdicts and against no experts, over seeds.

    python tests/benchmarks/ablations.py [RUNS_FOLDER] [SEED ...]

Nine runs of some minutes each, in one process of one thread; runs that are complete already are read, not repeated.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from measure import over_seeds

ALONE = ("cluster=inline", "cluster.threads=1")
CONDITIONS = {
    "default": [],
    "critic.verdicts=shuffled": ["critic.verdicts=shuffled"],
    "expert.budget=0": ["expert.budget=0"],
}
FIGURES = {
    "attack_success_rate": "attack success, held-out combinations",
    "attack_success_rate_heldout_families": "attack success, held-out families",
    "helpfulness": "helpfulness",
    "over_refusal_rate": "over-refusal",
    "critic_accuracy": "critic accuracy",
}


def command(root: Path, name: str, seed: int, *settings: str) -> list[str]:
    """What makes one run of self-play, in one process of one thread."""
    begin = [sys.executable, "-m", "superalign.commands.main", "train", "recipe=selfplay", f"seed={seed}"]
    return [*begin, *ALONE, f"run.root={root}", f"run.name={name}", *settings]


def run(root: Path, condition: str, seed: int) -> dict[str, Any]:
    """The metrics of one run, made if it is not there."""
    name = f"{condition.replace('.', '-').replace('=', '-')}-{seed}"
    subprocess.run(command(root, name, seed, *CONDITIONS[condition]), check=True)
    summary = json.loads((root / name / "summary.json").read_text())
    metrics: dict[str, Any] = summary["metrics"]
    return metrics


def told(rates: list[float], differences: bool = False) -> str:
    """Mean over seeds with its interval, in per cent; rates lie in [0, 100], their differences in [-100, 100]."""
    found = [100 * x for x in over_seeds(rates, low=-1.0 if differences else 0.0)]
    value, low, high = (f"{x:.0f}" if x in (-100, 0, 100) else f"{x:.1f}" for x in found)
    return f"{value} [{low}, {high}]"


def main(root: Path, seeds: list[int]) -> None:
    """Run what is missing and print the table in Markdown."""
    found = {name: [run(root, name, seed) for seed in seeds] for name in CONDITIONS}
    print(f"| last round, %, mean over seeds {seeds} [95 %] | " + " | ".join(CONDITIONS) + " |")
    print("|---" * (len(CONDITIONS) + 1) + "|")
    last = {
        name: {figure: [m[figure]["last"]["value"] for m in runs] for figure in FIGURES} for name, runs in found.items()
    }
    for figure, label in FIGURES.items():
        print(f"| {label} | " + " | ".join(told(last[name][figure]) for name in CONDITIONS) + " |")
    for figure, label in FIGURES.items():
        cells = ["-"]
        for name in list(CONDITIONS)[1:]:
            pairs = zip(last[name][figure], last["default"][figure], strict=True)
            cells.append(told([a - b for a, b in pairs], differences=True))
        print(f"| difference, {label} | " + " | ".join(cells) + " |")
    moved = {
        name: [m["attack_success_rate"]["first"]["value"] - m["attack_success_rate"]["last"]["value"] for m in runs]
        for name, runs in found.items()
    }
    print(
        "| attack success moved by | " + " | ".join(told(moved[name], differences=True) for name in CONDITIONS) + " |"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/ablations"), [int(s) for s in sys.argv[2:]] or [0, 1, 2])
