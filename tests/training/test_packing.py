"""Completions of one prompt in one text: the same log-probabilities and gradients as row by row."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import GemmaConfig, GemmaForCausalLM, GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM
from trl.trainer.utils import add_fused_lm_head

from superalign.models import openings
from superalign.training import packing
from superalign.training.rows import pad_rows, token_logps

ROWS = [
    ((5, 6, 7, 8), (9, 10)),
    ((5, 6, 7), (9, 10, 11)),
    ((5, 6, 7, 8), (12,)),
    ((5, 6, 7, 8), (9, 10, 13, 14)),
    ((20, 21), (9,)),
    ((5, 6, 7), (15,)),
]
SMALL = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
LLAMA_LIKE = SMALL | {"num_key_value_heads": 1, "intermediate_size": 32, "head_dim": 8}


class Wrapped:
    """A model as peft gives it."""

    def __init__(self, base: Any) -> None:
        self.base = base.eval()
        add_fused_lm_head(base)

    def get_base_model(self) -> Any:
        return self.base

    def __call__(self, **given: Any) -> Any:
        return self.base(**given)


def gemma() -> Wrapped:
    torch.manual_seed(0)
    return Wrapped(GemmaForCausalLM(GemmaConfig(**LLAMA_LIKE)))


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any model counts as a large one."""
    monkeypatch.setattr(openings, "LARGE", 0)


def test_log_probabilities_are_those_of_each_row_alone() -> None:
    model, batch = gemma(), pad_rows(ROWS)
    found = packing.packed_logps(model, *(batch[n] for n in ("input_ids", "attention_mask", "completion_mask")))
    assert found is not None
    logps, rows = found
    assert sorted(rows) == [0, 1, 2, 3, 5]
    for row in rows:
        alone = pad_rows([ROWS[row]])
        expected = token_logps(model, alone, apart=False)[0]
        torch.testing.assert_close(logps[row, : len(expected)], expected, atol=1e-5, rtol=0)
        assert not logps[row, len(expected) :].any()


def test_a_batch_of_packed_and_lone_rows_has_the_gradients_of_the_rows() -> None:
    gradients = []
    for apart in (True, False):
        model, batch = gemma(), pad_rows(ROWS)
        token_logps(model, batch, apart=apart).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.base.parameters() if p.grad is not None]))
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)


def test_rows_without_a_prompt_in_common_are_not_packed() -> None:
    batch = pad_rows([ROWS[0], ROWS[1], ROWS[4]])
    given = (batch[name] for name in ("input_ids", "attention_mask", "completion_mask"))
    assert packing.packed_logps(gemma(), *given) is None


@pytest.mark.parametrize(
    ("model", "packed"),
    [
        (lambda: MistralForCausalLM(MistralConfig(**LLAMA_LIKE, sliding_window=None)), True),
        (lambda: MistralForCausalLM(MistralConfig(**LLAMA_LIKE, sliding_window=4)), False),
        (lambda: GPT2LMHeadModel(GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2)), True),
    ],
)
def test_only_models_whose_attention_sees_what_it_is_told_to_are_packed(model: Any, packed: bool) -> None:
    torch.manual_seed(0)
    assert packing.can_be_packed(Wrapped(model())) is packed
