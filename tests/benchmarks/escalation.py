"""Which items experts should see: labels spent per point of critic accuracy, by escalation policy.

    python tests/benchmarks/escalation.py [FIGURE.html] [--seeds 0 1 2] [--budgets 48 96 192] [--items 512]

A critic alone, from the shipped one, for each seed, policy and budget anew: it judges the same answers and pairs of
them (as in critique_gain.py, training combinations), the policy chooses what a simulated expert labels (5 % wrong,
blind doubles included in what is spent), the critic learns from that and from synthetic flaws, and is calibrated. Shown
is the share of right verdicts on other answers, to held-out combinations in all attack families, graded by the oracle;
means over seeds with Student's 95 % interval. `none` spends nothing, so its critic learns from synthetic flaws alone;
`all` labels everything. A point is a percent of accuracy more than with `none`, paired on seeds. One thread.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import closing
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from superalign.attacks.families import EVERY_FAMILY, TRAINED
from superalign.config.schema import Config
from superalign.generation.hf import HFGenerator
from superalign.loop.critic_phase import select_pairs
from superalign.records import Judgement
from superalign.report.figures import Chart, Series
from superalign.report.svg import line_chart
from superalign.roles.critic.verdicts import VerdictModel
from superalign.roles.expert import Expert
from superalign.roles.judge import oracle_expert
from superalign.roles.learner import Learner
from superalign.stats.estimate import Estimate
from superalign.testbed import oracle
from superalign.training.service import TrainingService
from tests.benchmarks.critique_gain import ROLES, Cases, answers
from tests.benchmarks.noise import estimate as over_seeds

DRAWN = ("default", "random", "uncertainty")
Found = dict[tuple[str, int], list[tuple[float, int]]]


@dataclass
class Judged:
    """One seed's answers, judged by the shipped critic, and others to examine the trained one on."""

    seed: int
    generator: HFGenerator
    cases: Cases
    judgements: list[Judgement]
    clean: list[tuple[str, str]]
    probes: Cases

    @classmethod
    def make(cls, seed: int, items: int, probes: int) -> Judged:
        """Answer and judge."""
        config = Config()
        generator = HFGenerator(dict.fromkeys(ROLES, "testbed"), config.lora, config.generator, threads=1)
        learner, critic = Learner(config, generator, None), VerdictModel(config, generator, None)
        cases = answers("train", items // 2, TRAINED, learner, seed)
        again = zip(cases, learner.respond([q for q, _ in cases], seed + 1, samples=1), strict=True)
        cases += [(q, said) for (q, first), said in again if said.text != first.text]
        points = critic.judge_points(cases, seed)
        judged = [*points, *critic.judge_pairs(select_pairs(cases, points))]
        clean = [(q.text, r.text) for (q, r), point in zip(cases, points, strict=True) if point.p >= 0.6]
        return cls(seed, generator, cases, judged, clean, answers("eval", probes, EVERY_FAMILY, learner, seed))

    def trained(self, policy: str, budget: int) -> tuple[float, int]:
        """(accuracy of the critic after one phase on what the policy chose, labels spent)."""
        config = Config.model_validate({"seed": self.seed, "expert": {"budget": budget, "policy": policy}})
        trainer = TrainingService(dict.fromkeys(ROLES, "testbed"), config.lora, threads=1)
        self.generator.load_adapter("critic", trainer.adapter("critic"), 0)
        critic = VerdictModel(config, self.generator, trainer)
        asked, said = {q.id: q for q, _ in self.cases}, {r.id: r for _, r in self.cases}
        with tempfile.TemporaryDirectory() as folder:
            expert = Expert(config, Path(folder) / "experts.sqlite", oracle_expert)
            with closing(expert.queue):
                expert.escalate(self.judgements, asked, said, {}, 1, self.seed)
                answered = expert.collect(1).all
        critic.learn(answered, self.clean, [(q.text, r.text) for q, r in self.cases], self.seed)
        self.generator.load_adapter("critic", trainer.adapter("critic"), 1)
        critic.calibrate()
        return self.accuracy(critic), len(answered)

    def accuracy(self, critic: VerdictModel) -> float:
        """Share of right verdicts on the probes."""
        p = critic.probabilities([(q.text, r.text, q.category) for q, r in self.probes])
        truth = [oracle.acceptable(q.text, r.text) for q, r in self.probes]
        return float(np.mean([(x >= 0.5) == (y >= 0.5) for x, y in zip(p, truth, strict=True)]))


def measure(seeds: list[int], budgets: list[int], items: int, probes: int) -> Found:
    """Accuracy and labels spent by (policy, budget), one of each per seed."""
    found: Found = {}
    for seed in seeds:
        judged = Judged.make(seed, items, probes)
        rows = [
            ("none", 0),
            *((policy, budget) for budget in budgets for policy in DRAWN),
            ("all", len(judged.judgements)),
        ]
        for policy, budget in rows:
            key = (policy, 0 if policy == "all" else budget)  # how many are all differs by seed
            found.setdefault(key, []).append(judged.trained(policy, budget))
            accuracy, spent = found[key][-1]
            print(f"seed {seed}, {policy}, {spent} labels: {100 * accuracy:.1f} %", flush=True)
    return found


def estimate(values: list[float], low: float = 0.0, high: float = 1.0) -> Estimate:
    """Mean over seeds with its interval; one seed alone has none."""
    return over_seeds(values, low, high) if len(values) > 1 else Estimate(values[0], values[0], values[0], 1)


def table(found: Found) -> None:
    """Print accuracy, gain over `none`, and labels per point of gain."""
    none = [accuracy for accuracy, _ in found["none", 0]]
    print("| policy | labels | accuracy, % | points over none | labels per point |")
    print("|---" * 5 + "|")
    for (policy, _), runs in found.items():
        spent = float(np.mean([labels for _, labels in runs]))
        right = estimate([100 * accuracy for accuracy, _ in runs], high=100.0)
        gains = [100 * (accuracy - base) for (accuracy, _), base in zip(runs, none, strict=True)]
        gain = estimate(gains, -100.0, 100.0)
        price = f"{spent / gain.value:.1f}" if spent and gain.value > 0 else "no gain" if spent else ""
        cells = [f"{e.value:.1f} [{e.low:.1f}, {e.high:.1f}]" for e in (right, gain)]
        print(f"| {policy} | {spent:.0f} | {cells[0]} | {cells[1]} | {price} |")


def draw(found: Found, budgets: list[int], figure: Path) -> None:
    """Accuracy by labels; `none` and `all` as lines across."""
    none = estimate([accuracy for accuracy, _ in found["none", 0]])
    curves = [
        Series(policy, ((0, none), *((b, estimate([a for a, _ in found[policy, b]])) for b in budgets)))
        for policy in DRAWN
    ]
    total = np.mean([labels for _, labels in found["all", 0]])
    every = estimate([accuracy for accuracy, _ in found["all", 0]])
    curves.append(Series(f"all ({total:.0f})", ((0, every), (budgets[-1], every))))
    chart = Chart("Critic accuracy", "By budget of labels, for each escalation policy.", (), axis="labels")
    style = (resources.files("superalign.report") / "page.css").read_text(encoding="utf-8")
    drawing = line_chart(chart, curves, 760, 360, (0, budgets[-1]))
    page = (
        f'<!doctype html><meta charset="utf-8"><title>{chart.title}</title><style>{style}</style><main>{drawing}</main>'
    )
    figure.write_text(page, encoding="utf-8")
    print(f"figure: {figure}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("figure", nargs="?", default="escalation.html")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--budgets", type=int, nargs="+", default=[48, 96, 192])
    parser.add_argument("--items", type=int, default=512)
    parser.add_argument("--probes", type=int, default=256)
    given = parser.parse_args()
    torch.set_num_threads(1)
    results = measure(given.seeds, given.budgets, given.items, given.probes)
    table(results)
    draw(results, given.budgets, Path(given.figure))
