"""Roles and services as actors on Ray, all made anew after one is lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from superalign.config.sections import ClusterConfig
from superalign.errors import ActorLost, InsufficientResources, UserError
from superalign.runtime.actors import WAIT_SLICE_S, Host, Proxy, dump, outcome
from superalign.runtime.cluster import Cluster
from superalign.runtime.lazy_class import LazyClass, methods
from superalign.runtime.worker_group import WorkerGroup

if TYPE_CHECKING:
    from superalign.runtime.placement import Reservation

T = TypeVar("T")

HELLO_LIMIT_S = 5.0

logger = logging.getLogger(__name__)


@dataclass
class _Actor:
    """What it takes to make an actor again; `proxy` is kept and given the new handle."""

    cls: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    threads: int
    calls: int
    workers: int
    place: Reservation | None
    proxy: Proxy
    pid: int | None = None


class RayCluster:
    """Objects live in one actor process each, on a Ray that is connected already."""

    def __init__(self, config: ClusterConfig, log_dir: Path) -> None:
        self._config = config
        self._log_dir = log_dir
        self._actors: dict[str, _Actor] = {}
        self._restarts = 0

    def spawn(
        self,
        name: str,
        cls: type[T] | LazyClass[T],
        *args: Any,
        threads: int = 1,
        calls: int = 1,
        workers: int = 1,
        place: Any = None,
        **kwargs: Any,
    ) -> T:
        """Start an actor without waiting for it; the proxy can be passed on at once."""
        if name in self._actors:
            raise ValueError(f"{name} is already spawned")
        log_file = str(self._log_dir / f"{name}.log")
        proxy = Proxy(name, methods(cls), log_file, self._config.call_timeout_s, None)
        actor = _Actor(cls, args, kwargs, threads, calls, workers, place, proxy)
        self._launch(name, actor)
        self._actors[name] = actor
        return cast(T, proxy)

    def nested(self) -> Cluster:
        """Pickles; the actors that its receiver starts are its own, and Ray ends them with it."""
        return RayCluster(self._config, self._log_dir)

    def ready(self, *names: str) -> None:
        """Wait for these actors or all of them together, `cluster.start_timeout_s` at most once they have places."""
        awaited = {name: self._actors[name] for name in names or self._actors}
        for name, actor in awaited.items():
            if actor.place:
                self._await_place(name, actor.place)
        self._await_start(awaited)

    def _await_place(self, name: str, place: Reservation) -> None:
        began, limit = time.monotonic(), self._config.place_timeout_s
        while not place.is_ready(wait_s=min(WAIT_SLICE_S, limit)):
            waited = time.monotonic() - began
            if waited >= limit:
                raise InsufficientResources(
                    f"no room for {name} ({place}) within {limit:g} s (cluster.place_timeout_s): others use the "
                    "cluster, or a node of it has gone"
                )
            logger.info("waiting %.0f of %g s for room for %s (%s)", waited, limit, name, place)

    def _await_start(self, awaited: dict[str, _Actor], movable: bool = True) -> None:
        """Wait for the actors' greetings; without `movable` one whose place is lost is not waited for."""
        import ray

        hellos = {name: actor.proxy._handle.hello.remote() for name, actor in awaited.items()}
        end = time.monotonic() + self._config.start_timeout_s
        pending = list(hellos.values())
        while pending and time.monotonic() < end:
            _, pending = ray.wait(
                pending, num_returns=len(pending), timeout=min(WAIT_SLICE_S, max(0.0, end - time.monotonic()))
            )
            late = [name for name, hello in hellos.items() if hello in pending]
            if late:
                logger.info("waiting for %s to start; logs in %s", ", ".join(late), self._log_dir)
            for name in () if movable else late:
                _check_place(name, awaited[name].place)
        if pending:
            raise UserError(
                f"{', '.join(late)} did not start within {self._config.start_timeout_s:g} s: see {self._log_dir}, "
                "free resources or raise cluster.start_timeout_s"
            )
        for name, actor in awaited.items():
            what = f"{name} start"
            actor.pid = outcome(name, what, hellos[name], actor.proxy._log_file, HELLO_LIMIT_S)

    def restart(self, loss: ActorLost) -> None:
        """Kill what is left and launch everything again, in the order of spawning; waits until it stands."""
        self._relaunch(self._actors, loss, movable=True)

    def replace(self, name: str, loss: ActorLost) -> None:
        """Kill what is left of the actor and launch it again; waits until it stands."""
        self._relaunch({name: self._actors[name]}, loss, movable=False)

    def _relaunch(self, actors: dict[str, _Actor], loss: ActorLost, movable: bool) -> None:
        """Make actors anew, as often as may be; without `movable` only where their places still are."""
        import ray

        while self._restarts < self._config.max_restarts:
            for name, actor in actors.items():
                _check_place(name, None if movable else actor.place)
            self._restarts += 1
            logger.warning("%s; restart %d of %d", loss, self._restarts, self._config.max_restarts)
            for actor in actors.values():
                ray.kill(actor.proxy._handle)
            for name, actor in actors.items():
                self._launch(name, actor)
            try:
                return self.ready() if movable else self._await_start(actors, movable)
            except ActorLost as again:
                loss = again
        raise loss

    def reset_restarts(self) -> None:
        """Count restarts from here."""
        self._restarts = 0

    def end(self, name: str) -> None:
        """Kill the actor."""
        import ray

        ray.kill(self._actors.pop(name).proxy._handle)

    def pid(self, name: str) -> int:
        """The actor's process id, on its own machine."""
        actor = self._actors[name]
        if actor.pid is None:
            self.ready()
        assert actor.pid is not None
        return actor.pid

    def busy_seconds(self, name: str) -> float | None:
        """As the actor's process counts it."""
        proxy = self._actors[name].proxy
        reference = proxy._handle.busy_seconds.remote()
        spent: float = outcome(name, f"{name}.busy_seconds", reference, proxy._log_file, self._config.call_timeout_s)
        return spent

    def _launch(self, name: str, actor: _Actor) -> None:
        import ray

        # Without a place no CPU is reserved: roles wait on services most of the time, so all share a small machine.
        options = {"num_cpus": 0, "max_restarts": 0, "max_task_retries": 0, "max_concurrency": actor.calls}
        options |= actor.place.options() if actor.place else {}
        folder = self._log_dir.absolute()
        construction: tuple[Any, ...] = (actor.cls, actor.args, actor.kwargs)
        if actor.workers > 1:
            group = (name, self._config, folder, actor.workers, actor.threads, dump(construction))
            construction = (WorkerGroup, group, {})
        actor.pid = None
        actor.proxy._handle = (
            ray.remote(Host)
            .options(**options)
            .remote(name, str(folder / f"{name}.log"), actor.threads, dump(construction))
        )


def _check_place(name: str, place: Reservation | None) -> None:
    """Whether an actor can start at all: its node may have died, and there may be no other."""
    if place and not place.is_ready():
        raise ActorLost(name, f"{name} has lost its place ({place}): the node died and no other has room")
