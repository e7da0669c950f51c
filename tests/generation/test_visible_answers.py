"""A model that thinks in spite of its prompt: the answer is what comes after the thought, the tokens are all of it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from superalign.config.sections import GeneratorConfig, LoraConfig
from superalign.errors import UserError
from superalign.generation.base import Generation
from superalign.generation.decoding import Completed
from superalign.generation.hf import HFGenerator
from superalign.generation.vllm import _generation
from superalign.models import load_chat


def by_hf(model: str, ids: list[int], logprobs: list[float]) -> Generation:
    generator = HFGenerator({"learner": model}, LoraConfig(), GeneratorConfig(), threads=1)
    return generator._generation("learner", Completed(ids, logprobs, stopped=True))


def by_vllm(model: str, ids: list[int], logprobs: list[float]) -> Generation:
    flat = SimpleNamespace(logprobs=logprobs, start_indices=range(len(ids)))
    output: Any = SimpleNamespace(finish_reason="stop", token_ids=ids, logprobs=flat)
    return _generation(output, load_chat(model), version=0)


@pytest.mark.parametrize("engine", [by_hf, by_vllm])
def test_the_text_is_without_the_thought_and_the_tokens_are_what_was_chosen(
    engine: Callable[[str, list[int], list[float]], Generation], tiny_model: str
) -> None:
    chat = load_chat(tiny_model)
    ids = chat.closed(chat.encode("<think>\nno, I cannot\n</think>\n\nthe answer is yes"))
    made = engine(tiny_model, ids, [-0.5] * len(ids))
    assert made.text == "the answer is yes"
    assert made.token_ids == tuple(ids[:-1]) and len(made.logprobs) == len(ids) - 1 and made.finished


def test_nan_out_of_vllm_is_told(tiny_model: str) -> None:
    with pytest.raises(UserError, match="the model produces NaN"):
        by_vllm(tiny_model, [5, 6, 1], [-0.5, float("nan"), -0.1])
