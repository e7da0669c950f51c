"""A simulated expert for unattended runs: some judge's answers with a set share of mistakes."""

from __future__ import annotations

from collections.abc import Callable

from superalign.experts.items import Item
from superalign.experts.queue import ExpertQueue
from superalign.records import content_share

LEASE_S = 600.0


def answer_all(
    queue: ExpertQueue,
    judge: Callable[[Item], float],
    error_rate: float,
    seed: int,
    annotator: str = "simulated",
) -> int:
    """Answer everything that is open within the budgets, as so many annotators that items get all their answers.

    `judge` gives P(acceptable) or P(first better); above 1/2 is 1, below 0, exactly 1/2 a tie, which is never
    mistaken. Whether an annotator errs on an item depends only on (item id, annotator, seed): a run that is killed
    and repeated gives the same answers. Leases of a killed predecessor of the same name are taken over.
    Returns the number of new labels.
    """
    most = max((item.need for item in queue.items(unanswered=True)), default=0)
    names = [f"{annotator}-{number}" for number in range(1, max(2, most) + 1)]
    for name in names:
        queue.release_all(name)
    count = 0
    for name in names:
        while (leased := queue.claim(name, LEASE_S)) is not None:
            item = leased.item
            p = judge(item)
            value = 0.5 if p == 0.5 else float(p > 0.5)
            if content_share("expert error", item.id, name, seed) < error_rate:
                value = 1.0 - value
            queue.submit(leased.token, item.as_shown(value), simulated=True)
            count += 1
    return count
