"""A round asked ahead: beside the block, by weights that stand, and never left behind by a failure."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from superalign.config.compose import load
from superalign.errors import ActorLost
from superalign.loop.prefetch import Prefetcher
from superalign.records import Query, Response, Seed

LIMIT_S = 20.0


class Asking:
    """An attacker and a learner at once; meets the block at a barrier in the middle of its work."""

    def __init__(self, meeting: threading.Barrier | None = None, fails: bool = False) -> None:
        self.meeting, self.fails, self.done = meeting, fails, False

    def attack(self, seeds: list[Seed], round: int, seed: int) -> list[Query]:
        """One query on each seed."""
        return [Query(s.id, s.id, s.text, s.kind, s.category, "plain", "attacker", round) for s in seeds]

    def respond(self, queries: list[Query], seed: int) -> list[Response]:
        """Nothing, in time or not at all."""
        if self.meeting:
            self.meeting.wait(LIMIT_S)
        if self.fails:
            raise ActorLost("generator", "it died")
        self.done = True
        return []


class Standing:
    """A run without a folder."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Counts nothing."""
        return nullcontext()


def ahead(asking: Asking, *given: str) -> Prefetcher:
    """A new one for a run of three rounds."""
    seeds = [Seed(str(i), f"request {i}", "harmful", "fraud", "train") for i in range(4)]
    workers: Any = SimpleNamespace(attacker=asking, learner=asking, train_seeds=seeds)
    run: Any = Standing()
    return Prefetcher(load(["recipe=selfplay", "rounds=3", *given]), run, workers)


ON = "async.max_staleness=1"


def test_the_asking_and_the_block_go_on_side_by_side() -> None:
    meeting = threading.Barrier(2)
    begun = ahead(Asking(meeting), ON)
    with begun.start(2):
        meeting.wait(LIMIT_S)  # raises unless the asking is under way at the same time
    asked = begun.pop(2)
    assert asked and [q.round for q in asked.queries] == [2] * 4
    assert begun.pop(2) is None


def test_by_default_and_after_the_last_round_nothing_is_asked_ahead() -> None:
    for given, number in (((), 2), ((ON,), 4)):
        asking = Asking()
        begun = ahead(asking, *given)
        with begun.start(number):
            pass
        assert begun.pop(number) is None and not asking.done


def test_a_block_that_fails_leaves_nobody_asking_and_nothing_asked() -> None:
    asking = Asking()
    begun = ahead(asking, ON)
    with pytest.raises(ActorLost, match="trainer died"), begun.start(2):
        raise ActorLost("trainer", "trainer died")
    assert asking.done and begun.pop(2) is None


def test_a_loss_while_asking_is_told_when_the_block_is_through() -> None:
    through, begun = [], ahead(Asking(fails=True), ON)
    with pytest.raises(ActorLost, match="it died"), begun.start(2):
        through.append(True)
    assert through and begun.pop(2) is None
