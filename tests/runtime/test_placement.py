"""What a run needs is computed and checked before anything starts; places come and go with the nodes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from superalign.config.compose import load
from superalign.errors import UserError
from superalign.generation.pool import GeneratorPool
from superalign.loop.rounds import build_workers, open_run
from superalign.loop.workers import Workers
from superalign.runtime import placement
from superalign.runtime.connection import IN_A_JOB, start
from superalign.runtime.placement import Need, ResourcePlan, engines_that_fit, fits, needs
from superalign.runtime.ray_cluster import RayCluster
from superalign.weak_to_strong.worker_pool import worker_pool
from tests.generation.pool_parts import Speller

SPLIT = ["cluster.placement=split", "cluster.start_timeout_s=60"]


def test_needs_are_those_of_the_settings() -> None:
    assert needs(load([])) == []
    split = load([*SPLIT, "generator.engines=4", "generator.tensor_parallel=2", "cluster.learner_workers=8"])
    assert needs(split) == [Need("learner workers", 8, 1, 8), Need("engines", 4, 2, 1)]
    assert list(map(str, needs(split))) == ["8 for 8 learner workers", "8 for 4 engines x 2"]
    on_cpus = load([*SPLIT, "cluster.accelerator=CPU", "cluster.threads=3", "learner=ppo", "learner.reward=judge"])
    assert needs(on_cpus) == [Need("learner workers", 1, 3, 1), Need("engines", 1, 3, 1), Need("reward model", 1, 3, 1)]
    assert [n.count * n.amount for n in needs(load(["cluster=gpu8"]))] == [4, 4]
    assert [n.count * n.amount for n in needs(load(["cluster=gpu1"]))] == [1]


def test_a_reward_model_has_no_room_beside_an_engine_and_a_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "accelerators", lambda kind: [1.0])
    with pytest.raises(UserError, match=r"needs 2 GPUs: .*, 1 for 1 reward model; the cluster has 1: .*=shared"):
        ResourcePlan(load(["cluster=gpu1", "learner=ppo", "learner.reward=judge"]))


@pytest.mark.parametrize(
    ("wanted", "nodes", "fit"),
    [
        ([(8, 1), (4, 2)], [8, 8], True),
        ([(8, 1), (4, 2)], [12], False),
        ([(2, 4)], [6, 2], False),
        ([(4, 1), (1, 4)], [4, 4], True),
        ([(2, 2), (1, 4)], [5, 4], True),
        ([], [], True),
    ],
)
def test_processes_fit_on_nodes_one_by_one(wanted: list[tuple[int, int]], nodes: list[float], fit: bool) -> None:
    assert fits(wanted, nodes) is fit


def test_fewer_engines_than_asked_fit_and_none_fewer_than_the_least() -> None:
    config = load([*SPLIT, "generator.engines=6", "generator.min_engines=2", "cluster.learner_workers=4"])
    assert [engines_that_fit(config, [n]) for n in (16, 8, 6, 5)] == [6, 4, 2, 0]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["cluster=inline", "generator.engines=2"], "cluster=inline is one process"),
        (["cluster=gpu1", "generator.engines=2"], r"set generator\.engines=cluster\.learner_workers \(now 2 and 1\)"),
        (["generator.min_engines=2"], r"generator\.min_engines=2 is more than generator\.engines=1"),
    ],
)
def test_placements_that_cannot_be_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(overrides)


class Paper:
    """A place on paper."""

    def __init__(self, kind: str, amount: float) -> None:
        self.amount, self.stands, self.given_back = amount, True, False

    def is_ready(self, wait_s: float = 0.0) -> bool:
        return self.stands

    def release(self) -> None:
        self.given_back = True


def test_when_a_learner_worker_s_node_is_lost_engines_give_back_what_the_workers_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes = [3.0, 2.0]
    monkeypatch.setattr(placement, "accelerators", lambda kind: nodes)
    monkeypatch.setattr(placement, "Reservation", Paper)
    resources = ResourcePlan(load([*SPLIT, "generator.engines=3", "cluster.learner_workers=2"]))
    before: Any = resources.engines()
    nodes.pop()
    assert resources.make_room() == 1
    assert [place.given_back for place in before.values()] == [False, True, True]
    assert resources.engines() == {0: before[0]}


@pytest.mark.parametrize(("taken", "left"), [((1,), [0, 2]), ((0, 1, 2), [0])])
def test_places_beyond_the_least_that_others_have_taken_are_done_without(
    taken: tuple[int, ...], left: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Paper] = []

    def place(kind: str, amount: float) -> Paper:
        made.append(Paper(kind, amount))
        made[-1].stands = len(made) - 1 not in taken
        return made[-1]

    monkeypatch.setattr(placement, "accelerators", lambda kind: [4.0])
    monkeypatch.setattr(placement, "Reservation", place)
    assert list(ResourcePlan(load([*SPLIT, "generator.engines=3"])).engines()) == left
    assert [number for number, each in enumerate(made) if each.given_back] == sorted({0, 1, 2} - set(left))


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A real cluster of several raylets on this machine, with accelerators that exist on paper."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 4, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


def test_engines_come_and_go_with_the_nodes_and_a_missing_node_is_waited_for(
    nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(placement, "WAIT_SLICE_S", 0.4)
    asked = [*SPLIT, f"cluster.address={nodes.address}", "cluster.learner_workers=3", "cluster.place_timeout_s=0.5"]
    config = load([*asked, "generator.engines=3", "generator.min_engines=2", "generator.tensor_parallel=2"])
    caplog.set_level(logging.INFO)
    with start(config.cluster, tmp_path / "logs") as cluster:
        with pytest.raises(UserError, match=r"needs 9 GPUs: 3 for 3 learner workers, 6 for 3 engines x 2 \(2 engines "):
            ResourcePlan(config)
        assert "waiting for nodes, 0 of 0.5 s" in caplog.text
        patient = config.model_copy(update={"cluster": config.cluster.model_copy(update={"place_timeout_s": 60.0})})
        with ThreadPoolExecutor(1) as beside:
            waiting = beside.submit(ResourcePlan, patient)
            nodes.add_node(num_cpus=1, num_gpus=4)
            resources = waiting.result(60)
        pool = GeneratorPool(cluster.nested(), Speller, (["learner"],), 1, least=1, most=3)
        assert pool.resize(resources.engines()) == 2
        learners = [resources.reserve_one() for _ in range(3)]
        assert all(place and place.is_ready(wait_s=30) for place in learners)
        third = nodes.add_node(num_cpus=1, num_gpus=2)
        places = resources.engines()
        assert pool.resize(places) == 3 and set(places) == {0, 1, 2}
        assert pool.load_adapter("learner", {"added": 1}, 5) == 5
        nodes.remove_node(third)
        assert isinstance(pool._cluster, RayCluster)
        assert pool.load_adapter("learner", {"added": 1}, 6) == 6
        assert len(pool._engines) == 2
        assert pool.resize(resources.engines()) == 2


def test_a_job_waits_for_nodes_of_the_cluster_that_runs_it(
    nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(placement, "WAIT_SLICE_S", 0.4)
    monkeypatch.setenv(IN_A_JOB, "{}")
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    monkeypatch.setattr(Workers, "make", lambda config, run, cluster: ResourcePlan(config))
    config = load([*SPLIT, "cluster.learner_workers=30", "cluster.place_timeout_s=0.5", f"run.root={tmp_path}"])
    caplog.set_level(logging.INFO)
    with open_run(config) as run, pytest.raises(UserError, match="needs 31 GPUs"):
        assert run is not None
        with build_workers(config, run):
            pass
    assert "waiting for nodes, 0 of 0.5 s" in caplog.text


def test_workers_of_weak_to_strong_are_spread_over_the_cpus_of_a_cluster_that_is_joined(
    nodes: Any, tmp_path: Path
) -> None:
    from ray.util.placement_group import placement_group_table

    nodes.add_node(num_cpus=1)
    config = load(["recipe=weak_to_strong", f"cluster.address={nodes.address}", "cluster.threads=2"])
    with start(config.cluster, tmp_path / "logs") as cluster, worker_pool(config, cluster, tmp_path):
        assert isinstance(cluster, RayCluster)
        places = [cluster._actors[name].place for name in ("worker0", "worker1")]
        assert all(place and place.is_ready(wait_s=30) for place in places)
        tables = [placement_group_table(place._group) for place in places if place]
        assert tables[0]["bundles_to_node_id"] != tables[1]["bundles_to_node_id"]
