"""Adapter sync against an engine that only remembers what it was told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from superalign.config.sections import LoraConfig
from superalign.errors import UserError
from superalign.generation.base import Tensors
from superalign.generation.sync.adapter import AdapterSync, engine_rank, room_for
from superalign.generation.sync.base import Adapter

LORA = LoraConfig(r=2, alpha=4)
KEY = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"


class Remembering:
    """Knows every adapter that it was ever told of, with the files as they were then."""

    def __init__(self, slots: int = 4) -> None:
        self.slots = slots
        self.loaded: dict[int, Adapter] = {}
        self.seen: list[tuple[Adapter, dict[str, Any], Tensors]] = []
        self.answer: bool | Exception = True

    def add_lora(self, adapter: Adapter) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        folder = Path(adapter.path)
        settings = json.loads((folder / "adapter_config.json").read_text())
        self.seen.append((adapter, settings, load_file(folder / "adapter_model.safetensors")))
        if self.answer:
            self.loaded[adapter.number] = adapter
            assert len(self.loaded) < self.slots, "the last slot is not empty"
        return self.answer

    def remove_lora(self, number: int) -> bool:
        return self.loaded.pop(number, None) is not None

    def reload(self, weights: Any) -> None:
        raise NotImplementedError


def tensors(value: float) -> Tensors:
    return {KEY: np.full((2, 3), value, np.float32)}


def make(engine: Remembering, roles: tuple[str, ...] = ("critic", "learner")) -> AdapterSync:
    return AdapterSync(engine, roles, LORA, check=lambda given: None)


def test_a_pushed_adapter_is_loaded_complete_and_served_from_then_on() -> None:
    engine = Remembering()
    sync = make(engine)
    assert (sync.serve("learner"), sync.versions()) == (None, {"critic": 0, "learner": 0})
    assert sync.push("learner", tensors(1.0), 1) == 1
    ((adapter, settings, files),) = engine.seen
    assert sync.serve("learner") == adapter
    assert (adapter.name, Path(adapter.path).name) == ("learner-v1", "learner-v1")
    assert (settings["r"], settings["lora_alpha"], settings["target_modules"]) == (2, 4, ["up_proj"])
    assert np.array_equal(files[KEY], tensors(1.0)[KEY])
    assert sync.serve("critic") is sync.serve(None) is None
    assert sync.versions() == {"critic": 0, "learner": 1}


def test_the_retired_version_leaves_the_engine_and_the_disk() -> None:
    engine = Remembering()
    sync = make(engine)
    for version in range(1, 6):
        for role in ("critic", "learner"):
            sync.push(role, tensors(version), version)
    assert sorted(each.name for each in engine.loaded.values()) == ["critic-v5", "learner-v5"]
    kept = Path(next(iter(engine.loaded.values())).path).parent
    assert sorted(path.name for path in kept.iterdir()) == ["critic-v5", "learner-v5"]


def test_no_name_and_no_number_is_used_twice_even_for_a_version_pushed_again() -> None:
    engine = Remembering()
    sync = make(engine)
    for version in (1, 2, 1, 1, 3):
        sync.push("learner", tensors(version), version)
    assert len({adapter.name for adapter, _, _ in engine.seen}) == 5
    assert len({adapter.number for adapter, _, _ in engine.seen}) == 5
    assert sync.versions()["learner"] == 3


@pytest.mark.parametrize(("answer", "error"), [(False, RuntimeError), (ValueError("no"), ValueError)])
def test_without_acknowledgement_the_role_is_served_as_before(answer: bool | Exception, error: type) -> None:
    engine = Remembering()
    sync = make(engine)
    sync.push("learner", tensors(1.0), 1)
    before = sync.serve("learner")
    engine.answer = answer
    with pytest.raises(error):
        sync.push("learner", tensors(2.0), 2)
    assert before is not None
    assert (sync.serve("learner"), sync.versions()["learner"]) == (before, 1)
    assert [path.name for path in Path(before.path).parent.iterdir()] == ["learner-v1"]
    engine.answer = True
    assert sync.push("learner", tensors(2.0), 2) == 2


def test_tensors_that_do_not_fit_never_reach_the_engine() -> None:
    def refuse(given: Tensors) -> None:
        raise ValueError("fits no layer")

    engine = Remembering()
    with pytest.raises(ValueError, match="fits no layer"):
        AdapterSync(engine, ("learner",), LORA, check=refuse).push("learner", tensors(1.0), 1)
    assert not engine.seen


def test_unknown_roles_are_refused() -> None:
    sync = make(Remembering())
    for call in (lambda: sync.push("judge", tensors(1.0), 1), lambda: sync.serve("judge")):
        with pytest.raises(ValueError, match=r"unknown role 'judge'; this generator serves \['critic', 'learner'\]"):
            call()


def test_more_roles_than_the_engine_has_slots_for_are_refused_at_set_up() -> None:
    assert room_for(2) == 4
    with pytest.raises(UserError, match=r"3 roles \(attacker, critic, learner\) need 5 adapter slots.*max_loras=4"):
        make(Remembering(slots=4), ("attacker", "critic", "learner"))


def test_a_rank_that_the_engine_cannot_serve_is_refused_at_set_up() -> None:
    assert [engine_rank(rank) for rank in (1, 2, 8, 9, 16, 300, 512)] == [1, 8, 8, 16, 16, 320, 512]
    with pytest.raises(UserError, match=r"lora\.r=513: vLLM serves adapters of rank 512 at most"):
        AdapterSync(Remembering(), ("learner",), LoraConfig(r=513), check=lambda given: None)
