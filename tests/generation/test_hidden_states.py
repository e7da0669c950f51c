"""Hidden states by an engine, by several, and by the trainer: of any model, with the adapter of a role or none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from superalign.config.sections import GeneratorConfig
from superalign.errors import UserError
from superalign.generation.hf import HFGenerator
from superalign.generation.pool import GeneratorPool
from superalign.generation.vllm import VLLMGenerator
from superalign.models import load_base
from superalign.models.hidden_states import hidden_states
from superalign.runtime.cluster import InlineCluster
from superalign.training.service import TrainingService
from tests.generation.test_hf import LORA, adapter
from tests.training.phases import dpo
from tests.training.tiny import pairs

TEXTS = ([(5, 6, 7), (8,), (9, 10)], [(11, 12), (13, 14, 15), ()])
LAYERS = [0, 2]


def engine(model: str) -> HFGenerator:
    return HFGenerator({"learner": model, "critic": model}, LORA, GeneratorConfig(), threads=1)


def test_a_role_has_the_states_of_its_adapter_and_the_model_its_own(tiny_model: str) -> None:
    generator = engine(tiny_model)
    base = generator.hidden_states(tiny_model, *TEXTS, LAYERS)
    generator.load_adapter("learner", adapter(tiny_model, 1), 1)
    learner = generator.hidden_states(tiny_model, *TEXTS, LAYERS, role="learner")
    assert np.array_equal(learner[:, :, 0], base[:, :, 0])  # embeddings, which no adapter changes
    assert np.abs(learner[:, :, 1] - base[:, :, 1]).max() > 0.1
    assert np.array_equal(generator.hidden_states(tiny_model, *TEXTS, LAYERS), base)
    assert np.array_equal(generator.hidden_states(tiny_model, *TEXTS, LAYERS, role="critic"), base)


@pytest.mark.parametrize("make", [engine, lambda model: TrainingService({"learner": model}, LORA, threads=1)])
def test_a_model_that_is_not_served_is_loaded_once(
    make_model: Callable[..., str],
    tiny_model: str,
    make: Callable[[str], HFGenerator | TrainingService],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other, giver = make_model("other", seed=5), make(tiny_model)
    expected = hidden_states(load_base(other), *TEXTS, LAYERS, context=128)
    np.testing.assert_allclose(giver.hidden_states(other, *TEXTS, LAYERS), expected, atol=1e-5)
    monkeypatch.setattr(f"{type(giver).__module__}.load_base", None)
    np.testing.assert_allclose(giver.hidden_states(other, *TEXTS, LAYERS), expected, atol=1e-5)
    with pytest.raises(ValueError, match="role 'learner' is an adapter of"):
        giver.hidden_states(other, *TEXTS, LAYERS, role="learner")


def test_several_engines_give_the_states_of_one(tiny_model: str) -> None:
    made = ({"learner": tiny_model}, LORA, GeneratorConfig(), 1)
    pool = GeneratorPool(InlineCluster(), HFGenerator, made, 1, least=1, most=3)
    pool.resize(dict.fromkeys(range(3)))
    expected = engine(tiny_model).hidden_states(tiny_model, *TEXTS, LAYERS)
    np.testing.assert_allclose(pool.hidden_states(tiny_model, *TEXTS, LAYERS), expected, atol=1e-5)
    assert pool.hidden_states(tiny_model, [], [], LAYERS).shape == (0, *expected.shape[1:])


def test_the_trainer_gives_the_states_that_the_engine_gives(tiny_model: str) -> None:
    service, generator = TrainingService({"learner": tiny_model}, LORA, threads=1), engine(tiny_model)
    service.train("learner", "dpo", pairs(), dpo(learning_rate=5e-2, batch_size=4), [], seed=0)
    generator.load_adapter("learner", service.adapter("learner"), 1)
    base = generator.hidden_states(tiny_model, *TEXTS, LAYERS)
    trained = generator.hidden_states(tiny_model, *TEXTS, LAYERS, role="learner")
    assert np.abs(trained - base).max() > 0.01
    np.testing.assert_allclose(service.hidden_states(tiny_model, *TEXTS, LAYERS), base, atol=1e-5)
    np.testing.assert_allclose(service.hidden_states(tiny_model, *TEXTS, LAYERS, role="learner"), trained, atol=1e-4)


def test_an_adapter_with_nan_is_told(tiny_model: str) -> None:
    generator = engine(tiny_model)
    broken = {name: value * np.float32(np.nan) for name, value in adapter(tiny_model, 1).items()}
    generator.load_adapter("learner", broken, 1)
    with pytest.raises(UserError, match="the hidden states are NaN"):
        generator.hidden_states(tiny_model, *TEXTS, LAYERS, role="learner")


def test_a_vllm_engine_says_who_has_hidden_states() -> None:
    with pytest.raises(UserError, match=r"gives no hidden states .* its trainer gives them"):
        VLLMGenerator.__new__(VLLMGenerator).hidden_states("testbed", *TEXTS, LAYERS)
