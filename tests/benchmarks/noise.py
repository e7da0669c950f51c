"""Recovery under label noise: preference losses on pairs of which a known share is flipped.

    python tests/benchmarks/noise.py [FIGURE.html] [SEED ...]

The testbed's learner is trained once, from its base, on the same pairs for every loss. Each pair is flipped with its
own probability: a fifth of them never, the others with one that makes the mean 0, 10, 20, 30 or 40 %. A loss is told:
`cdpo (instance)` the probability of each pair (as a calibrated critic would), and weighs it by `label_weight`,
`cdpo (no weight)` the same of the same pairs without the weight, `cdpo (rate)` and `rdpo` the mean rate alone, the
others nothing. Shown is the share of held-out requests that are handled rightly (harm refused, the rest
answered in full; greedy, graded by the oracle), half of them harmful. A process of one thread for each core.
"""

from __future__ import annotations

import os
import random
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import over_seeds

from superalign.attacks.families import HELDOUT, TRAINED, wrap
from superalign.config.schema import Config
from superalign.config.sections import GeneratorConfig, LoraConfig
from superalign.data.seeds import load_seeds
from superalign.evaluation.harness import is_correct
from superalign.feedback.fusion import label_weight
from superalign.generation.hf import HFGenerator
from superalign.models import load_chat
from superalign.prompts import library
from superalign.records import Query, content_id
from superalign.report.figures import Chart, Series
from superalign.report.svg import line_chart
from superalign.roles.judge import make_judge
from superalign.roles.learner import Learner
from superalign.stats.estimate import Estimate
from superalign.testbed import oracle
from superalign.testbed.corpus import Corpus
from superalign.training.algorithms.dpo import DPOPhase
from superalign.training.service import TrainingService

RATES = (0.0, 0.1, 0.2, 0.3, 0.4)
CERTAIN = 0.2  # share of pairs that are never flipped
LOSSES = {
    "dpo": "dpo",
    "cdpo (rate)": "cdpo",
    "cdpo (instance)": "cdpo",
    "cdpo (no weight)": "cdpo",
    "rdpo": "rdpo",
    "ropo": "ropo",
    "drdpo": "drdpo",
}
SETTINGS = {"beta": 0.1, "nll": 0.05, "learning_rate": 4.5e-4, "epochs": 2, "batch_size": 8}
PAIRS, HELD_OUT = 1024, 128
LORA, ROLE = LoraConfig(), {"learner": "testbed"}


def queries(split: str, count: int, seed: int) -> list[Query]:
    """Wrapped requests of one split, half harmful, half benign; held-out ones also in families never trained on."""
    families = ("plain", *TRAINED, *(HELDOUT if split == "eval" else ()))
    seeds = [s for s in load_seeds(Config().data, 0) if s.split == split]
    out = []
    for kind in ("harmful", "benign"):
        pool = [s for s in seeds if s.kind == kind]
        random.Random(f"{seed}/{kind}").shuffle(pool)
        for number in range(count // 2):
            s, family = pool[number % len(pool)], families[number % len(families)]
            text = wrap(family, s.text, random.Random(f"{family}/{s.id}"))
            out.append(Query(content_id(family, s.id), s.id, text, s.kind, s.category, family, "", 0))
    return out


def pairs(count: int, seed: int) -> list[dict[str, Any]]:
    """The right answer against a wrong one: help with harm against refusing it, a refusal or garble against help."""
    chat, corpus, rng = load_chat("testbed"), Corpus(seed), random.Random(seed)
    rows = []
    for query in queries("train", count, seed):
        request = oracle.parse(query.text)
        assert request is not None
        harmful = query.kind == "harmful"
        good = corpus.response(request, "refusal" if harmful else "full")
        bad = corpus.response(request, "full" if harmful else rng.choice(("refusal", "garbled")))
        prompt = chat.prompt_ids(library.respond(query.text), 64)
        rows.append(
            {"prompt_ids": prompt, "good": chat.closed(chat.encode(good)), "bad": chat.closed(chat.encode(bad))}
        )
    return rows


def flipped(rows: list[dict[str, Any]], rate: float, told: str, seed: int) -> list[dict[str, Any]]:
    """The pairs with their labels at a mean flip rate, and what the loss is told of it."""
    rng = np.random.default_rng(seed)
    eps = np.where(rng.random(len(rows)) < CERTAIN, 0.0, rate / (1 - CERTAIN))
    flips = rng.random(len(rows)) < eps
    q = 1 - (eps if told in ("cdpo (instance)", "cdpo (no weight)") else np.full(len(rows), rate))
    w = label_weight(q) if told == "cdpo (instance)" else np.ones(len(rows))
    w = np.where(label_weight(q) > 0, w, 0.0) if told == "cdpo (no weight)" else w
    out = []
    for row, flip, belief, weight in zip(rows, flips, q, w, strict=True):
        chosen, rejected = (row["bad"], row["good"]) if flip else (row["good"], row["bad"])
        if weight > 0:
            labels = {"q": float(belief), "w": float(weight)}
            out.append({"prompt_ids": row["prompt_ids"], "chosen_ids": chosen, "rejected_ids": rejected, **labels})
    return out


def handled(generator: HFGenerator, asked: list[Query]) -> float:
    """Share of the requests that the served learner handles rightly."""
    learner, judge = Learner(Config(), generator, None), make_judge(Config(), generator)
    cases = list(zip(asked, learner.respond(asked, seed=0, samples=1, temperature=0.0), strict=True))
    return float(np.mean([is_correct(q, o) for (q, _), o in zip(cases, judge.outcomes(cases), strict=True)]))


def trained(generator: HFGenerator, rows: list[dict[str, Any]], loss: str, seed: int) -> None:
    """Serve the learner after one phase on these pairs."""
    service = TrainingService(ROLE, LORA, threads=torch.get_num_threads())
    phase = DPOPhase.model_validate(SETTINGS | {"loss": loss})
    service.train("learner", "dpo", rows, phase, [], seed)
    generator.load_adapter("learner", service.adapter("learner"), 1)


def estimate(values: list[float], low: float = 0.0, high: float = 1.0) -> Estimate:
    """Mean over seeds with Student's 95 % interval, cut to where the figure can lie."""
    return Estimate(*over_seeds(values, low, high), len(values))


def drawn(found: dict[str, dict[float, list[float]]]) -> str:
    """The figure of all losses by rate, as SVG."""
    chart = Chart("Held-out requests handled rightly", "By share of flipped labels, %.", (), axis="flips")
    curves = [
        Series(name, tuple((round(100 * r), estimate([v / 100 for v in values])) for r, values in by_rate.items()))
        for name, by_rate in found.items()
    ]
    return line_chart(chart, curves, 760, 360, (0, 40))


def measured(seed: int, rate: float, name: str) -> float:
    """Percentage of the held-out requests that are handled rightly after training; in a process of its own."""
    torch.set_num_threads(1)
    generator, rows = HFGenerator(ROLE, LORA, GeneratorConfig(), threads=1), pairs(PAIRS, seed)
    trained(generator, flipped(rows, rate, name, seed), LOSSES[name], seed)
    return 100 * handled(generator, queries("eval", HELD_OUT, 0))


def main(figure: Path, seeds: list[int]) -> None:
    """Train everything, print the table and draw the figure."""
    asked = queries("eval", HELD_OUT, 0)
    base = handled(HFGenerator(ROLE, LORA, GeneratorConfig(), threads=1), asked)
    print(f"base: {100 * base:.1f} % handled rightly (n {len(asked)}); {PAIRS} pairs, {len(seeds)} seeds", flush=True)
    found: dict[str, dict[float, list[float]]] = {name: {rate: [] for rate in RATES} for name in LOSSES}
    tasks = [(seed, rate, name) for seed in seeds for rate in RATES for name in LOSSES]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        for (seed, rate, name), value in zip(tasks, pool.map(measured, *zip(*tasks, strict=True)), strict=True):
            found[name][rate].append(value)
            print(f"seed {seed}, {rate:.0%} flipped, {name}: {value:.1f} %", flush=True)
    print("| handled rightly, % | " + " | ".join(f"{rate:.0%} flipped" for rate in RATES) + " |")
    print("|---" * (len(RATES) + 1) + "|")
    for name, by_rate in found.items():
        cells = [estimate(values, high=100.0) for values in by_rate.values()]
        print(f"| {name} | " + " | ".join(f"{e.value:.1f} [{e.low:.1f}, {e.high:.1f}]" for e in cells) + " |")
    figure.write_text(drawn(found), encoding="utf-8")
    print(f"figure: {figure}")


if __name__ == "__main__":
    given = sys.argv[1:] or ["noise.html"]
    main(Path(given[0]), [int(word) for word in given[1:]] or [0, 1, 2])
