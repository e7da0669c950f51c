"""Where a round's queries and answers come from: asked in the round, or ahead of it (`async.max_staleness=1`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from superalign.loop.workers import Workers, stage_seed
from superalign.records import Query, Response
from superalign.store.adapters import WEIGHTS
from superalign.store.run_writer import RunWriter


class Asked(NamedTuple):
    """A round's queries and the learner's answers."""

    queries: list[Query]
    responses: list[Response]


class Prefetcher:
    """At most one round that is asked before its turn; without `async.max_staleness` none ever is.

    It is asked by the attacker as the round leaves it and by the learner as the round found it. Nothing of it is kept
    on disk: after a resumption the same weights, which are, ask the same again.
    """

    def __init__(self, run: RunWriter, workers: Workers) -> None:
        """Nothing is asked yet."""
        self.config, self.run, self.workers = workers.config, run, workers
        self._asked: dict[int, Asked] = {}

    def attack(self, number: int) -> list[Query]:
        """The attacker's queries of a round."""
        if number in self._asked:
            return self._asked[number].queries
        return self._attack(number)

    def respond(self, number: int, queries: Sequence[Query]) -> list[Response]:
        """The learner's answers to them; what was asked ahead is given once."""
        if number in self._asked:
            return self._asked.pop(number).responses
        return self.workers.learner.respond(queries, stage_seed(self.config.seed, number))

    @contextmanager
    def start(self, number: int) -> Iterator[None]:
        """Ask for a round while the block runs; the block ends when both are through.

        In the block the generator must go on serving the same weights, and nobody else may use the attacker.

        Raises:
            ActorLost: the block or the asking lost an actor; the asking has ended by then.
        """
        if not self.config.ahead.max_staleness or number > self.config.rounds:
            yield
            return
        with ThreadPoolExecutor(1, "prefetch") as pool:
            asked = pool.submit(self._ask, number)
            yield
            with self.run.stage("respond"):
                self._asked = {number: asked.result()}

    def restore(self) -> None:
        """After a resumption: ask again what had been asked ahead, by the weights that were served then."""
        self._asked = {}
        last = self.run.last_round()
        if not self.config.ahead.max_staleness or not last or last >= self.config.rounds:
            return
        from safetensors.numpy import load_file

        then = self.run.round_path(last - 1) / WEIGHTS / "learner"
        version = json.loads((then / "version.json").read_text(encoding="utf-8"))["version"]
        self.workers.generator.load_adapter("learner", load_file(then / "adapter_model.safetensors"), version)
        self._asked = {last + 1: self._ask(last + 1)}
        self.workers.sync("learner")

    def _attack(self, number: int) -> list[Query]:
        seed = stage_seed(self.config.seed, number)
        return self.workers.attacker.attack(self.workers.draw_seeds(number), number, seed)

    def _ask(self, number: int) -> Asked:
        queries = self._attack(number)
        return Asked(queries, self.workers.learner.respond(queries, stage_seed(self.config.seed, number)))
