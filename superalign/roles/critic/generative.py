"""The critic: its verdicts, critiques that quote, and what it learns from experts and planted flaws."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence, Set
from dataclasses import replace
from itertools import islice
from typing import Any

from superalign.experts.items import Item
from superalign.feedback.synthetic_flaws import planted_flaws
from superalign.generation.base import GenerationRequest
from superalign.prompts import templates
from superalign.records import Critique, ExpertLabel, Judgement, Query, Response, content_id
from superalign.roles.critic import critique_rl
from superalign.roles.critic.verdicts import Case, Pair, VerdictModel
from superalign.training.base import SFTSettings

Labelled = tuple[Item, ExpertLabel]
ROWS_OF_A_FLAW = 4  # the answer alone, the flawed one alone, both in either order


class Critic(VerdictModel):
    """Judges, explains its verdicts in critiques, and learns both."""

    def critique(self, cases: Sequence[Case], verdicts: Sequence[Judgement], seed: int) -> list[Critique]:
        """A critique of each response that justifies the calibrated verdict; quotes are checked to be exact."""
        words = [templates.ACCEPTABLE[v.p < 0.5] for v in verdicts]
        requests = []
        for (query, response), word in zip(cases, words, strict=True):
            ids = (*self._prompt(templates.judge_point(query.text, response.text)), *self.chat.encode(word))
            requests.append(GenerationRequest(self.role, ids, self.config.max_new_tokens, 0.0))
        out = []
        for (_, response), word, said in zip(cases, words, self.generator.generate(requests, seed), strict=True):
            text = word + said.text
            quotes, unsupported = templates.read_critique(text, response.text)
            out.append(
                Critique(content_id("critique", response.id), response.id, text, quotes, unsupported, said.version)
            )
        return out

    def learn(
        self,
        answered: Sequence[Labelled],
        clean: Sequence[tuple[str, str]],
        familiar: Sequence[tuple[str, str]],
        seed: int,
    ) -> dict[str, float]:
        """Train the verdicts on the experts' labels so far and on planted flaws, and rehearse what was known before.

        Labels count alike: propensities correct what is estimated from them (`calibrate`), but here they would mute
        the very items that were sent to the experts because the critic is wrong on them.

        Args:
            answered: every label so far with its item; those whose item's hash falls into `calibration_share` are
                never trained on.
            clean: (query, response) texts believed to be good; flaws are planted in them.
            familiar: (query, response) texts of this round, on some of which the initial verdicts are rehearsed.
            seed: seed of the training phase.
        """
        if self.trainer is None:
            raise ValueError("a frozen judge cannot learn")
        known = {item.id for item, _ in self._labelled}
        self._labelled = list(answered)
        clean = self._unlabelled(clean)
        training = self._replayed([pair for pair in self._labelled if not self._held_back(pair[0])], known, seed)
        self._prepare([(item.query, text) for item, _ in training for text in (item.first, item.second) if text])
        rows = [
            row
            for item, label in training
            for row in self._rows(item.query, item.first, item.second, label.value, 1.0)
            * (1 if item.id in known else self.config.epochs)
        ]
        rng = random.Random(f"planted/{seed}")
        planted = self._planted(clean, rng, self._plantable(len(rows)))
        rehearsed = self._rehearsed(familiar, seed)
        metrics = {
            "expert_rows": float(len(rows)),
            "planted_rows": float(len(planted)),
            "rehearsed_rows": float(len(rehearsed)),
        }
        if rows or planted:
            c = self.config
            settings = SFTSettings(learning_rate=c.learning_rate, batch_size=c.batch_size)
            metrics |= self.trainer.sft(self.role, [*rows, *planted, *rehearsed], settings, seed)
            if c.stages == 2:
                metrics |= self._second_stage(training, clean, [*rows, *planted, *rehearsed], seed)
        return metrics

    def _replayed(self, pairs: list[Labelled], known: Set[str], seed: int) -> list[Labelled]:
        """All new labels, and of the earlier ones so many that a round's training does not grow with their number."""
        old = [place for place, (item, _) in enumerate(pairs) if item.id in known]
        spared = max(0, len(old) - self.config.replayed)
        left_out = set(random.Random(f"replayed/{seed}").sample(old, spared))
        return [pair for place, pair in enumerate(pairs) if place not in left_out]

    def _second_stage(
        self,
        training: Sequence[Labelled],
        clean: Sequence[tuple[str, str]],
        anchors: Sequence[dict[str, Any]],
        seed: int,
    ) -> dict[str, float]:
        """Train the critiques of the verdicts just learned, beside the rows that taught these."""
        if self.trainer is None:
            raise ValueError("a frozen judge cannot learn")
        self.generator.load_adapter(self.role, self.trainer.adapter(self.role), self.trainer.version(self.role))
        cases = critique_rl.known_verdicts(training, clean, self.config, random.Random(f"coached/{seed}"))
        return critique_rl.train_critiques(self.all, self.generator, self.trainer, cases, anchors, self.role, seed)

    def _rows(self, query: str, first: str, second: str, value: float, weight: float) -> list[dict[str, Any]]:
        """Training rows of one label: the verdict word behind the prompt; pairs in both orders; ties teach nothing."""
        if value == 0.5:
            return []
        if not second:
            prompt, word = self._point_messages(query, first, self.role), templates.ACCEPTABLE[value < 0.5]
            return [self._row(prompt, word, weight)]
        orders = ((first, second, value), (second, first, 1 - value))
        return [
            self._row(self._pair_messages(query, a, b), templates.BETTER[v < 0.5], weight / 2) for a, b, v in orders
        ]

    def _row(self, prompt: templates.Messages, word: str, weight: float) -> dict[str, Any]:
        return {
            "prompt_ids": self._prompt(prompt),
            "completion_ids": self.chat.encode(word)[:1],
            "weight": weight,
        }

    def _planted(self, clean: Sequence[tuple[str, str]], rng: random.Random, count: int) -> list[dict[str, Any]]:
        """Rows of planted flaws: the answer is acceptable, the flawed one is not, and the answer is the better one."""
        found = list(islice(planted_flaws(clean, rng, self.config.subtle_flaws), -(-count // ROWS_OF_A_FLAW)))
        self._prepare([(query, text) for query, response, flawed in found for text in (response, flawed)])
        rows: list[dict[str, Any]] = []
        for query, response, flawed in found:
            rows += self._rows(query, response, "", 1.0, 0.5) + self._rows(query, flawed, "", 0.0, 0.5)
            rows += self._rows(query, response, flawed, 1.0, 0.5)
        return rows[:count]

    def _rehearsed(self, familiar: Sequence[tuple[str, str]], seed: int) -> list[dict[str, Any]]:
        """Verdicts of the critic before any training, against forgetting (learning without forgetting, 1606.09282).

        On texts that no expert has seen, and only where the critic still agrees: what experts have taught since then
        is not undone. A row counts (2p - 1)^2/2 by the initial p.
        """
        fresh = self._unlabelled(dict.fromkeys(familiar))
        chosen = random.Random(f"rehearsed/{seed}").sample(fresh, min(self.config.retention_rows, len(fresh)))
        now, before = self._point_logits(chosen), self._point_logits(chosen, role="judge")
        return [
            row
            for (query, response), x, y in zip(chosen, now, before, strict=True)
            if (x > 0) == (y > 0)
            for row in self._rows(query, response, "", float(y > 0), math.tanh(y / 2) ** 2 / 2)
        ]


def select_pairs(cases: Sequence[Case], verdicts: Sequence[Judgement], per_query: int = 2) -> list[Pair]:
    """The pairs worth judging: per query its best answers against its worst, in an order that tells nothing.

    Equal texts are one candidate; a query whose candidates all look alike to the critic gives no pair.
    """
    by_query: dict[str, dict[str, tuple[float, Query, Response]]] = {}
    for (query, response), verdict in zip(cases, verdicts, strict=True):
        by_query.setdefault(query.id, {}).setdefault(response.text, (verdict.p, query, response))
    pairs: list[Pair] = []
    for candidates in by_query.values():
        ranked = sorted(candidates.values(), key=lambda c: (c[0], c[2].id))
        for low in range(min(per_query, len(ranked) // 2)):
            (p_low, query, worst), (p_high, _, best) = ranked[low], ranked[-1 - low]
            if p_high - p_low < 0.1:
                break
            swap = int(content_id("order", best.id, worst.id), 16) % 2 == 1
            pairs.append((query, worst, best) if swap else (query, best, worst))
    return pairs


def shuffled(judgements: Sequence[Judgement], seed: int) -> list[Judgement]:
    """The same verdicts on other items: the placebo of `critic.verdicts=shuffled`."""
    ps = [(j.p, j.logit, j.abstained) for j in judgements]
    random.Random(f"verdicts/{seed}").shuffle(ps)
    return [replace(j, p=p, logit=x, abstained=a) for j, (p, x, a) in zip(judgements, ps, strict=True)]
