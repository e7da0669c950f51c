"""A large model is laid out for few rows, and computes the same."""

from __future__ import annotations

import pytest
import torch

from superalign.config.sections import GeneratorConfig
from superalign.generation.hf import HFGenerator
from superalign.models import load_base, openings
from superalign.models.layout import for_few_rows
from tests.generation.test_hf import LORA, adapter, requests, words


def test_small_models_are_left_as_they_are() -> None:
    for model in ("testbed", "testbed-small"):
        assert not openings.is_large(load_base(model))
    model = load_base("testbed-small")
    assert for_few_rows(model) is model and not model.get_output_embeddings()._forward_pre_hooks


def test_weights_are_column_major_also_with_an_adapter_and_give_the_same(
    tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = HFGenerator({"learner": tiny_model}, LORA, GeneratorConfig(), threads=1)
    monkeypatch.setattr(openings, "LARGE", 0)
    laid_out = HFGenerator({"learner": tiny_model}, LORA, GeneratorConfig(), threads=1)
    for generator in (plain, laid_out):
        generator.load_adapter("learner", adapter(tiny_model, 1), 1)
    asked = requests(12, 0.0)
    assert words(laid_out.generate(asked, seed=0)) == words(plain.generate(asked, seed=0))
    model = laid_out._bases[tiny_model].model
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not model.get_output_embeddings()]
    assert layers and all(layer.weight.T.is_contiguous() for layer in layers)
