"""Several workers train as one does: gloo processes of Ray Train against a plain object."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from superalign.config.sections import ClusterConfig
from superalign.errors import ActorLost
from superalign.runtime.cluster import Cluster
from superalign.runtime.connection import start
from tests.training import parts
from tests.training.parts import ANCHORED, CASES, CLOSE, BothServices, WatchedService, rows
from tests.training.phases import SFT, dpo, policy, sft

LONG = ("dpo", rows(40), dpo(batch_size=4, epochs=5, nll=0.05, **ANCHORED), rows(9), 1)
ROLES = (*CASES, "micro_batched", "long", "saved", "fresh")


class Workers(NamedTuple):
    """Two workers, one worker and where the two log."""

    cluster: Cluster
    two: BothServices
    one: WatchedService
    logs: Path

    def pids(self) -> dict[str, list[int]]:
        """Of the processes that each worker has had so far."""
        names = ("trainer-0", "trainer-1")
        return {
            n: [int(i) for i in re.findall(r"starts: pid (\d+)", (self.logs / f"{n}.log").read_text())] for n in names
        }


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Nothing of it is left when it ends."""
    logs = tmp_path_factory.mktemp("logs")
    with start(ClusterConfig(threads=2, learner_workers=2, max_restarts=1), logs) as cluster:
        two = cluster.spawn("trainer", BothServices, ROLES, threads=2, workers=2)
        one = WatchedService(ROLES)
        cluster.ready()
        yield (made := Workers(cluster, two, one, logs))
    assert not [pid for pids in made.pids().values() for pid in pids if Path(f"/proc/{pid}").exists()]


def apart(workers: Workers, service: str, role: str) -> float:
    """How far the adapters that one and two workers have of a role are from each other; see `parts.apart`."""
    theirs = workers.two.on(service, "adapter", role)
    return parts.apart(workers.one.adapter(role), theirs, workers.one.adapter("fresh"))


@pytest.mark.parametrize("name", CASES)
def test_workers_that_share_the_base_have_the_losses_of_one_worker_in_every_algorithm(
    workers: Workers, name: str
) -> None:
    algorithm, *args = CASES[name]
    expected = workers.one.losses(algorithm, name, *args)
    assert workers.two.on("sharded", "losses", algorithm, name, *args) == pytest.approx(expected, **CLOSE)
    assert apart(workers, "sharded", name) < 1e-3


@pytest.mark.parametrize("name", ["cdpo", "kto", "sft", "grpo", "ppo"])
def test_workers_that_share_the_base_can_run_it_on_one_row_at_a_time(workers: Workers, name: str) -> None:
    algorithm, *args = CASES[name]
    workers.two.on("sharded", "set_micro_batch", 1)
    workers.two.on("sharded", "rows")
    expected = workers.one.losses(algorithm, "micro_batched", *args)
    assert workers.two.on("sharded", "losses", algorithm, "micro_batched", *args) == pytest.approx(expected, **CLOSE)
    assert set(workers.two.on("sharded", "rows")) == {1}
    workers.two.on("sharded", "set_micro_batch", None)


def test_fifty_steps_of_two_workers_are_those_of_one(workers: Workers) -> None:
    algorithm, *args = LONG
    expected = workers.one.losses(algorithm, "long", *args)
    assert len(expected) == 50
    assert workers.two.on("whole", "losses", algorithm, "long", *args) == pytest.approx(expected, **CLOSE)
    assert apart(workers, "whole", "long") < 1e-3


def test_each_worker_runs_the_model_on_half_of_the_rows(workers: Workers) -> None:
    workers.two.on("whole", "rows")
    workers.two.on("whole", "train", "saved", SFT, rows(9), sft(batch_size=6), (), 1)
    assert workers.two.on("whole", "rows") == [3, 2]


def test_workers_that_share_the_base_hold_half_of_it(workers: Workers) -> None:
    held = workers.two.on("sharded", "held")
    assert sum(mine for _, mine in held) == pytest.approx(0.5 * sum(whole for whole, _ in held), rel=0.02)
    assert all(mine == whole for whole, mine in workers.two.on("whole", "held"))


def test_the_mismatch_is_measured_over_the_rows_of_all_workers(workers: Workers) -> None:
    assert workers.two.on("sharded", "mismatch", "cdpo", rows(7)) == pytest.approx(
        workers.one.mismatch("cdpo", rows(7)), rel=1e-4
    )


@pytest.mark.parametrize("role", [None, "saved"])
def test_workers_that_share_the_base_give_the_hidden_states_of_one(workers: Workers, role: str | None) -> None:
    asked = ("testbed-small", [(5, 6, 7), (8,), (9, 10)], [(11, 12), (13, 14, 15), ()], [0, 2], role)
    found = workers.two.on("sharded", "hidden_states", *asked)
    np.testing.assert_allclose(found, workers.one.hidden_states(*asked), atol=1e-4)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_what_some_workers_save_another_number_of_them_goes_on_with(
    workers: Workers, tmp_path: Path, before: int, after: int
) -> None:
    fresh, straight = WatchedService(ROLES), WatchedService(ROLES)
    fresh.save(tmp_path / "fresh")
    workers.two.on("sharded", "load", tmp_path / "fresh")
    calls = {1: lambda method, *args: getattr(fresh, method)(*args), 2: lambda *args: workers.two.on("sharded", *args)}
    first = ("ppo", "saved", rows(8), policy("ppo", batch_size=4), (), 1)
    second = ("ppo", "saved", rows(8, seed=2), policy("ppo", batch_size=4), (), 2)
    straight.losses(*first)
    calls[before]("losses", *first)
    calls[before]("save", tmp_path / "saved")
    calls[after]("load", tmp_path / "saved")
    assert calls[after]("losses", *second) == pytest.approx(straight.losses(*second), **CLOSE)
    assert calls[after]("version", "saved") == 2
    straight.save(tmp_path / "straight")
    names = [sorted(p.name for p in (tmp_path / f / "saved").iterdir()) for f in ("saved", "straight")]
    assert names[0] == names[1]


def test_what_all_workers_raise_is_raised_as_it_is_and_they_go_on(workers: Workers) -> None:
    with pytest.raises(ValueError, match="nothing to train on") as raised:
        workers.two.on("whole", "train", "saved", SFT, [], sft(), (), 0)
    assert "trainer-0" in raised.value.__notes__[0]
    assert workers.two.on("whole", "version", "saved") >= 0


def test_a_worker_that_fails_alone_ends_the_group(workers: Workers) -> None:
    with pytest.raises(ActorLost, match=r"failed on trainer-1 alone: ZeroDivisionError.*trainer-1\.log"):
        workers.two.on("whole", "alone")


@pytest.mark.slow
def test_a_worker_killed_in_a_phase_is_named_with_its_log_and_all_start_again_and_none_of_those_before_is_left(
    workers: Workers, tmp_path: Path
) -> None:
    before = workers.pids()
    with pytest.raises(ActorLost, match=r"trainer-1 died during trainer\.on.*trainer-1\.log") as lost:
        workers.two.on("whole", "killed", "saved", rows(4), dpo())
    assert lost.value.actor == "trainer-1"
    workers.cluster.restart(lost.value)
    for name, pids in workers.pids().items():
        assert len(pids) == len(before[name]) + 1
        assert not os.path.exists(f"/proc/{before[name][-1]}")
    fresh = WatchedService(ROLES)
    fresh.save(tmp_path)
    workers.two.on("whole", "load", tmp_path)
    algorithm, *args = CASES["cdpo"]
    expected = fresh.losses(algorithm, "saved", *args)
    assert workers.two.on("whole", "losses", algorithm, "saved", *args) == pytest.approx(expected, **CLOSE)
