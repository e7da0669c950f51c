"""The experts: a few labels under a hard budget, for the items where they are worth most."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from superalign.config import Config
from superalign.errors import UserError
from superalign.evaluation.refusal import is_refusal
from superalign.experts.items import Item
from superalign.experts.queue import ExpertQueue
from superalign.experts.simulated import answer_all
from superalign.feedback.escalation import escalate
from superalign.records import Critique, ExpertLabel, Judgement, Query, Response

log = logging.getLogger(__name__)
BENIGN_SEVERITY = 1.0  # wrongly refusing costs less than wrongly helping
CONFLICT = 0.8  # the critic approves of an answer to a harmful seed that is no refusal: an expert must look
POLL_S = 2.0
LOG_EVERY_S = 10.0


class Expert:
    """The queue's owner in the loop: escalates, collects, never waits unless told to."""

    def __init__(self, config: Config, path: Path, judge: Callable[[Item], float] | None) -> None:
        """Open the queue at `path`; `judge` answers in place of people if `expert.source=simulated`.

        Raises:
            UserError: experts shall be simulated where nothing can simulate them.
        """
        self.config, self.seed = config.expert, config.seed
        self.queue = ExpertQueue(path)
        if self.config.source == "simulated" and judge is None and self.config.budget:
            raise UserError(
                "expert.source=simulated needs data.seeds=testbed (only its oracle can simulate an expert); "
                "use expert.source=queue or expert.budget=0"
            )
        self.judge = judge

    @property
    def simulated(self) -> bool:
        """Whether labels come from a simulated expert."""
        return self.config.source == "simulated" and self.config.budget > 0

    def escalate(
        self,
        judgements: Sequence[Judgement],
        queries: Mapping[str, Query],
        responses: Mapping[str, Response],
        critiques: Mapping[str, Critique],
        round: int,
        seed: int,
    ) -> list[Item]:
        """Draw items by their stored propensities and put them on the queue. Repeating a round adds nothing."""
        pool = list({j.id: j for j in judgements}.values())
        asked = [queries[j.query_id] for j in pool]
        conflict = [
            j.kind == "point" and q.kind == "harmful" and j.p > CONFLICT and not is_refusal(responses[j.first_id].text)
            for j, q in zip(pool, asked, strict=True)
        ]
        c = self.config
        _, drawn = escalate(
            pool,
            [1.0 if q.kind == "harmful" else BENIGN_SEVERITY for q in asked],
            [q.novelty for q in asked],
            conflict,
            budget=c.budget,
            uniform_share=c.uniform_share,
            forced_share=c.forced_share,
            double_share=c.double_share,
            seed=seed,
        )
        items = []
        for one in drawn:
            j, query = pool[one.index], asked[one.index]
            critique = critiques.get(j.first_id)
            items.append(
                Item(
                    id=j.id,
                    round=round,
                    kind=j.kind,
                    query_id=query.id,
                    first_id=j.first_id,
                    second_id=j.second_id,
                    query=query.text,
                    first=responses[j.first_id].text,
                    second=responses[j.second_id].text if j.second_id else "",
                    critique=critique.text if critique else "",
                    category=j.category,
                    pi=one.pi,
                    lane=one.lane,
                    double=one.double,
                    harmful=query.kind == "harmful",
                )
            )
        self.queue.push(items, round, c.budget)
        return items

    def collect(self, round: int) -> list[tuple[Item, ExpertLabel]]:
        """Every label so far with its item; waits for this round's only if `expert.wait`.

        Raises:
            UserError: waiting took longer than `expert.wait_timeout_s`; labels given so far are kept.
        """
        if self.simulated and self.judge is not None:
            answer_all(self.queue, self.judge, self.config.error_rate, self.seed)
        elif self.config.wait:
            self._wait(round)
        return self.answered()

    def answered(self, until: int | None = None) -> list[tuple[Item, ExpertLabel]]:
        """The labels that stood at a cursor (default now), each with its item."""
        items = {item.id: item for item in self.queue.items()}
        return [(items[label.item_id], label) for label in self.queue.labels(until=until)]

    def _wait(self, round: int) -> None:
        began = said = time.monotonic()
        while open_items := self.queue.items(round, unanswered=True):
            now = time.monotonic()
            if now - began > self.config.wait_timeout_s:
                raise UserError(
                    f"waited {self.config.wait_timeout_s:.0f} s for {len(open_items)} expert labels of round {round}; "
                    "answer them with `superalign experts label RUN` and start the run again, or set expert.wait=false"
                )
            if now - said >= LOG_EVERY_S:
                log.info("waiting %.0f s for %d expert labels of round %d", now - began, len(open_items), round)
                said = now
            time.sleep(POLL_S)
