"""Verdicts of each kind of critic before and after it learned from the same labels, and whose variance knows of errors.

    python tests/benchmarks/critic_kinds.py [--seeds 0] [--labels 96] [--size 160]

Answers are those of critique_gain.py, labels a simulated expert's (5 % wrong), one phase of learning with synthetic
flaws and retained verdicts. Printed: the share of right point verdicts on held-out combinations, and of right choices
between a right and a wrong answer to one request, in a random order; 95 % intervals over seed requests. For the trained
generative critic: the area under the ROC curve with which p(1-p), the ensemble's and dropout's variance tell its wrong
verdicts from its right ones (1/2: not at all), and each added to p(1-p) as escalation does, by the larger of the two.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence

import numpy as np
import torch
from scipy import stats

from superalign.attacks.families import EVERY_FAMILY, TRAINED
from superalign.config.schema import Config
from superalign.feedback.synthetic_flaws import planted_flaws
from superalign.generation.hf import HFGenerator
from superalign.records import Response, content_id
from superalign.registry import CRITICS
from superalign.roles.critic.generative import GenerativeCritic
from superalign.roles.critic.verdicts import ResponsePair, VerdictModel
from superalign.roles.learner import Learner
from superalign.stats.intervals import clustered_rate
from superalign.testbed import oracle
from superalign.training.service import TrainingService
from tests.benchmarks.critique_gain import ROLES, Cases, answers, labelled

Marks = tuple[list[float], list[str]]


def contests(cases: Cases, seed: int) -> list[ResponsePair]:
    """Right answers against flawed ones, in a random order."""
    rng, asked = random.Random(seed), {q.text: q for q, _ in cases}
    clean = [(q.text, r.text) for q, r in cases if oracle.acceptable(q.text, r.text) > 0.5]
    out: list[ResponsePair] = []
    for query, right, flawed in planted_flaws(clean, rng, subtle=True):
        if oracle.acceptable(query, flawed) < 0.5:
            q = asked[query]
            texts = [right, flawed][:: rng.choice((1, -1))]
            one, two = (Response(content_id(q.id, t), q.id, t, (), (), (), "sample", 0) for t in texts)
            out.append((q, one, two))
    return out


def right_points(critic: VerdictModel, cases: Cases) -> Marks:
    """1 for each right verdict."""
    p = critic.probabilities([(q.text, r.text, q.category) for q, r in cases])
    truth = [oracle.acceptable(q.text, r.text) for q, r in cases]
    return [float((x >= 0.5) == (y >= 0.5)) for x, y in zip(p, truth, strict=True)], [q.seed_id for q, _ in cases]


def right_pairs(critic: VerdictModel, pairs: Sequence[ResponsePair]) -> Marks:
    """1 for each right choice."""
    chosen = [j.p >= 0.5 for j in critic.judge_pairs(pairs)]
    truth = [oracle.acceptable(q.text, a.text) > 0.5 for q, a, _ in pairs]
    return [float(x == y) for x, y in zip(chosen, truth, strict=True)], [q.seed_id for q, _, _ in pairs]


def area(scores: Sequence[float], wrong: Sequence[bool]) -> float:
    """The probability that a wrong verdict scores above a right one."""
    s, w = np.asarray(scores), np.asarray(wrong)
    return float(stats.mannwhitneyu(s[w], s[~w]).statistic / (w.sum() * (~w).sum()))


def doubts(critic: VerdictModel, cases: Cases) -> str:
    """The areas of each measure of doubt."""
    truth, asked = [oracle.acceptable(q.text, r.text) for q, r in cases], critic.critic
    assert isinstance(asked, GenerativeCritic)
    found: dict[str, list[float]] = {}
    for variance in ("ensemble", "dropout"):
        asked.config = asked.config.model_copy(update={"variance": variance})
        judged = critic.judge_points(cases, 0)
        own = [j.p * (1 - j.p) for j in judged]
        found |= {"p(1-p)": own, variance: [j.variance for j in judged]}
        found[f"max with {variance}"] = [max(a, j.variance) for a, j in zip(own, judged, strict=True)]
    wrong = [(j.p >= 0.5) != (y >= 0.5) for j, y in zip(judged, truth, strict=True)]
    asked.config = asked.config.model_copy(update={"variance": "views"})
    return f"{sum(wrong)} wrong of {len(wrong)}: " + ", ".join(f"{n} {area(s, wrong):.3f}" for n, s in found.items())


def show(parts: Sequence[Marks]) -> str:
    """Rate and interval over all seeds."""
    e = clustered_rate([x for values, _ in parts for x in values], [c for _, names in parts for c in names])
    return f"{100 * e.value:.1f} [{100 * e.low:.1f}, {100 * e.high:.1f}]"


def main(seeds: Sequence[int], labels: int, size: int) -> None:
    """Train, measure and print each kind as soon as it is known."""
    torch.set_num_threads(1)
    print(f"model=testbed, seeds {list(seeds)}, {labels} labels, {size} answers")
    print("kind | points before, after | pairs before, after | took")
    for kind in CRITICS.builtin:
        began, marks = time.monotonic(), [[], [], [], []]  # type: tuple[float, list[list[Marks]]]
        for seed in seeds:
            config = Config.model_validate({"critic": {"kind": kind, "subtle_flaws": True}})
            models = dict.fromkeys(ROLES, "testbed")
            generator = HFGenerator(models, config.lora, config.generator, threads=1)
            learner, trainer = Learner(config, generator, None), TrainingService(models, config.lora, threads=1)
            critic = VerdictModel(config, generator, trainer)
            cases = answers("eval", size, EVERY_FAMILY, learner, seed)
            pairs = contests(cases, seed)
            marks[0].append(right_points(critic, cases))
            marks[2].append(right_pairs(critic, pairs))
            seen = answers("train", 2 * labels, TRAINED, learner, seed)
            points = critic.judge_points(seen, seed)
            clean = [(q.text, r.text) for (q, r), point in zip(seen, points, strict=True) if point.p >= 0.6]
            critic.learn(labelled(seen, seed)[:labels], clean, [(q.text, r.text) for q, r in seen], seed)
            generator.load_adapter("critic", trainer.adapter("critic"), trainer.version("critic"))
            critic.calibrate()
            marks[1].append(right_points(critic, cases))
            marks[3].append(right_pairs(critic, pairs))
            if kind == "generative":
                print(f"  seed {seed}, doubts of the generative critic, {doubts(critic, cases)}", flush=True)
        row = " | ".join(f"{show(marks[i])}, {show(marks[i + 1])}" for i in (0, 2))
        print(f"{kind} | {row} | {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--labels", type=int, default=96)
    parser.add_argument("--size", type=int, default=160)
    given = parser.parse_args()
    main(given.seeds, given.labels, given.size)
