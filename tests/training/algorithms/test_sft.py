"""Supervised training on weighted demonstrations."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.config.sections import GeneratorConfig
from superalign.generation.hf import HFGenerator
from tests.training.phases import SFT, sft
from tests.training.tiny import LORA, demonstrations, logps, make_service


def test_supervised_training_makes_its_completions_likely(tiny_model: str) -> None:
    service, rows = make_service(tiny_model), demonstrations()
    before = logps(service, tiny_model, rows, "completion_ids")
    metrics = service.train("learner", SFT, rows, sft(learning_rate=5e-3, batch_size=4, epochs=6), seed=0)
    assert logps(service, tiny_model, rows, "completion_ids") > before + 3
    assert metrics["loss"] < metrics["first_loss"]
    assert metrics["steps"] == 18


def test_the_first_supervised_loss_is_the_weighted_mean_over_rows_of_their_mean_nll(tiny_model: str) -> None:
    rows = [{**row, "weight": weight} for row, weight in zip(demonstrations(2), (1.0, 0.25), strict=True)]
    generator = HFGenerator({"learner": tiny_model}, LORA, GeneratorConfig(), threads=1)
    args = ([tuple(row["prompt_ids"]) for row in rows], [tuple(row["completion_ids"]) for row in rows])
    means = [-float(np.mean(one)) for one in generator.sequence_logprobs(None, *args)]
    metrics = make_service(tiny_model).train(
        "learner", SFT, rows, sft(learning_rate=5e-3, batch_size=4, epochs=2), seed=0
    )
    assert metrics["first_loss"] == pytest.approx((1.0 * means[0] + 0.25 * means[1]) / 2, abs=1e-4)
