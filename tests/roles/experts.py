"""Experts on a queue that is opened as often as a test needs, and what they are asked about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from superalign.experts.items import Item
from superalign.records import Critique, Judgement, Query, Response
from superalign.roles.expert import Expert
from superalign.roles.judge import oracle_expert
from superalign.testbed import oracle
from superalign.testbed.world import REFUSALS, seeds
from tests.roles.parts import config, point, query, response

Open = Callable[..., Expert]


@contextmanager
def opening(folder: Path) -> Iterator[Open]:
    """Opens the same queue, again and again if need be: `open_queue(judge=..., **settings)`."""
    with ExitStack() as opened:

        def make(judge: Callable[[Item], float] | None = oracle_expert, **settings: Any) -> Expert:
            say = settings.pop("say", lambda line: None)
            expert = Expert(config(expert={"budget": 12, **settings}), folder / "experts.sqlite", judge, say)
            opened.callback(expert.queue.close)
            return expert

        yield make


def world(count: int = 40, p: float = 0.5) -> tuple[list[Judgement], dict[str, Query], dict[str, Response]]:
    """Verdicts on right answers to plain requests of the testbed."""
    judged, asked, said = [], {}, {}
    for seed in seeds(0, 400)[:count]:
        request = oracle.parse(seed.text)
        assert request is not None
        q = query(seed.text, seed.kind, seed.category)
        r = response(q, REFUSALS[0] if request.harmful else request.answer())
        judged.append(point(r, p, seed.category))
        asked[q.id], said[r.id] = q, r
    return judged, asked, said


def escalate(expert: Expert, round: int = 1, seed: int = 0, **critiques: Critique) -> list[Item]:
    judged, asked, said = world()
    return expert.escalate(judged, asked, said, critiques, round, seed)
