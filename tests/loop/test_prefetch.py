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
        self.meeting, self.fails = meeting, fails
        self.attacks = self.answers = 0

    def attack(self, seeds: list[Seed], round: int, seed: int) -> list[Query]:
        """One query on each seed."""
        self.attacks += 1
        return [Query(s.id, s.id, s.text, s.kind, s.category, "plain", "attacker", round) for s in seeds]

    def respond(self, queries: list[Query], seed: int) -> list[Response]:
        """One answer, in time or not at all."""
        if self.meeting:
            self.meeting.wait(LIMIT_S)
        if self.fails:
            raise ActorLost("generator", "it died")
        self.answers += 1
        return [Response("r", queries[0].id, f"answer {self.answers}", (), (), (), "sample", 0)]


class Standing:
    """A run without a folder."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Counts nothing."""
        return nullcontext()


def prefetcher(asking: Asking, *given: str) -> Prefetcher:
    """A new one for a run of three rounds."""
    seeds = [Seed(str(i), f"request {i}", "harmful", "fraud", "train") for i in range(4)]
    config = load(["recipe=selfplay", "rounds=3", *given])
    workers: Any = SimpleNamespace(config=config, attacker=asking, learner=asking, draw_seeds=lambda number: seeds)
    run: Any = Standing()
    return Prefetcher(run, workers)


ON = "async.max_staleness=1"


def test_the_asking_and_the_block_go_on_side_by_side_and_what_was_asked_is_given_once() -> None:
    meeting = threading.Barrier(2)
    asking = Asking(meeting)
    ahead = prefetcher(asking, ON)
    with ahead.start(2):
        meeting.wait(LIMIT_S)  # raises unless the asking is under way at the same time
    asking.meeting = None
    queries = ahead.attack(2)
    assert [q.round for q in queries] == [2] * 4
    assert [r.text for r in ahead.respond(2, queries)] == ["answer 1"]
    assert asking.attacks == 1
    assert [r.text for r in ahead.respond(2, queries)] == ["answer 2"]
    ahead.attack(2)
    assert asking.attacks == 2


def test_by_default_and_after_the_last_round_nothing_is_asked_ahead() -> None:
    for given, number in (((), 2), ((ON,), 4)):
        asking = Asking()
        ahead = prefetcher(asking, *given)
        with ahead.start(number):
            pass
        assert asking.attacks == asking.answers == 0
        queries = ahead.attack(number)
        assert [r.text for r in ahead.respond(number, queries)] == ["answer 1"]
        assert [q.round for q in queries] == [number] * 4


def test_a_block_that_fails_leaves_nobody_asking_and_nothing_asked() -> None:
    asking = Asking()
    ahead = prefetcher(asking, ON)
    with pytest.raises(ActorLost, match="trainer died"), ahead.start(2):
        raise ActorLost("trainer", "trainer died")
    assert asking.answers == 1, "the asking has ended"
    ahead.respond(2, ahead.attack(2))
    assert (asking.attacks, asking.answers) == (2, 2)


def test_a_loss_while_asking_is_told_when_the_block_is_through() -> None:
    asking, through = Asking(fails=True), []
    ahead = prefetcher(asking, ON)
    with pytest.raises(ActorLost, match="it died"), ahead.start(2):
        through.append(True)
    assert through
    asking.fails = False
    ahead.attack(2)
    assert asking.attacks == 2
