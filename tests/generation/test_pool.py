"""Several engines answer as one: the same whoever does what, and also when some of them are lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.config.sections import ClusterConfig, GeneratorConfig, LoraConfig
from superalign.errors import ActorLost, InsufficientResources, UserError
from superalign.generation import pool as pool_module
from superalign.generation.base import Generation, GenerationRequest
from superalign.generation.hf import HFGenerator
from superalign.generation.pool import GeneratorPool
from superalign.runtime.actors import current_call
from superalign.runtime.cluster import Cluster, InlineCluster
from superalign.runtime.connection import start
from superalign.runtime.ray_cluster import RayCluster
from tests.generation.pool_parts import Speller

MODELS = {"learner": "testbed-small", "critic": "testbed-small"}
CONFIG = ClusterConfig(start_timeout_s=60, call_timeout_s=60, max_restarts=1, threads=1)


def inline(engines: int, engine: type[Any] = HFGenerator) -> GeneratorPool:
    pool = GeneratorPool(InlineCluster(), engine, (MODELS, LoraConfig(r=4), GeneratorConfig(), 1), 1, least=1, most=3)
    pool.resize(dict.fromkeys(range(engines)))
    return pool


def spellers(cluster: Cluster, engines: int) -> GeneratorPool:
    pool = GeneratorPool(cluster, Speller, (list(MODELS),), 1, least=1, most=3)
    pool.resize(dict.fromkeys(range(engines)))
    return pool


def kill(pool: GeneratorPool, number: int) -> None:
    os.kill(pool._cluster.pid(f"generator-{number}"), signal.SIGKILL)


def requests(count: int) -> list[GenerationRequest]:
    roles = ("learner", "critic")
    return [GenerationRequest(roles[i % 2], tuple(range(5, 7 + i % 9)), 4 + i % 5, 1.0) for i in range(count)]


class Held(HFGenerator):
    """Waits in its first piece until somebody else has done all the others."""

    lock, done = threading.Lock(), threading.Event()
    held = False
    sizes: list[int] = []  # noqa: RUF012

    def generate(self, requests: Sequence[GenerationRequest], seed: int) -> list[Generation]:
        with self.lock:
            mine, Held.held = not Held.held, True
        if mine:
            assert self.done.wait(30)
        with self.lock:
            self.sizes.append(len(requests))
            if sum(self.sizes) + 2 >= 40:  # 40 requests, 3 engines at most: pieces of 2
                self.done.set()
        return super().generate(requests, seed)


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    with start(CONFIG, tmp_path_factory.mktemp("pool") / "logs") as cluster:
        yield cluster  # type: ignore[misc]


def test_results_do_not_depend_on_the_number_of_engines() -> None:
    one, three = inline(1), inline(3)
    asked = requests(40)
    assert three.generate(asked, seed=3) == one.generate(asked, seed=3)
    prompts, ends = [r.prompt_ids for r in asked], [r.prompt_ids[:2] for r in asked]
    assert three.choice_logits("learner", prompts, [7, 9]) == one.choice_logits("learner", prompts, [7, 9])
    found = three.sequence_logprobs(None, prompts, ends)
    assert found == one.sequence_logprobs(None, prompts, ends)
    plain = HFGenerator(MODELS, LoraConfig(r=4), GeneratorConfig(), 1)
    np.testing.assert_allclose(found, plain.sequence_logprobs(None, prompts, ends), atol=1e-5)
    texts = [g.token_ids for g in plain.generate(asked, seed=3)]
    assert [g.token_ids for g in three.generate(asked, seed=3)] == texts
    assert three.generate([], seed=0) == []


def test_a_slow_piece_holds_up_nobody_else() -> None:
    inline(2, Held).generate(requests(40), seed=0)
    assert sum(Held.sizes) == 40 and len(Held.sizes) == 20


def test_a_lost_engine_stands_again_with_the_adapters_of_the_others(ray: RayCluster, tmp_path: Path) -> None:
    pool = spellers(RayCluster(CONFIG, tmp_path), 2)
    before = pool.generate(requests(12), seed=1)
    assert pool.load_adapter("learner", {"added": 100}, 7) == 7
    after = pool.generate(requests(12), seed=1)
    assert [g.version for g in after[:2]] == [7, 0] and after[0].token_ids[-1] == before[0].token_ids[-1] + 100
    kill(pool, 0)
    assert pool.generate(requests(12), seed=1) == after
    assert pool.versions() == pool._engines[0].versions() == {"learner": 7, "critic": 0}
    kill(pool, 0)  # once more than cluster.max_restarts: the other engine goes on alone
    assert pool.generate(requests(12), seed=1) == after
    assert list(pool._engines) == [1]
    assert pool.resize({1: None, 2: None}) == 2
    assert pool.generate(requests(12), seed=1) == after and pool._engines[2].versions()["learner"] == 7
    assert pool.resize({2: None}) == 1
    assert pool.generate(requests(12), seed=1) == after


def test_too_few_engines_are_a_loss(ray: RayCluster, tmp_path: Path) -> None:
    pool = spellers(RayCluster(CONFIG.model_copy(update={"max_restarts": 0}), tmp_path), 1)
    kill(pool, 0)
    with pytest.raises(ActorLost, match=r"generator-0 died during generator-0\.generate.*generator-0\.log"):
        pool.generate(requests(4), seed=0)


class Full(InlineCluster):
    """Has room for so many engines."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def ready(self, *names: str) -> None:
        if any(int(name.rpartition("-")[2]) >= self.room for name in names):
            raise InsufficientResources(f"no room for {names}")


def test_engines_that_find_no_room_are_done_without_down_to_the_least() -> None:
    assert list(spellers(Full(2), 3)._engines) == [0, 1]
    with pytest.raises(InsufficientResources, match="generator-2"):
        spellers(Full(0), 3)


class Silent(Speller):
    """Notes until when it may take, and is taken for lost."""

    until: set[float] = set()  # noqa: RUF012

    def generate(self, requests: Sequence[GenerationRequest], seed: int) -> list[Generation]:
        self.until.add(current_call.deadline)
        raise ActorLost("generator", "an engine gave no answer")


def test_engines_that_are_silent_as_long_as_the_whole_call_may_take_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = GeneratorPool(InlineCluster(), Silent, (list(MODELS),), 1, least=1, most=3)
    pool.resize({0: None, 1: None})
    monkeypatch.setattr(current_call, "deadline", time.monotonic())
    with pytest.raises(ActorLost, match="an engine gave no answer"):
        pool.generate(requests(40), seed=0)
    assert {current_call.deadline} == Silent.until
    assert list(pool._engines) == [0, 1]


class Dead(Speller):
    """Is lost at once."""

    def generate(self, requests: Sequence[GenerationRequest], seed: int) -> list[Generation]:
        raise ActorLost("generator", "an engine died")


def test_of_engines_that_are_lost_at_the_same_moment_the_least_is_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = GeneratorPool(InlineCluster(), Dead, (list(MODELS),), 1, least=1, most=2)
    pool.resize({0: None, 1: None})
    both = threading.Barrier(2)

    def meet(*_: object) -> None:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.5)

    monkeypatch.setattr(pool_module.logger, "warning", meet)  # before a loss is told, the other one is there, too
    with pytest.raises(ActorLost, match="an engine died"):
        pool.generate(requests(8), seed=0)
    assert len(pool._engines) == 1


def test_an_error_of_one_engine_is_everybody_s() -> None:
    asked = [*requests(20), GenerationRequest("learner", (), 4, 1.0)]
    with pytest.raises(UserError, match="prompt 20 is empty"):
        inline(2).generate(asked, seed=0)
