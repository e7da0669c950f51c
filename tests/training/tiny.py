"""Services of a tiny random model, and rows for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from superalign.config.sections import GeneratorConfig, LoraConfig
from superalign.generation.base import GenerationRequest
from superalign.generation.hf import HFGenerator
from superalign.training.service import TrainingService

LORA = LoraConfig(r=4, alpha=8)
PROMPTS = [(5, 6, 7), (8, 9), (10, 11, 12, 13), (14, 15)]


def make_service(model: str, roles: tuple[str, ...] = ("attacker", "learner")) -> TrainingService:
    return TrainingService(dict.fromkeys(roles, model), LORA, threads=1)


def ids(rng: np.random.Generator, most: int = 8) -> list[int]:
    return rng.integers(5, 290, rng.integers(2, most)).tolist()


def pairs(n: int = 12, seed: int = 0, **labels: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    labels = {"q": 1.0, "w": 1.0, **labels}
    return [{"prompt_ids": ids(rng), "chosen_ids": ids(rng), "rejected_ids": ids(rng), **labels} for _ in range(n)]


def demonstrations(n: int = 12, seed: int = 0, weight: float = 1.0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [{"prompt_ids": ids(rng), "completion_ids": ids(rng), "weight": weight} for _ in range(n)]


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def logps(trained: TrainingService, model: str, rows: list[dict[str, Any]], completion: str) -> float:
    generator = HFGenerator({"learner": model}, LORA, GeneratorConfig(), threads=1)
    generator.load_adapter("learner", trained.adapter("learner"), 1)
    args = ([tuple(row["prompt_ids"]) for row in rows], [tuple(row[completion]) for row in rows])
    return float(np.mean([sum(one) for one in generator.sequence_logprobs("learner", *args)]))


def serving(model: str) -> tuple[TrainingService, HFGenerator]:
    return make_service(model, ("learner",)), HFGenerator({"learner": model}, LORA, GeneratorConfig(), threads=1)


def answers(generator: HFGenerator, seed: int, tokens: int = 6, samples: int = 6) -> list[dict[str, Any]]:
    """Sampled rows with the log-probabilities that were recorded; rewarded is an even share of the first token."""
    asked = [p for p in PROMPTS for _ in range(samples)]
    said = generator.generate([GenerationRequest("learner", p, tokens, 1.0) for p in asked], seed)
    rows = []
    for prompt, one in zip(asked, said, strict=True):
        ending = [1] if one.finished else []
        completion = [*one.token_ids, *ending]
        logprobs = [*one.logprobs, *([one.stop_logprob] if one.finished else [])]
        row = {"prompt_ids": list(prompt), "completion_ids": completion, "logprobs": logprobs, "group": str(prompt)}
        rows.append(row | {"reward": float(completion[0] % 2 == 0)})
    return rows


def p_even(generator: HFGenerator) -> float:
    """Exact P(the first token is even), mean over the prompts."""
    every = list(range(320))
    logps = np.array(generator.choice_logits("learner", PROMPTS, every))
    return float(np.exp(logps)[:, ::2].sum(1).mean())
