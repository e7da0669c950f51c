"""What untrained models say is remembered, and only that."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from superalign.generation.base import GenerationRequest
from superalign.generation.hf import HFGenerator
from tests.generation.test_hf import adapter
from tests.roles.parts import serve

sys.path.insert(0, str(Path(__file__).parent))
from remembered import Memory, _role_of_requests, remembering_calls, remembering_states

PROMPTS = [(5, 6, 7), (8, 9)]


def test_only_an_untrained_model_is_remembered_and_to_the_bit(tmp_path: Path) -> None:
    memory, engine, made = Memory(tmp_path / "m.sqlite"), serve(), list[str]()

    def counted(call: Any) -> Any:
        def counting(*asked: Any, **named: Any) -> Any:
            made.append(call.__name__)
            return call(*asked, **named)

        counting.__name__ = call.__name__
        return counting

    generate = remembering_calls(counted(HFGenerator.generate), memory, _role_of_requests)
    states = remembering_states(counted(HFGenerator.hidden_states), memory)
    requests = [GenerationRequest("learner", prompt, 4, 0.7) for prompt in PROMPTS]
    fresh = generate(engine, requests, seed=0)
    read = states(engine, "testbed", PROMPTS, PROMPTS, [1])
    assert generate(engine, requests, seed=0) == fresh and made == ["generate", "hidden_states"]
    assert (states(engine, "testbed", PROMPTS, PROMPTS, [1]) == read).all() and len(made) == 2
    assert (read == engine.hidden_states("testbed", PROMPTS, PROMPTS, [1])).all()
    generate(engine, requests, seed=1)
    assert made[2:] == ["generate"]
    engine.load_adapter("learner", adapter("testbed", 1), 1)
    for _ in range(2):
        generate(engine, requests, seed=0)
    assert made[3:] == ["generate", "generate"]
