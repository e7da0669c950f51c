"""Generators, adapters and requests for the vLLM suite."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superalign.config.sections import GeneratorConfig, LoraConfig
from superalign.generation.base import Generation, GenerationRequest, Generator, Tensors
from superalign.generation.hf import HFGenerator
from superalign.generation.vllm import VLLMGenerator
from superalign.models import load_base, load_chat
from superalign.testbed.corpus import Corpus
from tests.conftest import save_tiny_llama

LORA = LoraConfig(r=8, alpha=16)
ROLES = ("attacker", "critic", "learner")


def hf(roles: dict[str, str], **settings: Any) -> HFGenerator:
    return HFGenerator(roles, LORA, GeneratorConfig(**settings), threads=1)


def served(roles: dict[str, str], **settings: Any) -> VLLMGenerator:
    config = GeneratorConfig(backend="vllm", kv_cache_gb=0.25, **settings)
    return VLLMGenerator(roles, LORA, config, threads=1)


def adapter(model: str, seed: int, size: float = 0.1) -> Tensors:
    """A random adapter; at size .1 the testbed's model answers something else than its base."""
    rng, tensors = np.random.default_rng(seed), {}
    for name, module in load_base(model).named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            prefix, (outputs, inputs) = f"base_model.model.{name}", module.weight.shape
            tensors[f"{prefix}.lora_A.weight"] = rng.normal(0, size, (LORA.r, inputs)).astype(np.float32)
            tensors[f"{prefix}.lora_B.weight"] = rng.normal(0, size, (outputs, LORA.r)).astype(np.float32)
    return tensors


@cache
def prompts(count: int) -> tuple[tuple[int, ...], ...]:
    """Distinct requests of the testbed."""
    chat, corpus = load_chat("testbed"), Corpus(0)
    found: dict[tuple[int, ...], None] = {}
    while len(found) < count:
        said = corpus.draw()
        until = next(i for i, message in enumerate(said) if message["role"] == "assistant")
        found[tuple(chat.prompt_ids(said[:until], 64))] = None
    return tuple(found)


def asked(
    role: str, count: int, temperature: float = 0.0, tokens: int = 24, model_prompts: Any = None
) -> list[GenerationRequest]:
    return [GenerationRequest(role, p, tokens, temperature) for p in (model_prompts or prompts(count))[:count]]


def words(generations: list[Generation]) -> list[tuple[int, ...]]:
    return [generation.token_ids for generation in generations]


def furthest(one: list[list[float]], two: list[list[float]]) -> float:
    """The largest difference between two lists of log-probabilities."""
    return max(abs(a - b) for x, y in zip(one, two, strict=True) for a, b in zip(x, y, strict=True))


def load_both(generators: tuple[Generator, Generator], role: str, tensors: Tensors, version: int) -> None:
    for generator in generators:
        assert generator.load_adapter(role, tensors, version) == version
        assert generator.versions()[role] == version


def noise(count: int, vocabulary: int = 300, seed: int = 0) -> list[tuple[int, ...]]:
    """Prompts of random tokens, for random models."""
    draw = random.Random(seed)
    return [tuple(draw.randrange(5, vocabulary) for _ in range(draw.randrange(2, 40))) for _ in range(count)]


def save_qwen(folder: Path, seed: int) -> str:
    """A random Qwen3 with tied embeddings and heads of a size that vLLM has kernels for."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    save_tiny_llama(folder)  # for its tokenizer
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=320, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=32, max_position_embeddings=128, tie_word_embeddings=True, pad_token_id=0,
        bos_token_id=None, eos_token_id=1, initializer_range=0.2,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return str(folder)
