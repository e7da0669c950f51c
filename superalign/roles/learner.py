"""The learner: answers, revises in the light of critiques, and refines itself on noisy preferences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from superalign.config.schema import Config
from superalign.generation.base import GenerationRequest, Generator
from superalign.models import load_chat
from superalign.prompts import templates
from superalign.prompts.templates import Messages
from superalign.records import Critique, Query, Response, content_id
from superalign.training.base import DPOSettings, KTOSettings, PolicySettings, Trainer
from superalign.training.batch import ScoredResponse, TrainingBatch

MIN_SPREAD = 0.1  # of P(acceptable) over the answers to one query: less tells the critic's noise
COMPLETIONS = ("completion_ids", "chosen_ids", "rejected_ids")


class Learner:
    """One policy: a LoRA adapter on the frozen base."""

    def __init__(self, config: Config, generator: Generator, trainer: Trainer | None) -> None:
        """Hold the services; without a trainer it can answer but not refine itself."""
        self.config = config.learner
        self.confidence = config.w2s.alpha if config.supervision == "weak_to_strong" else 0.0
        self.ramp = config.w2s.ramp
        self.generator, self.trainer = generator, trainer
        self.chat = load_chat(config.model_of("learner"))

    def respond(
        self, queries: Sequence[Query], seed: int, samples: int | None = None, temperature: float | None = None
    ) -> list[Response]:
        """`samples` answers per query at `temperature` (0 = greedy); the defaults are those of the settings."""
        count = self.config.samples if samples is None else samples
        asked = [q for q in queries for _ in range(count)]
        heat = self.config.temperature if temperature is None else temperature
        return self._answer(asked, [templates.respond(q.text) for q in asked], "sample", heat, seed)

    def revise(self, cases: Sequence[tuple[Query, Response, Critique]], seed: int) -> list[Response]:
        """One revision of each criticised response.

        A revision is stored as an answer to the query itself: its critique is not part of the prompt that it trains.
        """
        messages = [templates.revise(q.text, r.text, c.text) for q, r, c in cases]
        return self._answer([q for q, _, _ in cases], messages, "revision", 0.0, seed)

    def _answer(
        self, queries: Sequence[Query], messages: Sequence[Messages], origin: str, temperature: float, seed: int
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
                    prompt_ids=self._prompt(templates.respond(query.text)),
                    token_ids=ids,
                    logprobs=(*answer.logprobs, *ending),
                    origin="revision" if origin == "revision" else "sample",
                    version=answer.version,
                )
            )
        return out

    def _prompt(self, messages: Messages) -> tuple[int, ...]:
        return tuple(self.chat.prompt_ids(messages, self.config.max_new_tokens))

    def refine(
        self, lesson: TrainingBatch, anchors: Sequence[Mapping[str, Any]], round: int, seed: int
    ) -> dict[str, float]:
        """One phase of training by the algorithm of the settings, anchored to accepted answers of its own."""
        if self.trainer is None:
            raise ValueError("a frozen learner cannot refine itself")
        c = self.config
        common: dict[str, Any] = {
            "learning_rate": c.rate(round),
            "epochs": c.epochs,
            "batch_size": c.batch_size,
            "anchor_batch": c.anchor_batch,
            "anchor_weight": c.anchor_weight,
        }
        kept = [dict(a) for a in anchors]
        if c.algorithm in ("dpo", "online_dpo"):
            rows = self._pairs(lesson)
            settings = DPOSettings(
                loss=c.loss,
                beta=c.beta,
                nll=c.nll,
                confidence=self.confidence,
                confidence_ramp=self.ramp,
                **common,
            )
            found = self.trainer.dpo("learner", rows, settings, kept, seed) if rows else {}
            return {"pairs": float(len(rows)), "trained_tokens": self._tokens(rows), **found}
        if c.algorithm == "kto":
            rows = self._answers(lesson)
            found = self.trainer.kto("learner", rows, KTOSettings(beta=c.beta, **common), kept, seed) if rows else {}
        else:
            rows, kept = self._groups(lesson), [*kept, *self._shown(lesson)]
            gradients = PolicySettings(
                algorithm=c.algorithm,
                clip=c.clip,
                kl=c.kl,
                kl_target=c.kl_target,
                gae_lambda=c.gae_lambda,
                value_learning_rate=c.value_learning_rate,
                **common,
            )
            found = self.trainer.policy("learner", rows, gradients, kept, seed) if rows else {}
        return {"answers": float(len(rows)), "trained_tokens": self._tokens(rows), **found}

    def _pairs(self, lesson: TrainingBatch) -> list[dict[str, Any]]:
        """The preferences of largest weight."""
        return [
            {
                "prompt_ids": list(p.prompt_ids),
                "chosen_ids": list(p.chosen_ids),
                "rejected_ids": list(p.rejected_ids),
                "q": p.q,
                "w": p.w,
            }
            for p in sorted(lesson.preferences, key=lambda p: -p.w)[: self.config.max_pairs]
        ]

    def _answers(self, lesson: TrainingBatch) -> list[dict[str, Any]]:
        """The labelled answers of largest weight."""
        labelled = sorted((a for a in lesson.answers if a.w > 0), key=lambda a: (-a.w, a.response.id))
        return [
            {
                "prompt_ids": list(a.response.prompt_ids),
                "completion_ids": list(a.response.token_ids),
                "q": a.p,
                "w": a.w,
            }
            for a in labelled[: self.config.max_rows]
        ]

    def _groups(self, lesson: TrainingBatch) -> list[dict[str, Any]]:
        """Sampled answers by query with their recorded log-probabilities; queries that tell most come first.

        Answers that all look alike to the critic get one reward where they are compared within their query: that is no
        gradient, but anchors are learned beside every step, and a policy that hardly varies would take few without.
        """
        groups: dict[str, list[ScoredResponse]] = {}
        for answer in lesson.answers:
            if answer.response.origin == "sample" and answer.response.token_ids:
                groups.setdefault(answer.response.query_id, []).append(answer)
        spread = {query: max(a.p for a in group) - min(a.p for a in group) for query, group in groups.items()}
        least = MIN_SPREAD if self.config.algorithm in ("grpo", "rloo") else 0.0
        return [
            {
                "prompt_ids": list(a.response.prompt_ids),
                "completion_ids": list(a.response.token_ids),
                "logprobs": list(a.response.logprobs),
                "reward": a.p if spread[query] >= least else fmean(b.p for b in groups[query]),
                "group": query,
            }
            for query in sorted(groups, key=lambda q: (-spread[q], q))
            for a in groups[query]
        ][: self.config.max_rows]

    def _shown(self, lesson: TrainingBatch) -> list[dict[str, Any]]:
        """Revisions that are believed acceptable, as anchors.

        A policy that never refuses finds no refusal to be rewarded for by itself: its own revisions show it one.
        """
        return [
            {"prompt_ids": list(a.response.prompt_ids), "completion_ids": list(a.response.token_ids)}
            for a in lesson.answers
            if a.response.origin == "revision" and a.w > 0 and a.p > 0.5
        ]

    def _tokens(self, rows: Sequence[Mapping[str, Any]]) -> float:
        """Tokens that a phase on these rows goes through, anchors aside."""
        sizes = (len(row["prompt_ids"]) + len(row[c]) for row in rows for c in COMPLETIONS if c in row)
        return float(self.config.epochs * sum(sizes))
