"""A served queue, and people who visit it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the experts extra is not installed")

from superalign.experts.items import Item
from superalign.experts.queue import ExpertQueue
from superalign.experts.users import UserRole
from superalign.experts.web.app import create_app
from superalign.experts.web.security import RateLimit
from superalign.experts.web.site import Site
from superalign.prompts.policy import Policy
from tests.experts.web.visitor import Visitor, serving


@dataclass
class Place:
    """The page of one run, served."""

    site: Site
    address: str

    @property
    def queue(self) -> ExpertQueue:
        return self.site.queue

    def push(self, items: Sequence[Item], budget: int = 100) -> None:
        """Ask the experts something."""
        self.queue.push(items, items[0].round, budget)

    def visitor(self, name: str, role: UserRole = "annotator") -> Visitor:
        """Somebody who has just logged in."""
        visitor = Visitor(self.address)
        visitor.login(self.site.users.add(name, role))
        return visitor


@pytest.fixture
def make_place(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    """Serves an empty queue: `make_place(clock=..., policy=..., lease_s=...)`."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def make(clock: Callable[[], float] | None = None, policy: Policy | None = None, **settings: object) -> Place:
            timed = {"clock": clock} if clock else {}
            queue = ExpertQueue(tmp_path / "experts.sqlite", policy=policy, **timed)
            stack.callback(queue.close)
            given = {"requests": RateLimit(1000, 1000), "failures": RateLimit(1000, 1000)} | settings
            site = Site(queue, b"k" * 32, "tried", **given)  # type: ignore[arg-type]
            return Place(site, stack.enter_context(serving(create_app(site))))

        yield make


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    """An empty queue, served without limits."""
    return make_place()
