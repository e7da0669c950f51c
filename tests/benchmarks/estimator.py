"""What the labels of escalated items say of all items: bias and coverage of the propensity-weighted mean.

    python tests/benchmarks/estimator.py [--queues 500] [--items 400] [--budget 48]

Every queue is a fresh set of answers, judged by a critic of a known kind and drawn from by the default policy (a forced
lane, blind doubles). The true error rate is that of the answers all queues are samples of; experts make no mistakes.
Told, in points: the bias of the weighted estimate (`active_mean`) with its Monte-Carlo error, how often its 95 %
interval covers the true rate, and how far off are the plain mean of the escalated items and the critic alone.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superalign.feedback.escalation import escalate
from superalign.records import Judgement
from superalign.stats.intervals import active_mean

CRITICS = ("calibrated", "lenient", "overconfident", "guessing", "sharp")


@dataclass(frozen=True)
class Found:
    """Rates in [0, 1]; `error` is the Monte-Carlo error of `bias`, at 95 %."""

    truth: float
    bias: float
    error: float
    coverage: float
    plain: float
    critic: float


def answers(
    rng: np.random.Generator, n: int, critic: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(1 where an answer is wrong, its true probability of that, what the critic says it is)."""
    x = rng.normal(-0.3, 2.0, n)
    truth = 1 / (1 + np.exp(-x))
    wrong = (rng.random(n) < truth).astype(float)
    seen = {
        "calibrated": x,
        "lenient": x - 1.2,
        "overconfident": 2.2 * x + rng.normal(0, 1.5, n),
        "guessing": rng.normal(-1.0, 1.5, n),
        "sharp": (2 * wrong - 1) * rng.exponential(2.5, n) * np.where(rng.random(n) < 0.07, -1, 1),
    }[critic]
    return wrong, truth, 1 / (1 + np.exp(-seen))


def simulate(critic: str, queues: int, items: int, budget: int, seed: int) -> Found:
    """Estimate the share of wrong answers from each of many queues."""
    rng = np.random.default_rng(seed)
    # The mean of the answers' own probabilities over a million of them: what any queue's answers are drawn from.
    truth = float(answers(np.random.default_rng(0), 1_000_000, critic)[1].mean())
    values, plain, alone, covered = [], [], [], 0
    for number in range(queues):
        wrong, _, p = answers(rng, items, critic)
        judged = [
            Judgement(f"{i:06d}", "point", "q", "r", "", "c", 0.0, float(1 - p[i]), 0.0, False, False, 0)
            for i in range(items)
        ]
        conflict = (p < 0.2) & (rng.random(items) < 0.1)
        pi, drawn = escalate(
            judged, np.ones(items), 0.6 * rng.random(items), conflict,
            budget=budget, uniform_share=0.3, forced_share=0.2, double_share=0.1, seed=number,
        )  # fmt: skip
        chosen = [one.index for one in drawn]
        labels = np.full(items, np.nan)
        labels[chosen] = wrong[chosen]
        estimate = active_mean(p, labels, pi)
        values.append(estimate.value)
        covered += estimate.low <= truth <= estimate.high
        plain.append(wrong[chosen].mean())
        alone.append(p.mean())
    error = 1.96 * float(np.std(values, ddof=1)) / queues**0.5
    bias, off, critics = (float(np.mean(found)) - truth for found in (values, plain, alone))
    return Found(truth, bias, error, covered / queues, off, critics)


def main(queues: int, items: int, budget: int) -> None:
    """Print a line for each kind of critic."""
    print(f"{queues} queues of {items} items, budget {budget}")
    print("| critic | true rate | bias of the estimate | covered by 95 % | plain mean off by | critic off by |")
    print("|---" * 6 + "|")
    for critic in CRITICS:
        f = simulate(critic, queues, items, budget, seed=1)
        bias = f"{100 * f.bias:+.2f} ± {100 * f.error:.2f}"
        print(
            f"| {critic} | {100 * f.truth:.1f} | {bias} | {100 * f.coverage:.1f} % | {100 * f.plain:+.1f} | "
            f"{100 * f.critic:+.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--queues", type=int, default=500)
    parser.add_argument("--items", type=int, default=400)
    parser.add_argument("--budget", type=int, default=48)
    given = parser.parse_args()
    main(given.queues, given.items, given.budget)
