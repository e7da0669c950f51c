"""Which accelerators engines and learner workers need, and the places that Ray reserves for them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superalign.config.schema import Config
from superalign.errors import UserError
from superalign.runtime.actors import WAIT_SLICE_S

# Of a GPU that an engine and a learner worker share. More than a half for the engine: two of them never share one.
ENGINE_SHARE, LEARNER_SHARE = 0.6, 0.4
SURPLUS_WAIT_S = 5.0  # for places of engines beyond the least, which others on the cluster may have taken

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Need:
    """`count` processes of one kind, `least` of them at least, each with `amount` accelerators of one node."""

    what: str
    count: int
    amount: int
    least: int

    def __str__(self) -> str:
        return f"{self.amount * self.count} for {self.count} {self.what}" + (
            f" x {self.amount}" if self.amount > 1 else ""
        )


def engine_amount(config: Config) -> int:
    """Accelerators of one engine: GPUs of its tensor parallelism, or CPUs."""
    return config.generator.tensor_parallel if config.cluster.accelerator == "GPU" else config.cluster.threads


def needs(config: Config) -> list[Need]:
    """What a run reserves; nothing with `cluster.placement=shared`."""
    cluster, generator = config.cluster, config.generator
    workers = cluster.learner_workers
    if cluster.placement == "shared":
        return []
    each = 1 if cluster.accelerator == "GPU" else cluster.threads
    if cluster.placement == "colocated":
        found = [Need("engines, each beside a learner worker", workers, 1, workers)]
    else:
        found = [
            Need("learner workers", workers, each, workers),
            Need("engines", generator.engines, engine_amount(config), generator.min_engines),
        ]
    return [*found, Need("reward model", 1, each, 1)] if getattr(config.learner, "reward", None) else found


def fits(wanted: Sequence[tuple[int, int]], nodes: Sequence[float]) -> bool:
    """Whether nodes with so many accelerators hold (count, amount) processes, the largest placed first.

    Exact where amounts divide one another, as powers of two do; else it may say no too early.
    """
    free = list(nodes)
    for size in sorted((amount for count, amount in wanted for _ in range(count)), reverse=True):
        place = min((i for i, room in enumerate(free) if room >= size), key=lambda i: free[i], default=None)
        if place is None:
            return False
        free[place] -= size
    return True


def engines_that_fit(config: Config, nodes: Sequence[float]) -> int:
    """How many of `generator.engines` the nodes hold beside everything else; 0 where not even the least do."""
    found = needs(config)
    for count in range(config.generator.engines, config.generator.min_engines - 1, -1):
        if fits([(count if need.what == "engines" else need.count, need.amount) for need in found], nodes):
            return count
    return 0


def accelerators(kind: str) -> list[float]:
    """How many accelerators of a kind each living node has, those without left out."""
    import ray

    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    found = (node["Resources"].get(kind, 0.0) for node in nodes if node["Alive"])
    return [number for number in found if number]


def await_room(config: Config) -> int:
    """Wait until the cluster holds the least of everything; a Ray of our own, which never grows, is not waited for.

    Returns:
        How many engines it holds.

    Raises:
        UserError: it does not, or not within `cluster.place_timeout_s`.
    """
    cluster = config.cluster
    limit = 0.0 if cluster.address == "local" else cluster.place_timeout_s
    began = time.monotonic()
    while True:
        nodes = accelerators(cluster.accelerator)
        if count := engines_that_fit(config, nodes):
            return count
        waited = time.monotonic() - began
        has = f"{sum(nodes):g}" + (f" on {len(nodes)} nodes" if len(nodes) > 1 else "")
        least = f" ({config.generator.min_engines} engines at least)" if config.generator.min_engines > 1 else ""
        line = (
            f"the run needs {sum(n.count * n.amount for n in needs(config))} {cluster.accelerator}s: "
            f"{', '.join(map(str, needs(config)))}{least}; the cluster has {has}"
        )
        if waited >= limit:
            raise UserError(
                f"{line}: add nodes, lower generator.engines, generator.tensor_parallel or cluster.learner_workers, or "
                "use cluster.placement=shared"
            )
        logger.info("waiting for nodes, %.0f of %g s: %s", waited, limit, line)
        time.sleep(min(WAIT_SLICE_S, limit - waited))


class Reservation:
    """Accelerators of one node reserved for one process, also while that process is started again.

    A placement group of one bundle (STRICT_PACK). When its node dies Ray moves it to where there is room, or will be.
    """

    def __init__(self, kind: str, amount: float) -> None:
        """Ask for the place; returns at once."""
        from ray.util.placement_group import placement_group

        self._kind, self._amount = kind, amount
        self._group: Any = placement_group([{kind: amount}], strategy="STRICT_PACK")

    def __str__(self) -> str:
        return f"{self._amount:g} {self._kind}s of one node"

    def is_ready(self, wait_s: float = 0.0) -> bool:
        """Whether the place is on a living node; waits so many seconds for it."""
        from ray.util.placement_group import placement_group_table

        if wait_s:
            self._group.wait(timeout_seconds=wait_s)
        return bool(placement_group_table(self._group)["state"] == "CREATED")

    def release(self) -> None:
        """Give the place back; the process on it ends."""
        from ray.util.placement_group import remove_placement_group

        remove_placement_group(self._group)

    def options(self) -> dict[str, Any]:
        """What Ray's `.options` of the actor must be told."""
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        return {
            "num_gpus": self._amount if self._kind == "GPU" else 0,
            "num_cpus": self._amount if self._kind == "CPU" else 0,
            "scheduling_strategy": PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=0),
        }


class ResourcePlan:
    """The places of a run's processes; its engines have as many as the cluster has room for.

    Raises:
        UserError: see `await_room`.
    """

    def __init__(self, config: Config) -> None:
        """Reserve places for the least that the run needs."""
        self._config = config
        self.shared = config.cluster.placement == "shared"
        self._engines: dict[int, Reservation] = {}
        if not self.shared:
            await_room(config)

    def reserve_one(self) -> Reservation | None:
        """A place for one learner worker, or for a reward model."""
        if self.shared:
            return None
        cluster = self._config.cluster
        amount = 1.0 if cluster.accelerator == "GPU" else float(cluster.threads)
        return Reservation(cluster.accelerator, LEARNER_SHARE if cluster.placement == "colocated" else amount)

    def make_room(self) -> int:
        """Wait until the cluster holds the least of everything, and give back the engines' places beyond what it holds.

        Returns:
            How many engines it holds.
        """
        if self.shared:
            return self._config.generator.engines
        count, held = await_room(self._config), self._engines
        for number in sorted(held, key=lambda n: (held[n].is_ready(), -n))[: max(0, len(held) - count)]:
            held.pop(number).release()
        return count

    def engines(self) -> Mapping[int, Reservation | None]:
        """The engines' places by number, after the cluster has grown or shrunk; surplus ones are given back.

        Those beyond the least are there already.
        """
        if self.shared:
            return dict.fromkeys(range(self._config.generator.engines))
        number = 1 + max(self._engines, default=-1)
        count, cluster = self.make_room(), self._config.cluster
        share = ENGINE_SHARE if cluster.placement == "colocated" else 1.0
        for fresh in range(number, number + count - len(self._engines)):
            self._engines[fresh] = Reservation(cluster.accelerator, share * engine_amount(self._config))
        self._give_up_missing()
        return dict(self._engines)

    def _give_up_missing(self) -> None:
        """What the cluster has, others may use: a place beyond the least that does not come is done without."""
        held, least, end = self._engines, self._config.generator.min_engines, time.monotonic() + SURPLUS_WAIT_S
        if len(held) <= least:
            return
        missing = [n for n, place in held.items() if not place.is_ready(max(0.0, end - time.monotonic()))]
        for number in missing[max(0, least - (len(held) - len(missing))) :]:
            logger.warning("no room for engine %d (%s): others use the cluster", number, held[number])
            held.pop(number).release()
