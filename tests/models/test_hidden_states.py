"""Pooled hidden states: where they are taken, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from superalign.errors import UserError
from superalign.models import load_base
from superalign.models.hidden_states import hidden_states, pooled

PROMPTS = [(5, 6, 7), (8, 9), (5, 6, 7), tuple(range(5, 45)), (5, 6, 7)]
COMPLETIONS = [(9, 10), (), (9, 10), (11, 12, 13), (9,)]


def test_states_are_those_of_transformers_on_the_text_alone() -> None:
    model = load_base("testbed")
    found = hidden_states(model, PROMPTS, COMPLETIONS, [0, 3, 1], context=64)
    assert found.dtype == np.float32 and found.shape == (5, 3, 3, model.config.hidden_size)
    for prompt, completion, states in zip(PROMPTS, COMPLETIONS, found, strict=True):
        with torch.no_grad():
            every = model(torch.tensor([[*prompt, *completion]]), output_hidden_states=True).hidden_states
        for layer, got in zip((0, 3, 1), states.swapaxes(0, 1), strict=True):
            one = every[layer][0]
            mean = one[len(prompt) :].mean(0) if completion else one[-1]
            for state, expected in zip(got, (one[len(prompt) - 1], one[-1], mean), strict=True):
                np.testing.assert_allclose(state, expected.numpy(), atol=1e-4)


def test_batches_of_any_size_give_the_same_states(tiny_model: str) -> None:
    model = load_base(tiny_model)
    together, apart = (hidden_states(model, PROMPTS, COMPLETIONS, [1, 2], 64, most) for most in (10**6, 1))
    np.testing.assert_allclose(together, apart, atol=1e-5)


def test_equal_texts_are_read_once(tiny_model: str) -> None:
    model, rows = load_base(tiny_model), []

    def counted(ids: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        rows.extend(ids.tolist())
        return pooled(model, [1], ids, starts, ends)

    found = hidden_states(model, PROMPTS, COMPLETIONS, [1], 64, pool=counted)
    assert len(rows) == 4 and np.array_equal(found[0], found[2])


def test_no_texts_have_no_states(tiny_model: str) -> None:
    assert hidden_states(load_base(tiny_model), [], [], [0, 2], 64).shape == (0, 3, 2, 32)


@pytest.mark.parametrize(
    ("prompts", "completions", "layers", "said"),
    [
        ([(5,)], [(6,)], [3], r"layer 3: the model has hidden states 0 \(its embeddings\) to 2"),
        ([(5,)], [(6,)], [-1], "layer -1"),
        ([(5,)], [(6,) * 64], [1], "prompt 0 has 65 tokens"),
        ([()], [(6,)], [1], "prompt 0 is empty"),
    ],
)
def test_layers_and_texts_that_do_not_fit_are_refused(
    tiny_model: str, prompts: list[tuple[int, ...]], completions: list[tuple[int, ...]], layers: list[int], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        hidden_states(load_base(tiny_model), prompts, completions, layers, context=64)
