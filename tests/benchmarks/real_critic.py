"""The probe critic on people's verdicts: how well each dimension is told after n curated labels.

    python tests/benchmarks/real_critic.py --model FOLDER --labels judge_wildguardtest.jsonl [--sizes 48 100 ...]

A quarter of the prompts is held out, by hash. For every size so many labels of the others are drawn, five times, and a
critic learns from these and nothing else. Printed are, on the held-out answers: the area under the ROC curve and the
balanced accuracy of each dimension and of what is acceptable by the policy, means over the draws with their standard
deviation; with the most labels also 95 % intervals of one draw, clustered by prompt.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from superalign.config.compose import load
from superalign.config.schema import Config
from superalign.generation.hf import HFGenerator
from superalign.records import by_dimension, content_share
from superalign.roles.critic.probe import ProbeCritic
from superalign.roles.curated import Labelled, curated_labels
from superalign.roles.protocols import ACCEPTABLE, CriticBatch, Point, Services
from superalign.stats.roc import auroc

HELD, DRAWS = 0.25, 5


def truth(labelled: Sequence[Labelled], name: str) -> tuple[list[int], list[float]]:
    """Which of these a dimension is told of by a majority, and what it is."""
    values = [label.value if name == ACCEPTABLE else by_dimension(label.dimensions).get(name) for _, label in labelled]
    told = [(place, value) for place, value in enumerate(values) if value is not None and value != 0.5]
    return [place for place, _ in told], [float(value > 0.5) for _, value in told]


def balanced_accuracy(scores: Sequence[float], labels: Sequence[float]) -> float:
    """Mean of the shares of positives above and of negatives below even odds."""
    above, positive = np.asarray(scores) > 0, np.asarray(labels) > 0.5
    return float((above[positive].mean() + (~above[~positive]).mean()) / 2)


def examine(critic: ProbeCritic, held: Sequence[Labelled]) -> dict[str, tuple[list[float], list[float], list[str]]]:
    """Log-odds, labels and prompts of the held-out answers, by dimension."""
    scores = critic.score_points([Point(item.query, item.first) for item, _ in held])
    odds = [dict(score.log_odds) | {ACCEPTABLE: critic.policy.log_odds(score.log_odds)} for score in scores]
    found = {}
    for name in (*critic.policy.dimensions, ACCEPTABLE):
        places, labels = truth(held, name)
        if len(set(labels)) == 2:
            found[name] = [odds[i][name] for i in places], labels, [held[i][0].query for i in places]
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--labels", required=True, type=Path)
    parser.add_argument("--sizes", nargs="+", type=int, default=[48, 100, 200, 400, 600])
    parser.add_argument("--set", nargs="*", default=["learner.max_new_tokens=64"], help="further settings")
    args = parser.parse_args()
    shared = ["policy=safety", "critic=probe", "critic.members=0", "cluster=inline", "cluster.threads=1"]
    config: Config = load([f"model={args.model}", f"expert.curated={args.labels}", *shared, *args.set])
    generator = HFGenerator({"critic": config.model}, config.lora, config.generator, config.cluster.threads)
    services = Services(config, generator, states=generator)
    everything = curated_labels(config)
    held = [pair for pair in everything if content_share("held out", pair[0].query) < HELD]
    pool = [pair for pair in everything if content_share("held out", pair[0].query) >= HELD]
    print(f"{len(pool)} labels to draw from, {len(held)} held out; {config.learner.max_new_tokens} tokens are read\n")
    features = None
    for size in args.sizes:
        rows: dict[str, list[tuple[float, float]]] = {}
        for draw in range(DRAWS):
            critic = ProbeCritic(config.critic, services)
            features = critic.features = features or critic.features  # each text is read once
            critic.learn(CriticBatch(random.Random(draw).sample(pool, min(size, len(pool))), frozenset(), (), ()), draw)
            found = examine(critic, held)
            for name, (scores, labels, prompts) in found.items():
                area = auroc(scores, labels, prompts)
                assert area is not None
                rows.setdefault(name, []).append((area.value, balanced_accuracy(scores, labels)))
        if size == args.sizes[0]:
            print("| labels | " + " | ".join(f"{n}: AUROC, balanced accuracy" for n in rows) + " |")
            print("|---" * (len(rows) + 1) + "|")
        cells = [
            ", ".join(f"{np.mean(v):.3f} ± {np.std(v, ddof=1):.3f}" for v in zip(*each, strict=True))
            for each in rows.values()
        ]
        print(f"| {min(size, len(pool))} | " + " | ".join(cells) + " |", flush=True)
    for name, (scores, labels, prompts) in found.items():
        area = auroc(scores, labels, prompts)
        print(f"{name}, {min(size, len(pool))} labels: AUROC {area}, n {len(labels)}, {sum(labels):.0f} yes")


if __name__ == "__main__":
    main()
