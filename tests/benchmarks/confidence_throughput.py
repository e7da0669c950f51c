"""How much faster a finetuned student trains in padded batches of similar length than by one example at a time.

    python tests/benchmarks/confidence_throughput.py [MODEL] [EXAMPLES] [REPEATS] [THREADS]

Both ways train the same whole model on the same texts under the confidence loss, one epoch each, alternating in one
process. Printed are the ratio of their throughputs (geometric mean over repeats) and its 95 % interval: on one thread
by processor time, so that other processes do not count, on several by the clock, on an idle machine. Long texts fill a
processor by themselves: they gain least.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np
import torch
from measure import Figure, of_ratios

from superalign.testbed.corpus import Corpus
from superalign.weak_to_strong.base import FitSettings, Rows, Text, WeakLabels
from superalign.weak_to_strong.models.losses import Confidence
from superalign.weak_to_strong.models.registry import make_student

BATCHED = FitSettings(epochs=1, learning_rate=5e-4, batch_size=32)
ONE_BY_ONE = {
    "one example per step": replace(BATCHED, batch_size=1),
    "one example per pass, 32 per step": replace(BATCHED, micro_batch=1),
}


def comments(count: int, seed: int = 0) -> Rows:
    """The first words of the testbed's requests."""
    return _rows(tuple(Text(said[0][:40]) for said in _conversations(count, seed)))


def answers(count: int, seed: int = 0) -> Rows:
    """Whole requests with their answers."""
    return _rows(tuple(Text(said[0], said[-1]) for said in _conversations(count, seed)))


def _conversations(count: int, seed: int) -> list[list[str]]:
    corpus = Corpus(seed)
    return [[m["content"] for m in corpus.draw() if m["role"] != "system"] for _ in range(count)]


def _rows(texts: tuple[Text, ...]) -> Rows:
    names = tuple(map(str, range(len(texts))))
    return Rows(names, names, texts)


def ratios(model: str, rows: Rows, repeats: int, one_by_one: FitSettings) -> list[float]:
    """Throughput of batches over that of one example at a time, of each repeat."""
    labels = WeakLabels.of(np.random.default_rng(0).dirichlet([1, 1], len(rows)), "weak")

    def seconds(settings: FitSettings, seed: int) -> float:
        student = make_student(f"full:{model}", rows, 2, "classify", seed)
        objective = Confidence(threshold="batch" if settings.batch_size > 1 else "streaming")
        clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
        began = clock()
        student.fit(rows, labels, objective, settings, seed)
        return clock() - began

    seconds(BATCHED, 0)  # the first fit of a process pays for imports
    return [seconds(one_by_one, seed) / seconds(BATCHED, seed) for seed in range(repeats)]


def figures(
    quick: bool, model: str = "testbed", count: str = "256", repeats: str | None = None, threads: str = "1"
) -> list[Figure]:
    """The ratio for short and long texts, and for each way of going one by one."""
    torch.set_num_threads(int(threads))
    repeats = repeats or ("2" if quick else "5")
    count = "64" if quick else count
    found = []
    for kind, rows in (("comments", comments(int(count))), ("answers", answers(int(count)))):
        for way, settings in ONE_BY_ONE.items():
            what = f"full:{model}, {count} {kind}: examples/s in batches of {BATCHED.batch_size} over {way}"
            name = f"weak_to_strong_{kind}_per_{'step' if settings.batch_size == 1 else 'pass'}"
            found.append(of_ratios(name, what, ratios(model, rows, int(repeats), settings)))
    return found


if __name__ == "__main__":
    print(*figures(False, *sys.argv[1:]), sep="\n")
