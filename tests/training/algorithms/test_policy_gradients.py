"""Policy gradients against what is known in closed form and against plain loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superalign.config.sections import GeneratorConfig, LoraConfig
from superalign.generation.base import GenerationRequest
from superalign.generation.hf import HFGenerator
from superalign.training.phases import wrap
from superalign.training.service import TrainingService
from tests.training.phases import kto, policy

LORA = LoraConfig(r=4, alpha=8)
PROMPTS = [(5, 6, 7), (8, 9), (10, 11, 12, 13), (14, 15)]


def make(model: str) -> tuple[TrainingService, HFGenerator]:
    roles = {"learner": model}
    return TrainingService(roles, LORA, threads=1), HFGenerator(roles, LORA, GeneratorConfig(), threads=1)


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


@pytest.mark.parametrize("algorithm", ["grpo", "rloo", "ppo"])
def test_rewarded_answers_become_likely(tiny_model: str, algorithm: str) -> None:
    service, generator = make(tiny_model)
    before = p_even(generator)
    settings = policy(algorithm, learning_rate=1e-2, epochs=2, batch_size=12)
    for phase in range(12):
        found = service.train("learner", algorithm, answers(generator, phase), settings, [], phase)
        generator.load_adapter("learner", service.adapter("learner"), service.version("learner"))
    assert p_even(generator) > before + 0.25
    assert found["steps"] == 4 and 0 <= found["reward"] <= 1


@pytest.mark.parametrize("algorithm", ["grpo", "rloo", "ppo"])
def test_a_batch_may_have_any_size(tiny_model: str, algorithm: str) -> None:
    service, generator = make(tiny_model)
    for size, steps in ((7, 2), (1, 8)):
        settings = policy(algorithm, learning_rate=1e-3, batch_size=size)
        assert service.train("learner", algorithm, answers(generator, 0, samples=2), settings, [], 0)["steps"] == steps


@pytest.mark.slow
def test_ppo_finds_the_closed_form_of_a_bandit(tiny_model: str) -> None:
    """Max E[r] - kl KL(pi, base) over single tokens: pi proportional to base exp(r / kl)."""
    service, generator = make(tiny_model)
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
    service, generator = make(tiny_model)
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
    service, generator = make(tiny_model)
    first = service.train("learner", "ppo", answers(generator, 0), settings, [], 0)
    service.save(tmp_path)
    resumed, _ = make(tiny_model)
    resumed.load(tmp_path)
    once, again = (s.train("learner", "ppo", answers(generator, 1), settings, [], 1) for s in (service, resumed))
    assert once | {"seconds": 0} == again | {"seconds": 0}
    assert once["kl_coefficient"] != first["kl_coefficient"]
    for name, tensor in service.adapter("learner").items():
        assert np.array_equal(tensor, resumed.adapter("learner")[name])


def test_rows_need_a_log_probability_for_each_token(tiny_model: str) -> None:
    service, generator = make(tiny_model)
    rows = answers(generator, 0)
    rows[3]["logprobs"] = rows[3]["logprobs"][:-1]
    with pytest.raises(ValueError, match=r"learner: answer 3 has \d tokens and \d log-probabilities"):
        service.train("learner", "grpo", rows, policy("grpo"), [], 0)


def test_kto_raises_accepted_answers_and_lowers_refused_ones(tiny_model: str) -> None:
    service, generator = make(tiny_model)
    rows = [row | {"q": 0.95 if row["reward"] else 0.05, "w": 0.8} for row in answers(generator, 0)]
    before = p_even(generator)
    found = service.train("learner", "kto", rows, kto(learning_rate=5e-3, epochs=6, batch_size=8), rows[:2], 0)
    generator.load_adapter("learner", service.adapter("learner"), 1)
    assert p_even(generator) > before + 0.1
    assert found["first_loss"] == pytest.approx(0.8 * 0.5, abs=1e-3)  # policy = reference, without anchors


def test_labels_of_one_half_teach_nothing(tiny_model: str) -> None:
    """Under the soft label 1/2 KTO has no gradient at the reference."""
    service, generator = make(tiny_model)
    before = service.adapter("learner")
    rows = [row | {"q": 0.5, "w": 1.0} for row in answers(generator, 0)]
    service.train("learner", "kto", rows, kto(learning_rate=1e-3, batch_size=len(rows)), [], 0)
    changed = max(float(np.abs(t - before[n]).max()) for n, t in service.adapter("learner").items())
    assert changed < 1e-6
