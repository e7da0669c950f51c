"""The team: rounds have seeds of their own, and a sync is acknowledged or the run stops."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from rich.console import Console

from superalign.config.compose import load
from superalign.errors import ActorLost, UserError
from superalign.generation.base import Tensors
from superalign.loop.workers import PACKAGES, Workers, stage_seed, versions
from superalign.runtime.cluster import InlineCluster
from superalign.store.run_writer import RunWriter
from tests.roles.parts import Listened, Scripted
from tests.smallest import SMALL


class Stale(Scripted):
    """A generator that goes on serving what it had."""

    def load_adapter(self, role: str, tensors: Tensors, version: int) -> int:
        """Acknowledge another version."""
        return version - 1


def workers(generator: Scripted) -> Workers:
    """A team of the two services that a sync needs."""
    services: Any = SimpleNamespace(generator=generator, trainer=Listened())
    return cast(Workers, services)


def test_every_round_has_a_seed_of_its_own_that_repeats() -> None:
    seeds = {stage_seed(run, number) for run in range(3) for number in range(8)}
    assert len(seeds) == 24
    assert stage_seed(1, 2) == stage_seed(1, 2)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_generator_that_serves_another_version_stops_the_run() -> None:
    Workers.sync(workers(Scripted()), "critic")
    with pytest.raises(RuntimeError, match="critic: the generator serves version -1, the trainer has 0"):
        Workers.sync(workers(Stale()), "critic")


def test_what_is_lost_is_made_anew_once_there_is_room_for_it() -> None:
    told: list[str] = []
    resources = SimpleNamespace(make_room=lambda: told.append("room"))
    cluster = SimpleNamespace(restart=lambda loss: told.append(loss.actor))
    Workers.restart(cast(Workers, SimpleNamespace(resources=resources, cluster=cluster)), ActorLost("trainer-1", "died"))
    assert told == ["room", "trainer-1"]


def test_weights_that_were_written_on_another_node_alone_are_no_round(tmp_path: Path) -> None:
    services: Any = SimpleNamespace(trainer=SimpleNamespace(save=lambda folder: None))
    with pytest.raises(UserError, match=r"run\.root: .*attacker/adapter_model.safetensors, which is not here"):
        Workers.save(services, tmp_path)


def test_the_summary_names_the_versions_of_what_the_run_stands_on() -> None:
    assert set(versions()) == set(PACKAGES)
    assert all(versions().values())


def test_number_format_micro_batches_and_anchors_are_those_of_the_settings(tmp_path: Path) -> None:
    wanted = ("trainer.dtype=bfloat16", "trainer.micro_batch=3", "learner.anchors=7")
    config = load([*SMALL, "model=testbed-small", *wanted, "cluster=inline"])
    with RunWriter.create_or_resume(config.model_dump(), tmp_path, "tried", Console(file=io.StringIO())) as run:
        workers = Workers.make(config, run, InlineCluster())
    trainer: Any = workers.trainer
    assert workers.anchors.most == 7
    assert {(model.dtype, model.micro_batch) for model in trainer._models.values()} == {(torch.bfloat16, 3)}
