"""The experts: a few labels under a hard budget, for the items where they are worth most."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from superalign.config.schema import Config
from superalign.config.texts import policy_of
from superalign.errors import UserError
from superalign.experts.database import refuse_network
from superalign.experts.items import Item
from superalign.experts.notify import Notifier, Waiting
from superalign.experts.queue import ExpertQueue
from superalign.experts.simulated import Simulator, answer_all
from superalign.feedback.escalation import Escalated, distinct, escalate
from superalign.feedback.synthetic_flaws import gold_items
from superalign.prompts.refusal import is_refusal
from superalign.records import Critique, ExpertLabel, Judgement, Query, Response, content_share
from superalign.roles.critic.verdicts import ResponsePair
from superalign.roles.curated import SETTING, Replay, apart, curated_labels, is_replayed, replays
from superalign.roles.protocols import Case
from superalign.stats.annotators import annotator_errors, error_draws

log = logging.getLogger(__name__)
BENIGN_SEVERITY = 1.0  # of 1 for harmful requests: wrongly refusing costs as much as wrongly helping
CONFLICT = 0.8  # the critic approves of an answer to a harmful seed that is no refusal: an expert must look
SURE = 0.9  # an answer that the critic approves of like this is good enough to plant a flaw in
POLL_S = 2.0
SAY_EVERY_S = 10.0


@dataclass(frozen=True)
class ExpertLabels:
    """What experts have said.

    Attributes:
        all: every label so far with its item, curated ones first.
        fresh: those of the experts that no committed round has taken up, of whatever round their items are.
        error_rates: eps of each annotator.
    """

    all: list[tuple[Item, ExpertLabel]]
    fresh: list[ExpertLabel]
    error_rates: Mapping[str, float]


class Expert:
    """The queue's owner in the loop: escalates, collects, never waits unless told to."""

    def __init__(
        self,
        config: Config,
        path: Path,
        judge: Simulator | None,
        say: Callable[[str], None] = log.info,
        held_out: Sequence[str] = (),
    ) -> None:
        """Open the queue at `expert.store`, or at `path` in the run's folder; read the curated labels.

        `judge` answers in place of people if `expert.source=simulated`, where curated labels do not; `say` tells what
        is waited for. Curated labels of `held_out` requests, on which the run is evaluated, are left out.

        Raises:
            UserError: experts shall be simulated where nothing can simulate them, cannot be notified like this, or
                would share a file over a network; or the curated labels cannot be read.
        """
        self.config, self.seed = config.expert, config.seed
        self.folder, self.judge, self.say = path.parent, judge, say
        self.curated, self.replay = apart(curated_labels(config), held_out, say), None
        if replays(config):
            share, all = self.config.replayed_share, self.curated
            held, self.curated = ([pair for pair in all if is_replayed(pair[0], share) is one] for one in (True, False))
            if not held:
                raise UserError(
                    f"expert.replayed_share={share:g} holds back none of the {len(all)} answers of "
                    f"{SETTING}={self.config.curated}: nothing is left for a simulated expert; set it higher"
                )
            self.replay = self.judge = Replay(held)
        if self.config.source == "simulated" and self.judge is None and self.config.budget:
            raise UserError(
                "expert.source=simulated needs data.seeds=testbed, whose oracle answers, or expert.curated=FILE, whose "
                "labels are replayed; use one of these, expert.source=queue or expert.budget=0"
            )
        self.notifier = Notifier(self.config.notify_webhook, self.config.notify_command)
        if self.config.source == "queue" and self.config.store is None:
            refuse_network(path)
        self.queue = ExpertQueue.of_run(path, self.config.store, policy_of(config))
        self.taken_up = self.collected = 0  # cursors: of the committed rounds, and of the last collection

    @property
    def run(self) -> str:
        """The run's name."""
        return self.folder.resolve().name

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
        compare: Callable[[Sequence[ResponsePair]], list[Judgement]] | None = None,
    ) -> list[Item]:
        """Draw items by their stored propensities and put them on the queue. Repeating a round adds nothing.

        Of judgements of equal texts the first is drawn from.
        Among those for people are gold items, paid from the budget too, if the critic can `compare` their answers.
        """
        pool = distinct(judgements, responses)
        asked = [queries[j.query_id] for j in pool]
        conflict = [
            j.kind == "point" and q.kind == "harmful" and j.p > CONFLICT and not is_refusal(responses[j.first_id].text)
            for j, q in zip(pool, asked, strict=True)
        ]
        c = self.config
        pairs = self._gold_items(pool, queries, responses, seed) if compare and c.source == "queue" else []
        _, drawn = escalate(
            pool,
            [1.0 if q.kind == "harmful" else BENIGN_SEVERITY for q in asked],
            [q.novelty for q in asked],
            conflict,
            budget=c.budget - c.votes * len(pairs),
            uniform_share=c.uniform_share,
            forced_share=c.forced_share,
            double_share=c.double_share,
            seed=seed,
            votes=c.votes,
            policy=c.policy,
        )
        items = [self._item(pool[one.index], one, queries, responses, critiques, round) for one in drawn]
        if compare and pairs and drawn:
            rng = random.Random(f"traps/{seed}")
            planted = {**responses, **{flawed.id: flawed for _, _, flawed in pairs}}
            for number, j in enumerate(compare(pairs)):
                # Nothing tells a gold item from the items drawn: neither its place nor its propensity.
                like = Escalated(number, rng.choice(drawn).pi, "active", False)
                trap = self._item(j, like, queries, planted, critiques, round, gold=1.0)
                items.insert(rng.randrange(len(items) + 1), trap)
        new = self.queue.push(items, round, c.budget)
        if new and c.source == "queue":
            self.notifier.tell(Waiting(self.run, round, new))
        return items

    def _gold_items(
        self, pool: Sequence[Judgement], queries: Mapping[str, Query], responses: Mapping[str, Response], seed: int
    ) -> list[ResponsePair]:
        sure = [(queries[j.query_id], responses[j.first_id]) for j in pool if j.kind == "point" and j.p >= SURE]
        return gold_items(sure, round(self.config.gold_share * self.config.budget / self.config.votes), seed)

    def _item(
        self,
        j: Judgement,
        drawn: Escalated,
        queries: Mapping[str, Query],
        responses: Mapping[str, Response],
        critiques: Mapping[str, Critique],
        round: int,
        gold: float | None = None,
    ) -> Item:
        query, critique, share = queries[j.query_id], critiques.get(j.first_id), self.config.blind_share
        blind = content_share("blind", j.id) < share if gold is None else share > 0
        return Item(
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
            pi=drawn.pi,
            lane=drawn.lane,
            double=drawn.double,
            harmful=query.kind == "harmful",
            votes=self.config.votes,
            blind=blind and self.config.source == "queue",
            gold=gold,
            p=j.p,
        )

    def collect(self, round: int) -> ExpertLabels:
        """Every label so far; waits for this round's only if `expert.wait`.

        Raises:
            UserError: waiting took longer than `expert.wait_timeout_s`; labels given so far are kept.
        """
        if self.simulated and self.judge is not None:
            answer_all(self.queue, self.judge, self.config.error_rate, self.seed)
        elif self.config.wait:
            self._wait(round)
        self.collected = self.queue.cursor()
        labelled = self.answered(self.collected)
        return ExpertLabels(labelled, self.fresh(), self.errors(labelled))

    def answered(self, until: int | None = None) -> list[tuple[Item, ExpertLabel]]:
        """The curated labels, and those that stood at a cursor (default now), each with its item."""
        return [*self.curated, *self.queue.labelled(until=until)]

    def unasked(self, number: int) -> list[Case] | None:
        """The answers that a simulated expert who replays labels can still be asked about in a round.

        None where the round's own answers are what experts are asked about.
        """
        if self.replay is None:
            return None
        return self.replay.unasked((item for item in self.queue.items() if item.round < number), number)

    def errors(self, answered: Sequence[tuple[Item, ExpertLabel]]) -> dict[str, float]:
        """eps of each annotator, from blind doubles of the last collection and gold items; see `annotator_errors`.

        That of curated labels is what it is of an annotator of whom nothing is known.
        """
        return annotator_errors(*self._checks(answered))

    def error_draws(
        self, answered: Sequence[tuple[Item, ExpertLabel]], draws: int, seed: int
    ) -> dict[str, NDArray[np.float64]]:
        """What the same labels leave open of each annotator's error rate; see `stats.annotators.error_draws`."""
        return error_draws(*self._checks(answered), draws, seed)

    def _checks(self, answered: Sequence[tuple[Item, ExpertLabel]]) -> tuple[list[ExpertLabel], dict[str, float]]:
        """The labels, with those of gold items, and what is known of these."""
        trapped = self.queue.labelled(until=self.collected, gold_items=True)
        gold = {item.id: item.gold for item, _ in trapped if item.gold is not None}
        return [label for _, label in [*answered, *trapped]], gold

    def fresh(self) -> list[ExpertLabel]:
        """The labels of the last collection that no committed round has taken up, of whatever round their items are."""
        return self.queue.labels(since=self.taken_up, until=self.collected)

    def take_up(self) -> int:
        """Count what was collected as taken up; returns the cursor that a committed round keeps."""
        self.taken_up = self.collected
        return self.taken_up

    def restore(self, cursor: int) -> None:
        """Take up a committed cursor."""
        self.taken_up = self.collected = cursor

    def _wait(self, round: int) -> None:
        """Wait until nothing of the round is open; says what is open at first, and again as it changes."""
        began, told, said = time.monotonic(), float("-inf"), ""
        answer = f"answer them with `superalign experts serve {self.folder}` (or label, or export and import)"
        while open_items := self.queue.items(round, unanswered=True):
            line = f"{self.queue.pending(round)} expert labels of round {round} on {len(open_items)} items"
            now = time.monotonic()
            if now - began > self.config.wait_timeout_s:
                raise UserError(
                    f"waited {self.config.wait_timeout_s:.0f} s and still miss {line}; {answer} and start the run "
                    "again, or set expert.wait=false"
                )
            if line != said and now - told >= SAY_EVERY_S:
                self.say(f"waiting for {line}: {answer}")
                told, said = now, line
            time.sleep(POLL_S)
