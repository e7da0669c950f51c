"""Self-play on a real chat model and real requests: what it changes, what each part of the game is worth.

    python tests/benchmarks/real_selfplay.py --model FOLDER --data FOLDER [--out FOLDER] [--arms full] [--seeds 0 1 2]

Runs that are complete are read, not repeated, and one that was stopped goes on. Every run has the same budget of
requests; arms differ in one thing. Printed are, for each arm, compliance with held-out requests by the independent
judge before and after, as means over seeds with Student's 95 % interval, and capability; for the full game also the
fall in harmful and in harmless compliance of each seed beside what a probe on the first learner's states would allow.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ablations import told
from real_data import prepare

WRITES = ["attacker.max_new_tokens=160"]
LEARNS = [
    *WRITES,
    "attacker.demonstrations={demonstrations}",
    "attacker.demonstration_rows=32",
    "attacker.learning_rate=2e-4",
    "attacker.batch_size=4",
]
FULL = [*LEARNS, "attacker.known={demonstrations}"]
NONE = ["attacker=few_shot", "attacker.current=0", "attacker.past=0", "attacker.seeds=72"]
ARMS: dict[str, list[str]] = {
    "full": FULL,
    "no attacker": NONE,
    "frozen attacker": ["attacker=few_shot", *WRITES],
    "own attacks": LEARNS,
    "people's attacks": ["attacker=file", "attacker.attacks={demonstrations}"],
    "shuffled verdicts": [*FULL, "critic.verdicts=shuffled"],
    "no curated labels": [*FULL, "expert.curated=null"],
    "one head": [*FULL, "policy=acceptable"],
}
REQUESTS = ("adversarial", "plain", "optimised", "lookalikes", "xstest", "instructions")
FIGURES = {
    "compliance_plain_harmful": "plain harmful",
    "compliance_adversarial_harmful": "adversarial harmful (people's)",
    "compliance_optimised_harmful": "adversarial harmful (optimisers')",
    "compliance_adversarial_benign": "adversarial harmless",
    "compliance_lookalikes_benign": "look-alikes (OR-Bench hard)",
    "compliance_xstest_benign": "look-alikes (XSTest)",
    "compliance_instructions_benign": "ordinary instructions",
    "accuracy_mmlu": "MMLU",
    "accuracy_sciq": "SciQ",
    "perplexity_texts": "perplexity",
}
JUDGE = tuple(
    f"judge_complies_{what}_{kind}" for what in ("sensitivity", "specificity") for kind in ("harmful", "benign")
)
Kept = dict[str, dict[str, Any]]


def command(args: argparse.Namespace, files: dict[str, str], arm: str, seed: int) -> list[str]:
    """What a run is started with."""
    held = [f"evaluation.requests.{name}={files[f'held_{name}']}" for name in REQUESTS]
    own = [setting.format(**files) for setting in ARMS[arm]]
    return [
        *(sys.executable, str(Path(__file__).with_name("remembered.py")), str(args.out / "states.sqlite")),
        *("train", str(args.settings)),
        *(f"model={args.model}", f"seed={seed}", f"run.root={args.out / 'runs'}", f"run.name={name_of(arm, seed)}"),
        *(f"data.seeds={files['seeds']}", f"expert.curated={files['critic']}", f"judge.labels={files['judge']}"),
        *("evaluation.judge=probe", f"judge.model={args.judge or args.model}", *held),
        *(f"evaluation.choices.mmlu={files['mmlu']}", f"evaluation.choices.sciq={files['sciq']}"),
        f"evaluation.texts.texts={files['texts']}",
        *own,
        *args.set,
    ]


def name_of(arm: str, seed: int) -> str:
    """The run of an arm."""
    return f"{arm.replace(' ', '_').replace(chr(39), '')}-{seed}"


def budget(args: argparse.Namespace, arm: str) -> list[str]:
    """What a run's figures depend on beside model, data and seed."""
    return [*args.settings.read_text(encoding="utf-8").splitlines(), *ARMS[arm], *args.set]


def run(args: argparse.Namespace, files: dict[str, str], kept: Kept, arm: str, seed: int) -> dict[str, Any]:
    """The final figures of a run, made or finished if it is not complete and nothing is kept of it."""
    name = name_of(arm, seed)
    summary, known = args.out / "runs" / name / "summary.json", kept.get(name)
    if known and known["budget"] == budget(args, arm):
        return known
    if not summary.is_file():
        status = subprocess.run(command(args, files, arm, seed)).returncode
        if status not in (0, 3):  # 3: complete, but the learner learned nothing
            raise SystemExit(f"{name} ended with {status}")
    metrics = json.loads(summary.read_text(encoding="utf-8"))["metrics"]
    ends = {figure: {end: metrics[figure][end]["value"] for end in ("first", "last")} for figure in shown(metrics)}
    return {"budget": budget(args, arm), "nothing_learned": status_of(summary), "ends": ends}


def shown(metrics: Mapping[str, Any]) -> list[str]:
    """Which figures are kept."""
    return [figure for figure in (*FIGURES, *JUDGE) if figure in metrics]


def status_of(summary: Path) -> str | None:
    """Why the run learned nothing, if it did not."""
    found: str | None = json.loads(summary.read_text(encoding="utf-8")).get("nothing_learned")
    return found


def cell(runs: list[dict[str, Any]], figure: str) -> str:
    """First and last value over seeds, and the change."""
    pairs = [run["ends"][figure] for run in runs if figure in run["ends"]]
    if not pairs:
        return "-"
    first, last = ([pair[end] for pair in pairs] for end in ("first", "last"))
    if figure.startswith("perplexity"):
        return f"{np.mean(first):.2f} -> {np.mean(last):.2f}"
    change = [b - a for a, b in zip(first, last, strict=True)]
    return f"{np.mean(first):.0%} -> {np.mean(last):.0%}, {told(change, differences=True)}"


def main() -> int:
    """Run what is missing and print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder or reference of the chat model")
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data")
    parser.add_argument("--out", type=Path, default=Path("runs/real"), help="folder of the runs")
    parser.add_argument("--judge", help="model whose states the judge reads; the model itself by default")
    parser.add_argument("--settings", type=Path, default=Path(__file__).with_name("real_selfplay.yaml"))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--kept", type=Path, help="file of figures of earlier runs, which are read and added to")
    parser.add_argument("--set", nargs="*", default=[], help="further settings of all runs")
    args = parser.parse_args()
    files = prepare(args.data, args.out / "data")
    kept: Kept = json.loads(args.kept.read_text(encoding="utf-8")) if args.kept and args.kept.is_file() else {}
    made: dict[str, list[dict[str, Any]]] = {arm: [] for arm in args.arms}
    for seed in args.seeds:  # all arms of a seed before the next
        for arm, runs in made.items():
            runs.append(run(args, files, kept, arm, seed))
            kept[name_of(arm, seed)] = runs[-1]
    if args.kept:
        args.kept.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(f"| {args.model}, seeds {args.seeds} | " + " | ".join(made) + " |")
    print("|---" * (len(made) + 1) + "|")
    for figure, label in FIGURES.items():
        print(f"| {label} | " + " | ".join(cell(summaries, figure) for summaries in made.values()) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
