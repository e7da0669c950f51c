"""A simulated expert for unattended runs: some judge's answers with a set share of mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from superalign.experts.items import Item
from superalign.experts.questions import Questions
from superalign.experts.queue import NOTHING, ExpertQueue
from superalign.records import content_share

LEASE_S = 600.0
ERROR = "expert error"


class Belief(NamedTuple):
    """What a simulated expert believes: P(acceptable) of an answer, and P(yes) of those dimensions that it knows."""

    p: float
    dimensions: Mapping[str, float] = NOTHING


Simulator = Callable[[Item], float | Belief]
"""What an expert believes of an item: P(acceptable) or P(first better), with the dimensions where they are asked."""


def answer_all(
    queue: ExpertQueue,
    judge: Simulator,
    error_rate: float,
    seed: int,
    annotator: str = "simulated",
) -> int:
    """Answer everything that is open within the budgets, as so many annotators that items get all their answers.

    `judge` gives P(acceptable) or P(first better); above 1/2 is 1, below 0, exactly 1/2 a tie, which is never
    mistaken. Whether an annotator errs on an item depends only on (item id, annotator, seed): a run that is killed
    and repeated gives the same answers. Who errs is wrong in one dimension, so that the verdict turns with it. Leases
    of a killed predecessor of the same name are taken over. Returns the number of new labels.
    """
    most = max((item.need for item in queue.items(unanswered=True)), default=0)
    names = [f"{annotator}-{number}" for number in range(1, max(2, most) + 1)]
    for name in names:
        queue.release_all(name)
    count = 0
    for name in names:
        while (leased := queue.claim(name, LEASE_S)) is not None:
            item = leased.item
            found = judge(item)
            p, dimensions = found if isinstance(found, Belief) else Belief(found)
            value, said = _decided(p), {name: _decided(p) for name, p in dimensions.items()}
            if said and queue.questions and (composed := queue.questions.verdict(said)) != 0.5:
                value = composed
            if content_share(ERROR, item.id, name, seed) < error_rate:
                value = 1.0 - value
                if said and queue.questions and value != 0.5:
                    said = _mistaken(queue.questions, said, value, (item.id, name, seed))
            queue.submit(leased.token, item.as_shown(value), simulated=True, dimensions=said)
            count += 1
    return count


def _decided(p: float) -> float:
    return 0.5 if p == 0.5 else float(p > 0.5)


def _mistaken(
    questions: Questions, said: Mapping[str, float], value: float, who: tuple[object, ...]
) -> dict[str, float]:
    """The answers with one of them wrong, such that they make this verdict, or leave it open; none if no one can."""
    turned = {name: {**said, name: 1.0 - p} for name, p in said.items()}
    for wanted in (value, 0.5):
        fitting = [name for name, answers in turned.items() if questions.verdict(answers) == wanted]
        if fitting:
            return turned[min(fitting, key=lambda name: content_share(ERROR, *who, name))]
    return {}
