"""Bases with dropout, as a module or by a rate of their configuration: training sees the policy that answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, LlamaForCausalLM

from superalign.config.sections import GeneratorConfig, LoraConfig
from superalign.generation.hf import HFGenerator
from superalign.training.algorithms.ppo import PPOPhase
from superalign.training.reward import RewardModel, RewardPhase
from superalign.training.service import TrainingService
from tests.training.parts import CASES, WatchedService
from tests.training.phases import policy
from tests.training.tiny import LORA, answers


@pytest.fixture(scope="module")
def dropping(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Models of which half of everything is dropped in training mode: `modules` has layers for it, `rates` numbers."""
    folder = tmp_path_factory.mktemp("dropping")
    rates = LlamaForCausalLM.from_pretrained(tiny_model)
    rates.config.attention_dropout = 0.5
    torch.manual_seed(0)
    modules = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=320, n_positions=128, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3,
            resid_pdrop=0.5, embd_pdrop=0.5, attn_pdrop=0.5, bos_token_id=None, eos_token_id=1, pad_token_id=0,
        )
    )  # fmt: skip
    made = {"modules": modules, "rates": rates}
    for name, model in made.items():
        model.save_pretrained(folder / name)
        AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder / name)
    return {name: str(folder / name) for name in made}


def losses(model: str, algorithm: str, rows: Any, phase: Any, anchors: Any, seed: int) -> list[float]:
    """The loss of all rows, twice, without learning between."""
    service = WatchedService(("role",), model=model)
    still = phase.model_copy(update={"learning_rate": 0.0, "epochs": 2, "batch_size": len(rows), "anchor_batch": 0})
    return service.losses(algorithm, "role", rows, still.model_copy(update={"confidence": 0.0}), anchors, seed)


@pytest.mark.parametrize("kind", ["modules", "rates"])
@pytest.mark.parametrize("name", ["cdpo", "kto", "sft", "wspo", "grpo", "rloo", "ppo"])
def test_a_batch_has_the_same_loss_whenever_it_is_computed(dropping: dict[str, str], name: str, kind: str) -> None:
    first, again = losses(dropping[kind], *CASES[name])
    assert first == pytest.approx(again, rel=1e-6)


@pytest.mark.parametrize("kind", ["modules", "rates"])
def test_the_ratio_to_the_policy_that_answered_is_one_at_the_first_step(dropping: dict[str, str], kind: str) -> None:
    model = dropping[kind]
    generator = HFGenerator({"learner": model}, LORA, GeneratorConfig(), threads=1)
    phase = policy("ppo", learning_rate=0.0)
    assert isinstance(phase, PPOPhase)
    found = TrainingService({"learner": model}, LORA, 1).train("learner", "ppo", answers(generator, 0), phase)
    assert abs(found["kl"]) < 1e-5
    assert found["clip_ratio"] == 0


@pytest.mark.parametrize("kind", ["modules", "rates"])
def test_a_reward_model_scores_a_pair_the_same_in_every_pass(
    dropping: dict[str, str], kind: str, tmp_path: Path
) -> None:
    model = RewardModel(dropping[kind], LoraConfig(r=2, alpha=4), threads=1)
    pair = [("how do I bake a cake", "the answer is yes", "no, I cannot help")]
    still = RewardPhase(learning_rate=0.0, epochs=2, batch_size=1, center=0.0)
    found = model.fit(pair, still, seed=0)
    assert found["loss"] == pytest.approx(found["first_loss"], rel=1e-6)
