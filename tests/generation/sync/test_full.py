"""Full-weights sync against an engine that only remembers the weights it was sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from superalign.errors import UserError
from superalign.generation.base import Tensors
from superalign.generation.merging import MergingBase
from superalign.generation.sync.base import Adapter
from superalign.generation.sync.full import FullSync, check_single

KEY = "base_model.model.model.layers.0.mlp.up_proj"
WEIGHT = "model.layers.0.mlp.up_proj.weight"


class Remembering:
    slots = 0

    def __init__(self) -> None:
        self.weights: list[dict[str, torch.Tensor]] = []

    def add_lora(self, adapter: Adapter) -> bool:
        raise NotImplementedError

    def remove_lora(self, number: int) -> bool:
        raise NotImplementedError

    def reload(self, weights: Iterable[tuple[str, Any]]) -> None:
        self.weights.append({name: tensor.clone() for name, tensor in weights})


def base() -> MergingBase:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    return MergingBase(AutoModelForCausalLM.from_config(config).eval().requires_grad_(False), scale=2.0)


def adapter(value: float) -> Tensors:
    return {
        f"{KEY}.lora_A.weight": torch.ones(2, 8).numpy(),
        f"{KEY}.lora_B.weight": torch.full((8, 2), value).numpy(),
    }


def test_merged_weights_are_sent_whole_with_the_output_head_of_tied_embeddings() -> None:
    engine, merging = Remembering(), base()
    before = merging.model.get_parameter(WEIGHT).clone()
    sync = FullSync(engine, ["learner", "judge"], merging)
    assert sync.push("learner", adapter(0.5), 3) == 3
    (sent,) = engine.weights
    assert set(sent) == set(merging.model.state_dict())
    assert torch.equal(sent["lm_head.weight"], sent["model.embed_tokens.weight"])
    assert torch.allclose(sent[WEIGHT], before + 2.0 * 2 * 0.5)
    assert sync.versions() == {"judge": 0, "learner": 3}


def test_weights_travel_only_when_others_are_needed() -> None:
    engine, merging = Remembering(), base()
    before = merging.model.get_parameter(WEIGHT).clone()
    sync = FullSync(engine, ["learner", "judge"], merging)
    sync.serve("learner")
    sync.serve(None)
    assert not engine.weights
    sync.push("learner", adapter(0.5), 1)
    sync.serve("learner")
    assert len(engine.weights) == 1
    sync.serve(None)
    assert torch.equal(engine.weights[1][WEIGHT], before)
    sync.serve("learner")
    assert torch.equal(engine.weights[2][WEIGHT], engine.weights[0][WEIGHT])


def test_tensors_that_do_not_fit_and_unknown_roles_leave_all_as_it_was() -> None:
    engine = Remembering()
    sync = FullSync(engine, ["learner", "judge"], base())
    with pytest.raises(ValueError, match="belongs to no linear layer"):
        sync.push("learner", {"x.lora_A.weight": torch.ones(2, 8).numpy()}, 1)
    with pytest.raises(ValueError, match="unknown role 'critic'"):
        sync.push("critic", adapter(0.5), 1)
    with pytest.raises(ValueError, match="unknown role 'critic'"):
        sync.serve("critic")
    assert (engine.weights, sync.versions()) == ([], {"judge": 0, "learner": 0})


def test_a_role_never_pushed_is_the_base() -> None:
    engine, merging = Remembering(), base()
    before = merging.model.get_parameter(WEIGHT).clone()
    sync = FullSync(engine, ["learner", "judge"], merging)
    sync.push("learner", adapter(0.5), 1)
    sync.serve("judge")
    assert torch.equal(engine.weights[-1][WEIGHT], before)


def test_a_second_trained_role_on_a_model_is_refused() -> None:
    sync = FullSync(Remembering(), ["critic", "learner"], base())
    sync.push("learner", adapter(0.5), 1)
    with pytest.raises(UserError, match=r"generator\.sync=full serves one trained role per model, but critic, learner"):
        sync.push("critic", adapter(0.5), 1)
    assert sync.versions() == {"critic": 0, "learner": 1}
    check_single({"critic": "testbed", "learner": "other"})
