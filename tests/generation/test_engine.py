"""What an engine tells vLLM, and when one that shares its GPU sleeps and wakes.

vLLM sleeps on GPUs only, so its `LLM` is a stand-in here.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from superalign.config.sections import GeneratorConfig
from superalign.generation.engine import VLLMEngine, llm_arguments
from superalign.generation.sync.base import Adapter


class Told:
    """Notes what it is told, and refuses what a sleeping engine cannot do."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.asleep = False
        loras = {name: self._awake(name) for name in ("add_lora", "remove_lora", "list_loras")}
        self.llm_engine = SimpleNamespace(**loras)
        self.collective_rpc, self.reset_prefix_cache = self._awake("reload"), self._awake("reset")

    def sleep(self, level: int) -> None:
        """To sleep."""
        assert not self.asleep and level == 1
        self.asleep = True
        self.heard.append("sleep")

    def wake_up(self) -> None:
        """Awake."""
        self.asleep = False
        self.heard.append("wake")

    def _awake(self, name: str) -> Any:
        def call(*_: Any, **__: Any) -> bool:
            assert not self.asleep, f"{name} while asleep"
            self.heard.append(name)
            return True

        return call


def engine(sleeps: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[VLLMEngine, Told]:
    """An engine around a stand-in."""
    made, told = VLLMEngine.__new__(VLLMEngine), Told()
    made.slots, made._sleeps, made._asleep, made._llm = 0, sleeps, False, told
    monkeypatch.setattr(made, "_request", lambda adapter: adapter)
    return made, told


def test_a_sleeping_engine_wakes_before_anything_is_done_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made, told = engine(True, monkeypatch)
    does = {
        "reset": lambda: made.run([], [], []),
        "add_lora": lambda: made.add_lora(Adapter("learner-v1", 1, "folder")),
        "remove_lora": lambda: made.remove_lora(1),
        "reload": lambda: made.reload([]),
    }
    for name, do in does.items():
        made.sleep()
        made.sleep()
        told.heard.clear()
        do()
        assert told.heard[:2] == ["wake", name]
        do()
        assert "wake" not in told.heard[2:]


def test_an_engine_that_shares_nothing_never_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    made, told = engine(False, monkeypatch)
    made.sleep()
    made.run([], [], [])
    assert told.heard == ["reset"]


@pytest.mark.parametrize(("gpus", "executor"), [(1, None), (2, "mp")])
def test_an_engine_on_several_gpus_starts_its_own_processes_on_them(gpus: int, executor: str | None) -> None:
    told = llm_arguments("testbed", 64, None, GeneratorConfig(backend="vllm", tensor_parallel=gpus), 1, cuda=True)
    assert told["tensor_parallel_size"] == gpus
    assert told.get("distributed_executor_backend") == executor
