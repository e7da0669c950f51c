"""How fast students train."""

from __future__ import annotations

import time

import numpy as np
import torch

from superalign.weak_to_strong.base import FitSettings, Floats, Ints
from superalign.weak_to_strong.models.losses import Confidence, CrossEntropy
from superalign.weak_to_strong.models.train_loop import Vectors, fit
from tests.benchmarks.confidence_throughput import ONE_BY_ONE, comments, ratios
from tests.weak_to_strong.models.parts import certain, head


def bare_loop(x: Floats, truth: Ints, settings: FitSettings) -> float:
    """Processor seconds of as many steps of the same linear head by torch alone."""
    module, features, labels = head(x.shape[1]), torch.from_numpy(x).float(), torch.from_numpy(truth)
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    began = time.process_time()  # other processes on the machine do not count
    for _ in range(settings.epochs):
        for rows in torch.randperm(len(x)).split(settings.batch_size):
            loss = torch.nn.functional.cross_entropy(module(features[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return time.process_time() - began


def test_a_linear_head_is_quick() -> None:
    rng = np.random.default_rng(0)
    x, truth = rng.normal(size=(650, 300)), rng.integers(0, 2, 650)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for objective in (CrossEntropy(), Confidence()):
            ratios = []
            for _ in range(6):
                bare, began = bare_loop(x, truth, FitSettings()), time.process_time()
                fit(head(300), Vectors(x), certain(truth), objective, FitSettings(), seed=0)
                ratios.append((time.process_time() - began) / bare)
            assert np.median(ratios[1:]) < 2.5  # the first pays for imports
    finally:
        torch.set_num_threads(threads)


def test_batches_are_three_times_as_fast_as_one_example_per_step(tiny_model: str) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = ratios(tiny_model, comments(128), 3, ONE_BY_ONE["one example per step"])
    finally:
        torch.set_num_threads(threads)
    assert np.median(found) >= 3
