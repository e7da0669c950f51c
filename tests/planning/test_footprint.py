"""What weights take, from configs alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from superalign.config.compose import load
from superalign.config.sections import LoraConfig
from superalign.errors import UserError
from superalign.models import load_base
from superalign.planning.footprint import memory, size_of
from superalign.planning.run_plan import Training
from superalign.training.phases import wrap

MODELS = {"attacker": "testbed", "critic": "testbed", "learner": "testbed"}


@pytest.mark.parametrize("model", ["testbed", "testbed-small"])
def test_parameters_of_model_and_adapter_are_counted_exactly(model: str) -> None:
    size = size_of(model, rank=4)
    assert size.parameters == sum(p.numel() for p in load_base(model).parameters())
    adapter = wrap(model, LoraConfig(r=4), "float32")
    assert size.adapter == sum(p.numel() for p in adapter.parameters() if p.requires_grad)


def test_a_users_model_is_counted_without_its_weights(make_model: Callable[..., str]) -> None:
    folder = make_model()
    counted = size_of(folder, rank=8).parameters
    for weights in Path(folder).glob("*.safetensors"):
        weights.write_bytes(b"")
    assert size_of(folder, rank=8).parameters == counted > 0


def test_a_model_whose_config_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="model=hub:nobody/nothing: its size cannot be told"):
        size_of("hub:nobody/nothing", rank=8)


def parts(*words: str) -> dict[str, dict[str, int]]:
    config = load(["recipe=selfplay", *words])
    phase = Training("learner", rows=32, epochs=1, batch=8, completions=2, limit=10)
    found = memory(config, {"testbed": size_of("testbed", config.lora.r)}, MODELS, [phase])
    return {each.process: dict(each.parts) for each in found}


def test_bases_take_half_in_bfloat16_and_a_share_each_where_they_are_sharded() -> None:
    size, usual = size_of("testbed", 16), parts()
    assert usual["engine"]["bases"] == usual["learner worker"]["bases"] == 4 * size.parameters
    assert parts("generator.dtype=bfloat16")["engine"]["bases"] == 2 * size.parameters
    sharded = parts("cluster.learner_workers=2", "cluster.shard=true")
    assert sharded["learner worker"]["bases"] == 2 * size.parameters


def test_each_role_has_an_adapter_and_adam_keeps_two_moments_of_it() -> None:
    size, usual = size_of("testbed", 16), parts()
    assert usual["engine"]["adapters"] == 3 * 4 * size.adapter
    assert usual["learner worker"]["Adam"] == 3 * 8 * size.adapter


def test_a_micro_batch_bounds_what_is_kept_for_the_gradients() -> None:
    usual, cut = (parts(*words)["learner worker"]["activations"] for words in ((), ("trainer.micro_batch=1",)))
    assert usual == 16 * cut
