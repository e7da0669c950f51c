"""Answers sampled at a temperature: the gradient is that of the expected reward of the policy that sampled them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from superalign.training.algorithms.base import TrainerSetup
from superalign.training.phases import wrap
from superalign.training.recorded import acting, priced
from superalign.training.service import TrainingService
from tests.training.phases import policy
from tests.training.tiny import LORA, PROMPTS, answers, serving

PROMPT, COUNT = PROMPTS[0], 1500
# Adam's first step is then along the gradient, as long as it: g / (|g| + EPSILON).
EPSILON = 1e6
ALGORITHMS = ("grpo", "rloo", "ppo")


def systematic(share: np.ndarray, count: int, offset: float) -> np.ndarray:
    """`count` tokens drawn by their shares with as little noise as can be: at evenly spaced places."""
    return np.searchsorted(np.cumsum(share), (np.arange(count) + offset) / count).clip(max=len(share) - 1)


def sampled(
    first: torch.Tensor, second: torch.Tensor, temperature: float, rewards: torch.Tensor
) -> list[dict[str, Any]]:
    """Answers of two tokens by softmax(logits / temperature), recorded as the generator does: at temperature 1.

    `first` are logits [v], `second` those after each first token [v, v], `rewards` those of both tokens [v, v].
    """
    rng, rows = np.random.default_rng(0), []
    begun = systematic((first / temperature).softmax(0).numpy(), COUNT, 0.5)
    for token, count in zip(*np.unique(begun, return_counts=True), strict=True):
        for then in systematic((second[token] / temperature).softmax(0).numpy(), count, rng.random()):
            logprobs = [first.log_softmax(0)[token].item(), second[token].log_softmax(0)[then].item()]
            row = {"prompt_ids": list(PROMPT), "completion_ids": [int(token), int(then)], "logprobs": logprobs}
            rows.append(row | {"reward": rewards[token, then].item(), "group": "one"})
    return rows


# At 1 more of the vocabulary is drawn from, and the sample is noisier. With log-probabilities at temperature 1 the
# cosine is .96 at .5, and .986 at .7.
@pytest.mark.parametrize(("temperature", "cosine"), [(0.5, 0.999), (0.7, 0.995), (1.0, 0.97)])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_step_is_along_the_gradient_of_the_expected_reward(
    tiny_model: str, algorithm: str, temperature: float, cosine: float
) -> None:
    """Against that of the sum over all answers of two tokens of P(y) r(y), at the temperature, by autograd."""
    model, vocabulary = wrap(tiny_model, LORA, "float32"), 320
    asked = torch.tensor([[*PROMPT, token] for token in range(vocabulary)])
    logits = model(input_ids=asked).logits
    first, second = logits[0, len(PROMPT) - 1], logits[:, len(PROMPT)]
    rng = torch.Generator().manual_seed(1)
    rewards = torch.rand((vocabulary, 1), generator=rng) + 0.3 * torch.rand((1, vocabulary), generator=rng)
    shares = [(x / temperature).softmax(-1) for x in (first, second)]
    (shares[0] * (shares[1] * rewards).sum(1)).sum().backward()
    true = {n.replace(".default.", "."): p.grad for n, p in model.named_parameters() if p.grad is not None}

    service = TrainingService({"learner": tiny_model}, LORA, threads=1)
    before = service.adapter("learner")
    service._roles["learner"].optimizer.param_groups[0]["eps"] = EPSILON
    own = {"gae_lambda": 1.0} if algorithm == "ppo" else {}
    phase = policy(algorithm, learning_rate=EPSILON, batch_size=COUNT, temperature=temperature, **own)
    found = service.train("learner", algorithm, sampled(first.detach(), second.detach(), temperature, rewards), phase)
    step = np.concatenate([(tensor - before[n]).ravel() for n, tensor in service.adapter("learner").items()])
    along = np.concatenate([true[n].numpy().ravel() for n in before])
    assert step @ along / np.linalg.norm(step) / np.linalg.norm(along) > cosine
    assert abs(found.get("clip_ratio", 0.0)) == 0


def made(tiny_model: str, temperature: float) -> tuple[TrainerSetup, Any]:
    """A setup of answers of a policy that has left the base, and the model with its adapter."""
    service, generator = serving(tiny_model)
    rows = answers(generator, 0)
    service.train("learner", "rloo", rows, policy("rloo", learning_rate=1e-2, epochs=2), [], 0)
    generator.load_adapter("learner", service.adapter("learner"), 1)
    with service._placed(service._roles["learner"]) as model:
        pass
    phase = policy("rloo", temperature=temperature)
    return TrainerSetup(answers(generator, 1), phase, None, {"model": model}, {}, None, {}), model  # type: ignore[arg-type]


def logp(model: Any, row: dict[str, Any], temperature: float) -> float:
    """Of an answer, by a plain forward of its own."""
    ids = torch.tensor([row["prompt_ids"] + row["completion_ids"]])
    with torch.no_grad():
        logps = (model(input_ids=ids).logits[0] / temperature).log_softmax(-1)
    start = len(row["prompt_ids"]) - 1
    return sum(float(logps[start + t, token]) for t, token in enumerate(row["completion_ids"]))


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_the_price_of_straying_is_of_the_policies_that_sample(tiny_model: str, temperature: float) -> None:
    setup, model = made(tiny_model, temperature)
    rows = acting(setup)
    found = priced(setup, rows, 0.5)
    for row, old in list(zip(found, setup.rows, strict=True))[:4]:
        own = logp(model, row, temperature)
        with model.disable_adapter():
            base = logp(model, row, temperature)
        assert sum(row["logprobs"]) == pytest.approx(own, abs=1e-4)
        assert abs(own - base) > 0.01
        assert row["reward"] == pytest.approx(old["reward"] - 0.5 * (own - base), abs=1e-4)
    assert setup.measured["penalised_reward"] == pytest.approx(np.mean([row["reward"] for row in found]))


def test_the_turns_of_one_attempt_pay_for_the_whole(tiny_model: str) -> None:
    setup, _ = made(tiny_model, 1.0)
    rows = acting(setup)[:4]
    alone = [row["reward"] - paid["reward"] for row, paid in zip(rows, priced(setup, rows, 1.0), strict=True)]
    joined = [row | {"attempt": place // 2} for place, row in enumerate(rows)]
    whole = [row["reward"] - paid["reward"] for row, paid in zip(rows, priced(setup, joined, 1.0), strict=True)]
    first, second = alone[0] + alone[1], alone[2] + alone[3]
    assert whole == pytest.approx([first, first, second, second])
