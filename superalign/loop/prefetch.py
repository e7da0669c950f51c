"""Asking the next round's queries while the learner trains (`async.max_staleness=1`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from superalign.config.schema import Config
from superalign.loop.workers import Workers, stage_seed
from superalign.records import Query, Response, Seed
from superalign.roles.attacker import draw_seeds
from superalign.store.adapters import WEIGHTS
from superalign.store.run import Run


class Asked(NamedTuple):
    """A round's queries and the learner's answers."""

    queries: list[Query]
    responses: list[Response]


def seeds_of(config: Config, workers: Workers, number: int) -> list[Seed]:
    """The seed requests that the attacker starts from in a round."""
    return draw_seeds(workers.train_seeds, config.attacker.seeds, number, config.seed)


def write_queries(config: Config, workers: Workers, number: int) -> list[Query]:
    """The attacker's queries of a round."""
    return workers.attacker.attack(seeds_of(config, workers, number), number, stage_seed(config.seed, number))


class Prefetcher:
    """At most one round that is asked before its turn; without `async.max_staleness` none ever is.

    It is asked by the attacker as the round leaves it and by the learner as the round found it. Nothing of it is kept
    on disk: after a resumption the same weights, which are, ask the same again.
    """

    def __init__(self, config: Config, run: Run, workers: Workers) -> None:
        """Nothing is asked yet."""
        self.config, self.run, self.workers = config, run, workers
        self._asked: dict[int, Asked] = {}

    def pop(self, number: int) -> Asked | None:
        """What was asked for a round, once; None where nothing was."""
        return self._asked.pop(number, None)

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
        with ThreadPoolExecutor(1, "ahead") as pool:
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

    def _ask(self, number: int) -> Asked:
        queries = write_queries(self.config, self.workers, number)
        return Asked(queries, self.workers.learner.respond(queries, stage_seed(self.config.seed, number)))
