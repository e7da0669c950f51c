"""The loss of weak-to-strong preference optimization: a weak policy's log-ratios, matched token by token."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from superalign.config.sections import GeneratorConfig, LoraConfig
from superalign.generation.hf import HFGenerator
from superalign.training.algorithms.wspo import REFERENCE, WSPOPhase, collate
from superalign.training.service import TrainingService

BETA = 0.5


def rows(n: int = 6, seed: int = 0) -> list[dict[str, Any]]:
    """Token ids of prompts and completions, with a target for each token of the completion."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        size = int(rng.integers(2, 7))
        prompt, completion = rng.integers(5, 290, 4).tolist(), rng.integers(5, 290, size).tolist()
        made.append({"prompt_ids": prompt, "completion_ids": completion, "target": rng.normal(0, 0.3, size).tolist()})
    return made


def log_ratios(service: TrainingService, model: str, given: list[dict[str, Any]]) -> list[list[float]]:
    """log pi - log pi_ref of each token, by the generator and not by the trainer."""
    generator = HFGenerator({"policy": model}, LoraConfig(), GeneratorConfig(), threads=1)
    generator.load_adapter("policy", service.adapter("policy"), 1)
    tokens = ([tuple(row["prompt_ids"]) for row in given], [tuple(row["completion_ids"]) for row in given])
    now, before = (generator.sequence_logprobs(who, *tokens) for who in ("policy", None))
    return [[a - b for a, b in zip(x, y, strict=True)] for x, y in zip(now, before, strict=True)]


def by_hand(ratios: list[list[float]], given: list[dict[str, Any]]) -> float:
    """The mean over all tokens of the batch of (beta log ratio - target) squared."""
    squares = [
        (BETA * ratio - target) ** 2
        for one, row in zip(ratios, given, strict=True)
        for ratio, target in zip(one, row["target"], strict=True)
    ]
    return float(np.mean(squares))


def test_a_batch_has_each_target_at_its_token_of_the_completion() -> None:
    given = [
        {"prompt_ids": [5, 6], "completion_ids": [7, 8, 9], "target": [0.1, 0.2, 0.3]},
        {"prompt_ids": [5], "completion_ids": [7], "target": [0.4]},
    ]
    batch = collate(given)
    assert batch["target"].tolist() == [pytest.approx([0, 0.1, 0.2, 0.3]), pytest.approx([0.4, 0, 0, 0])]
    assert (batch["target"] != 0).tolist() == (batch["completion_mask"][:, 1:] == 1).tolist()


def test_the_matching_loss_equals_a_hand_computation_before_and_after_training(tiny_model: str) -> None:
    service, given = TrainingService({"policy": tiny_model}, LoraConfig(), threads=1), rows()
    one_batch = WSPOPhase(learning_rate=5e-3, batch_size=len(given), epochs=1, beta=BETA)
    untouched = service.train("policy", REFERENCE, given, one_batch, seed=0)
    zeros = [[0.0] * len(row["target"]) for row in given]
    assert untouched["first_loss"] == pytest.approx(by_hand(zeros, given), rel=1e-5)
    expected = by_hand(log_ratios(service, tiny_model, given), given)
    assert expected != pytest.approx(untouched["first_loss"], rel=1e-2)
    again = service.train("policy", REFERENCE, given, one_batch, seed=0)
    assert again["first_loss"] == pytest.approx(expected, rel=1e-3)


def test_training_lowers_the_matching_loss_and_moves_the_log_ratios_to_their_targets(tiny_model: str) -> None:
    service, given = TrainingService({"policy": tiny_model}, LoraConfig(), threads=1), rows()
    phase = WSPOPhase(learning_rate=5e-3, batch_size=6, epochs=30, beta=BETA)
    metrics = service.train("policy", REFERENCE, given, phase, seed=0)
    assert metrics["loss"] < 0.3 * metrics["first_loss"]
    assert by_hand(log_ratios(service, tiny_model, given), given) < 0.3 * metrics["first_loss"]
