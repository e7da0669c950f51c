"""The learner: answers, revises in the light of critiques, and refines itself on noisy preferences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from superalign.config.schema import Config
from superalign.config.texts import prompts_of
from superalign.errors import UserError
from superalign.generation.base import GenerationRequest, Generator
from superalign.models import load_chat
from superalign.prompts import library
from superalign.prompts.asks import Messages
from superalign.prompts.reading import Reading, Unread
from superalign.records import Critique, Origin, Query, Response, content_id
from superalign.registry import LEARNERS
from superalign.training.algorithms.base import LearnerAlgorithm, trained_tokens
from superalign.training.base import Trainer
from superalign.training.batch import TrainingBatch


class Learner:
    """One policy: a LoRA adapter on the frozen base."""

    def __init__(self, config: Config, generator: Generator, trainer: Trainer | None) -> None:
        """Hold the services; without a trainer it can answer but not refine itself.

        Raises:
            UserError: there is no such algorithm, or it has no confidence term where `supervision` asks for one.
        """
        self.config = config.learner
        self.algorithm: LearnerAlgorithm = LEARNERS.load(self.config.algorithm)(self.config)
        self.counted = "pairs" if self.algorithm.learns_from == "pairs" else "answers"
        weak = config.supervision == "weak_to_strong"  # the critic counts as a weak supervisor
        self.confidence = {"confidence": config.w2s.alpha, "confidence_ramp": config.w2s.ramp} if weak else {}
        phase = self.algorithm.phase(self.config.learning_rate)
        if missing := [name for name in self.confidence if not hasattr(phase, name)]:
            raise UserError(
                f"supervision=weak_to_strong: learner={self.config.algorithm} has no {' and no '.join(missing)} in its "
                "phases, so its loss would not change: use learner=dpo or online_dpo"
            )
        self.generator, self.trainer = generator, trainer
        self.prompts, self.reading = prompts_of(config), Reading()
        self.chat = load_chat(config.model_of("learner"))

    def respond(
        self, queries: Sequence[Query], seed: int, samples: int | None = None, temperature: float | None = None
    ) -> list[Response]:
        """`samples` answers per query at `temperature` (0 = greedy); the defaults are those of the settings."""
        count = self.config.samples if samples is None else samples
        asked = [q for q in queries for _ in range(count)]
        heat = self.config.temperature if temperature is None else temperature
        return self._answer(asked, [library.respond(q.text) for q in asked], "sample", heat, seed)

    def revise(
        self, cases: Sequence[tuple[Query, Response, Critique]], seed: int, faults: Sequence[str] = ()
    ) -> list[Response]:
        """A revision of each criticised response, those left out that cannot be read.

        A revision is stored as an answer to the query itself: its critique is not part of the prompt that it trains.
        `faults` says what is wrong with each, as the policy calls it.
        """
        return self._mended([(q, r, c.text) for q, r, c in cases], faults, "revision", seed)

    def contrast(self, cases: Sequence[tuple[Query, Response]], faults: Sequence[str], seed: int) -> list[Response]:
        """What would be said to each request if it were not what it is: what mends a fault that is not there."""
        return self._mended([(q, r, "") for q, r in cases], faults, "contrast", seed)

    def unread(self) -> Unread:
        """Revisions and contrasts that could not be read since the last call."""
        return self.reading.take()

    def _mended(
        self, cases: Sequence[tuple[Query, Response, str]], faults: Sequence[str], origin: Origin, seed: int
    ) -> list[Response]:
        named = faults or [""] * len(cases)
        messages = [
            self.prompts.revise_messages(q.text, r.text, said, fault)
            for (q, r, said), fault in zip(cases, named, strict=True)
        ]
        found, queries, heat = [], [q for q, *_ in cases], self.config.revision_temperature
        for answer, fault in zip(self._answer(queries, messages, origin, heat, seed), named, strict=True):
            read = self.reading.read("revise", self.prompts.revise_ask(fault), answer.text)
            if read is not None:
                found.append(answer if read["text"] == answer.text else self._worded(answer, read["text"]))
        return found

    def _worded(self, answer: Response, text: str) -> Response:
        """An answer with what was read of it: other tokens than were generated, so without their probabilities."""
        ids = tuple(self.chat.closed(self.chat.encode(text)))
        return replace(answer, text=text, token_ids=ids, logprobs=())

    def _answer(
        self, queries: Sequence[Query], messages: Sequence[Messages], origin: Origin, temperature: float, seed: int
    ) -> list[Response]:
        requests = [
            GenerationRequest("learner", self._prompt(m), self.config.max_new_tokens, temperature) for m in messages
        ]
        answers = self.generator.generate(requests, seed)
        out = []
        for number, (query, answer) in enumerate(zip(queries, answers, strict=True)):
            ids = tuple(self.chat.closed(answer.token_ids)) if answer.finished else answer.token_ids
            ending = (answer.stop_logprob or 0.0,) if answer.finished else ()
            out.append(
                Response(
                    id=content_id(query.id, origin, number, seed, answer.text),
                    query_id=query.id,
                    text=answer.text,
                    prompt_ids=self._prompt(library.respond(query.text)),
                    token_ids=ids,
                    logprobs=(*answer.logprobs, *ending),
                    origin=origin,
                    version=answer.version,
                )
            )
        return out

    def _prompt(self, messages: Messages) -> tuple[int, ...]:
        return tuple(self.chat.prompt_ids(messages, self.config.max_new_tokens))

    def refine(
        self, batch: TrainingBatch, anchors: Sequence[Mapping[str, Any]], round: int, seed: int
    ) -> dict[str, float]:
        """One phase of training by the algorithm of the settings, anchored to accepted answers of its own.

        Raises:
            ValueError: there is no trainer.
        """
        if self.trainer is None:
            raise ValueError("a frozen learner cannot refine itself")
        rows = self.algorithm.rows(batch)
        found = {self.counted: float(len(rows)), "trained_tokens": trained_tokens(rows, self.config.epochs)}
        if not rows:
            return found | {"steps": 0.0}
        phase = self.algorithm.phase(self.config.rate(round)).model_copy(update=self.confidence)
        kept = [*map(dict, anchors), *self.algorithm.anchors(batch)]
        return found | self.trainer.train("learner", self.config.algorithm, rows, phase, kept, seed)
