"""RLOO against a plain loop, and what leaving the base costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from superalign.generation.hf import HFGenerator
from superalign.training.algorithms.advantages import leave_one_out
from superalign.training.phases import wrap
from superalign.training.service import TrainingService
from tests.training.phases import policy
from tests.training.tiny import LORA, PROMPTS, answers, same, serving

EVERY = list(range(320))


def left_base(tiny_model: str) -> tuple[TrainingService, HFGenerator]:
    """A service, its optimizer new, and a generator of a learner that has left its base."""
    trained, generator = serving(tiny_model)
    trained.train("learner", "grpo", answers(generator, 0), policy("grpo", learning_rate=1e-2, epochs=2), [], 0)
    generator.load_adapter("learner", trained.adapter("learner"), 1)
    service, _ = serving(tiny_model)
    service._roles["learner"].tensors = trained._roles["learner"].tensors
    return service, generator


def logps(model: Any, row: dict[str, Any]) -> torch.Tensor:
    ids = torch.tensor([row["prompt_ids"] + row["completion_ids"]])
    logits = model(input_ids=ids).logits[0].log_softmax(-1)
    start = len(row["prompt_ids"]) - 1
    return torch.stack([logits[start + t, token] for t, token in enumerate(row["completion_ids"])])


@pytest.mark.parametrize("kl", [0.0, 0.1])
def test_rloo_takes_the_steps_of_a_plain_loop(tiny_model: str, kl: float) -> None:
    """Rewards r - kl (log pi_old - log base), arXiv 2402.14740 section 2; ratios of whole answers, clipped."""
    service, generator = left_base(tiny_model)
    rows, started = answers(generator, 1), service.adapter("learner")
    model = wrap(tiny_model, LORA, "float32")
    trained = {n.replace(".default.", "."): p for n, p in model.named_parameters() if ".default." in n}
    with torch.no_grad():
        base = [float(logps(model, row).sum()) for row in rows]  # a fresh adapter is the base
        for name, parameter in trained.items():
            parameter.copy_(torch.from_numpy(started[name]))
    rewards = [r["reward"] - kl * (sum(r["logprobs"]) - b) for r, b in zip(rows, base, strict=True)]
    advantages = leave_one_out(rewards, [r["group"] for r in rows]).tolist()
    own = torch.optim.AdamW(trained.values(), lr=1e-3, weight_decay=0.0)

    service.train("learner", "rloo", rows, policy("rloo", kl=kl, epochs=2, batch_size=len(rows)), [], 0)
    for _ in range(2):
        losses = []
        for row, advantage in zip(rows, advantages, strict=True):
            ratio = (logps(model, row).sum() - sum(row["logprobs"])).exp()
            losses.append(-torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage))
        own.zero_grad()
        torch.stack(losses).mean().backward()
        torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        own.step()
    for name, tensor in service.adapter("learner").items():
        np.testing.assert_allclose(tensor, trained[name].detach().numpy(), atol=2e-5, err_msg=name)


def test_where_all_answers_are_worth_the_same_the_price_leads_back_to_the_base(tiny_model: str) -> None:
    base = np.array(serving(tiny_model)[1].choice_logits("learner", PROMPTS, EVERY))

    def strayed(generator: HFGenerator) -> float:
        """Exact KL of the first token (nats), mean over the prompts."""
        own = np.array(generator.choice_logits("learner", PROMPTS, EVERY))
        return float((np.exp(own) * (own - base)).sum(1).mean())

    service, generator = left_base(tiny_model)
    before, at_first = strayed(generator), service.adapter("learner")
    worth = lambda phase: [row | {"reward": 0.5} for row in answers(generator, phase)]  # noqa: E731
    service.train("learner", "rloo", worth(0), policy("rloo", kl=0.0))
    assert same(service.adapter("learner"), at_first)
    for phase in range(6):
        service.train("learner", "rloo", worth(phase), policy("rloo", kl=1.0, learning_rate=4e-3, batch_size=8))
        generator.load_adapter("learner", service.adapter("learner"), phase + 2)
    assert strayed(generator) < 0.7 * before


def test_a_price_of_a_thousand_is_told_and_trains_something_else_than_none(tiny_model: str) -> None:
    service, generator = left_base(tiny_model)
    rows, other = answers(generator, 1), left_base(tiny_model)[0]
    free = service.train("learner", "rloo", rows, policy("rloo", kl=0.0))
    dear = other.train("learner", "rloo", rows, policy("rloo", kl=1000.0))
    assert not same(service.adapter("learner"), other.adapter("learner"))
    assert "penalised_reward" not in free
    assert dear["penalised_reward"] == pytest.approx(dear["reward"] - 1000 * dear["base_kl"], rel=1e-6)
