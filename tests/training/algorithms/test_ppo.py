"""PPO against what is known in closed form and against a plain loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superalign.generation.base import GenerationRequest
from superalign.training.phases import wrap
from tests.training.phases import policy
from tests.training.tiny import LORA, PROMPTS, answers, serving


@pytest.mark.slow
def test_ppo_finds_the_closed_form_of_a_bandit(tiny_model: str) -> None:
    """Max E[r] - kl KL(pi, base) over single tokens: pi proportional to base exp(r / kl)."""
    service, generator = serving(tiny_model)
    # Linear in the output layer's weights: the solution shifts the last state along one direction.
    first = wrap(tiny_model, LORA, "float32").get_base_model().get_output_embeddings().weight[:, 0].detach().numpy()
    rewards, kl, prompt = 0.5 * first / first.std(), 0.7, PROMPTS[0]

    def current() -> np.ndarray:
        return np.exp(np.array(generator.choice_logits("learner", [prompt], list(range(320)))[0]))

    base = current()
    wanted = base * np.exp(rewards / kl)
    wanted /= wanted.sum()
    settings = policy(
        "ppo", learning_rate=2e-3, epochs=2, batch_size=128, kl=kl, kl_target=None, value_learning_rate=2e-2
    )
    for phase in range(40):
        rows = []
        for one in generator.generate([GenerationRequest("learner", prompt, 1, 1.0)] * 256, phase):
            token, logprob = (one.token_ids[0], one.logprobs[0]) if one.token_ids else (1, one.stop_logprob)
            row = {"prompt_ids": list(prompt), "completion_ids": [token], "logprobs": [logprob]}
            rows.append(row | {"reward": float(rewards[token]), "group": ""})
        service.train("learner", "ppo", rows, settings, [], phase)
        generator.load_adapter("learner", service.adapter("learner"), phase + 1)
    found = current()
    assert abs(base - wanted).sum() / 2 > 0.3  # total variation: something to learn
    assert abs(found - wanted).sum() / 2 < 0.13
    assert (found * rewards).sum() == pytest.approx((wanted * rewards).sum(), abs=0.1)


def test_ppo_takes_the_steps_of_a_plain_loop(tiny_model: str) -> None:
    service, generator = serving(tiny_model)
    rows = answers(generator, seed=3)
    settings = policy("ppo", learning_rate=1e-3, epochs=3, batch_size=len(rows), kl=0.1)
    service.train("learner", "ppo", rows, settings, [], 0)

    model = wrap(tiny_model, LORA, "float32").eval()
    trained = {n.replace(".default.", "."): p for n, p in model.named_parameters() if ".default." in n}
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-3, weight_decay=0.0)

    def logp(row: dict[str, Any]) -> torch.Tensor:
        ids = torch.tensor([row["prompt_ids"] + row["completion_ids"]])
        logits = model(input_ids=ids).logits[0].log_softmax(-1)
        start = len(row["prompt_ids"]) - 1
        return torch.stack([logits[start + t, token] for t, token in enumerate(row["completion_ids"])])

    advantages = []
    for row in rows:  # values are 0 at first, the policy is the base: no penalty yet
        length, lam = len(row["completion_ids"]), settings.gae_lambda
        advantages.append([row["reward"] * lam ** (length - 1 - t) for t in range(length)])
    everything = torch.tensor([a for row in advantages for a in row])
    mean, std = everything.mean(), (everything.var(correction=0) + 1e-8).sqrt()
    for _ in range(3):
        losses = []
        for row, mine in zip(rows, advantages, strict=True):
            ratio = (logp(row) - torch.tensor(row["logprobs"])).exp()
            scaled = (torch.tensor(mine) - mean) / std
            losses.append(-torch.minimum(ratio * scaled, ratio.clamp(0.8, 1.2) * scaled))
        optimizer.zero_grad()
        torch.cat(losses).mean().backward()
        torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
    for name, tensor in service.adapter("learner").items():
        np.testing.assert_allclose(tensor, trained[name].detach().numpy(), atol=2e-5, err_msg=name)


def test_the_value_function_is_saved_and_goes_on(tiny_model: str, tmp_path: Path) -> None:
    settings = policy("ppo", learning_rate=1e-3, batch_size=8, kl=0.1, kl_target=0.5)
    service, generator = serving(tiny_model)
    first = service.train("learner", "ppo", answers(generator, 0), settings, [], 0)
    service.save(tmp_path)
    resumed, _ = serving(tiny_model)
    resumed.load(tmp_path)
    once, again = (s.train("learner", "ppo", answers(generator, 1), settings, [], 1) for s in (service, resumed))
    assert once | {"seconds": 0} == again | {"seconds": 0}
    assert once["kl_coefficient"] != first["kl_coefficient"]
    for name, tensor in service.adapter("learner").items():
        assert np.array_equal(tensor, resumed.adapter("learner")[name])
