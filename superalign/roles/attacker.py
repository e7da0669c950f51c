"""The attacker: rewrites seed requests into queries that expose weaknesses, and learns from what worked."""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from superalign.config import Config
from superalign.evaluation.attacks import TRAINED, wrap
from superalign.feedback.novelty import Archive, attack_reward, attack_strength, self_bleu, tail_logprob
from superalign.generation.base import Generation, GenerationRequest, Generator
from superalign.models import load_chat
from superalign.records import Query, Seed, content_id
from superalign.roles import prompts
from superalign.training.base import DPOSettings, Trainer

log = logging.getLogger(__name__)
MIN_GAIN = 0.1  # a smaller difference of rewards between two attacks on one seed teaches nothing


def faithfulness(seed: str, query: str) -> float:
    """How much of a seed's words is left in a query, in [0, 1]: the mean over words of the share of their trigrams.

    Only letters count, so that a word that is spelled out, or a request that is cut between words, is wholly there.
    Words of one or two letters say little and are left out.
    """
    said = re.sub(r"[\W\d_]", "", query.lower())
    words = re.findall(r"[^\W\d_]{3,}", seed.lower())
    shares = [np.mean([word[i : i + 3] in said for i in range(len(word) - 2)]) for word in words]
    return float(np.mean(shares)) if shares else 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One rewriting of this round, with what training on it takes."""

    query: Query
    faithful: bool
    prompt_ids: tuple[int, ...]
    generation: Generation


class Attacker:
    """Attack, remember, learn by DPO on its own successes against its failures on the same seed."""

    def __init__(self, config: Config, generator: Generator, trainer: Trainer) -> None:
        """Hold the services and an empty archive."""
        self.config = config.attacker
        self.generator, self.trainer = generator, trainer
        self.chat = load_chat(config.model_of("attacker"))
        self.archive = Archive()
        self._attempts: list[Attempt] = []

    def attack(self, seeds: Sequence[Seed], round: int, seed: int) -> list[Query]:
        """Queries of one round: a share `current` of new rewritings, `past` of archived ones, the rest static.

        Every current seed is rewritten `candidates` times, so that its attempts can be compared. A rewriting that has
        lost what its seed asks is a failed attempt and is not asked: nobody could label the answer.
        """
        total = len(seeds) * self.config.candidates
        fresh = seeds[: max(1, round_half(self.config.current * len(seeds)))]
        self._attempts = self._rewrite(fresh, round, seed)
        current = [attempt.query for attempt in self._attempts if attempt.faithful]
        past = self.archive.sample(int(self.config.past * total), seed)
        static = _static(seeds[-max(1, round_half((1 - self.config.current - self.config.past) * total)) :], round)
        queries = {q.id: q for q in (*current, *past, *static)}
        return list(queries.values())

    def _rewrite(self, seeds: Sequence[Seed], round: int, seed: int) -> list[Attempt]:
        asked = [s for s in seeds for _ in range(self.config.candidates)]
        ids = {s.id: tuple(self.chat.prompt_ids(prompts.attack(s.text), self.config.max_new_tokens)) for s in seeds}
        requests = [
            GenerationRequest("attacker", ids[s.id], self.config.max_new_tokens, self.config.temperature) for s in asked
        ]
        written: dict[str, tuple[Seed, Generation, str, str]] = {}
        for s, generation in zip(asked, self.generator.generate(requests, seed), strict=True):
            tactic, text = prompts.read_attack(generation.text)
            if text:
                written.setdefault(content_id("attack", s.id, generation.text), (s, generation, tactic, text))
        texts, categories = [text for *_, text in written.values()], [s.category for s, *_ in written.values()]
        novelty = self.archive.novelty(texts, categories)
        out = []
        for (identity, (s, generation, tactic, text)), n in zip(written.items(), novelty.tolist(), strict=True):
            query = Query(identity, s.id, text, s.kind, s.category, tactic, "attacker", round, n)
            faithful = faithfulness(s.text, text) >= self.config.faithful
            out.append(Attempt(query, faithful, ids[s.id], generation))
        return out

    def learn(
        self, failures: Mapping[str, Sequence[float]], weaknesses: Mapping[str, str], seed: int
    ) -> dict[str, float]:
        """One DPO phase on this round's attempts, then remember those that were asked.

        Args:
            failures: per query id the critic's P(the learner failed) for each of its sampled responses.
            weaknesses: per query id the critique of the worst response.
            seed: seed of the training phase.
        """
        strengths = [attack_strength(failures.get(a.query.id, [0.0]), 1.0) for a in self._attempts]
        rewards = self._rewards(strengths, weaknesses)
        rows = self._pairs(rewards)
        metrics = {
            "reward": float(np.mean(rewards)) if rewards else 0.0,
            "faithful": float(np.mean([a.faithful for a in self._attempts])) if rewards else 0.0,
            "pairs": float(len(rows)),
        }
        if rows:
            settings = DPOSettings(
                beta=self.config.beta, learning_rate=self.config.learning_rate, batch_size=self.config.batch_size
            )
            metrics |= self.trainer.dpo("attacker", rows, settings, [], seed)
        asked = [(a.query, s) for a, s in zip(self._attempts, strengths, strict=True) if a.query.id in failures]
        self.archive.add([q for q, _ in asked], [weaknesses.get(q.id, "") for q, _ in asked], [s for _, s in asked])
        return metrics

    def _rewards(self, strengths: Sequence[float], weaknesses: Mapping[str, str]) -> list[float]:
        if not self._attempts:
            return []
        own = [a.query for a in self._attempts]
        texts, categories = [q.text for q in own], [q.category for q in own]
        said = [weaknesses.get(q.id, "") for q in own]
        reference = self.generator.sequence_logprobs(
            None, [a.prompt_ids for a in self._attempts], [a.generation.token_ids for a in self._attempts]
        )
        reward = attack_reward(
            strengths,
            [q.novelty for q in own],
            self.archive.behaviour_novelty(said, categories),
            self.archive.rarity(categories, [q.tactic for q in own]),
            self_bleu(texts),
            faithful=[a.faithful for a in self._attempts],
            fluent=[bool(r) and tail_logprob(r) >= self.config.fluency_floor for r in reference],
            addresses_judge=[prompts.addresses_grader(t) for t in texts],
            duplicate=self.archive.duplicates(texts, self.config.duplicate),
        )
        return [float(r) for r in reward]

    def _pairs(self, rewards: Sequence[float]) -> list[dict[str, Any]]:
        """Best against worst attempt on each seed, the clearest first."""
        by_seed: dict[str, list[tuple[float, Attempt]]] = {}
        for attempt, reward in zip(self._attempts, rewards, strict=True):
            by_seed.setdefault(attempt.query.seed_id, []).append((reward, attempt))
        rows: list[tuple[float, dict[str, Any]]] = []
        for tries in by_seed.values():
            tries.sort(key=lambda pair: pair[0])
            (low, worst), (high, best) = tries[0], tries[-1]
            if high - low < MIN_GAIN:
                continue
            row = {
                "prompt_ids": list(best.prompt_ids),
                "chosen_ids": self._closed(best.generation),
                "rejected_ids": self._closed(worst.generation),
                "q": 1.0,
                "w": min(1.0, high - low),
            }
            rows.append((high - low, row))
        return [row for _, row in sorted(rows, key=lambda r: r[0], reverse=True)[: self.config.max_pairs]]

    def _closed(self, generation: Generation) -> list[int]:
        return self.chat.closed(generation.token_ids) if generation.finished else list(generation.token_ids)

    def state(self) -> list[dict[str, Any]]:
        """What a committed round keeps of this role: the archive."""
        return self.archive.to_rows()

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Take up a committed state."""
        self.archive = Archive.from_rows(state)
        self._attempts = []


def round_half(value: float) -> int:
    """Nearest integer, halves up."""
    return int(value + 0.5)


def _static(seeds: Sequence[Seed], round: int) -> list[Query]:
    """The opponents that never learn: a third of the seeds as they are, the others under the trained families in turn.

    Neighbours share a family, so that harmful and benign seeds, which alternate, meet the same ones.
    """
    first, second, third = TRAINED[:2], TRAINED[2:4], TRAINED[4:]
    turns = ("plain", *first, "plain", *second, "plain", *third)
    out = []
    for number, s in enumerate(seeds):
        family = turns[(number // 2 + round) % len(turns)]
        text = wrap(family, s.text, random.Random(f"{family}/{s.id}"))
        out.append(Query(content_id("static", family, s.id), s.id, text, s.kind, s.category, family, "static", round))
    return out


def draw_seeds(seeds: Sequence[Seed], count: int, round: int, seed: int) -> list[Seed]:
    """A round's seeds: half harmful, half benign where both are at hand, walking through shuffled pools."""
    pools = [[s for s in seeds if s.kind == kind] for kind in ("harmful", "benign")]
    chosen: list[list[Seed]] = []
    for number, pool in enumerate(p for p in pools if p):
        random.Random(f"{seed}/{number}").shuffle(pool)
        want = count if not all(pools) else count // 2
        start = (round - 1) * want
        chosen.append([pool[(start + i) % len(pool)] for i in range(min(want, len(pool)))])
    longest = max(map(len, chosen), default=0)
    return [half[i] for i in range(longest) for half in chosen if i < len(half)]
