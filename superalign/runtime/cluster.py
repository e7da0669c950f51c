"""Where roles and services live: what every cluster can do, and the one that is this process."""

from __future__ import annotations

import os
from typing import Any, Protocol, TypeVar

from superalign.errors import ActorLost
from superalign.runtime.lazy_class import LazyClass

T = TypeVar("T")


class Cluster(Protocol):
    """Where objects are made. Callers cannot tell an object from the proxy of one."""

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
        """Make `cls(*args, **kwargs)` under a unique name; returns at once, `ready` waits.

        It computes on so many threads, answers so many calls at once, and takes the accelerators of its place. With
        several workers it is a `Group` of them, which reserves places of its own.
        """
        ...

    def nested(self) -> Cluster:
        """A cluster of its own for one of the objects, which may start further ones there; they end with it."""
        ...

    def ready(self, *names: str) -> None:
        """Wait until these stand, or everything spawned.

        Raises:
            UserError: an actor did not start in time.
            Exception: what a constructor raised.
        """
        ...

    def restart(self, loss: ActorLost) -> None:
        """Make every actor anew from its first arguments; proxies held by the caller stay valid.

        The state of all of them is as at their construction: restore it from the last committed round.

        Raises:
            ActorLost: `loss` again, once `cluster.max_restarts` is used up.
        """
        ...

    def reset_restarts(self) -> None:
        """What was begun is done: earlier losses count no more against `cluster.max_restarts`."""
        ...

    def replace(self, name: str, loss: ActorLost) -> None:
        """Make one actor anew from its first arguments, if its place is still there; its proxy stays valid.

        Raises:
            ActorLost: `loss` again, once `cluster.max_restarts` is used up, or another one.
        """
        ...

    def end(self, name: str) -> None:
        """End one object; its name is free again."""
        ...

    def pid(self, name: str) -> int:
        """The process that hosts `name`."""
        ...

    def busy_seconds(self, name: str) -> float | None:
        """Seconds that `name` has spent in calls since its process began; None where it has no process of its own."""
        ...


class InlineCluster:
    """Objects live in this process. `threads` and `calls` are then the caller's own matter."""

    def __init__(self) -> None:
        self._names: set[str] = set()

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
        """Construct the object here and now, without further workers."""
        if name in self._names:
            raise ValueError(f"{name} is already spawned")
        self._names.add(name)
        return cls(*args, **kwargs)

    def nested(self) -> Cluster:
        """The same process again."""
        return InlineCluster()

    def ready(self, *names: str) -> None:
        """Nothing to wait for: `spawn` constructs."""

    def restart(self, loss: ActorLost) -> None:
        """An object in this process cannot be lost alone: the loss is somebody else's, and goes on."""
        raise loss

    def reset_restarts(self) -> None:
        """Nothing is counted."""

    def replace(self, name: str, loss: ActorLost) -> None:
        """As `restart`."""
        raise loss

    def end(self, name: str) -> None:
        """Forget the name."""
        self._names.remove(name)

    def pid(self, name: str) -> int:
        """This process."""
        if name not in self._names:
            raise KeyError(name)
        return os.getpid()

    def busy_seconds(self, name: str) -> float | None:
        """Unknown: all share this process."""
        return None
