"""The critic: verdicts as probabilities, critiques that quote, and what it learns from experts and planted flaws."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from superalign.config import Config
from superalign.experts.items import Item
from superalign.feedback.blending import annotator_errors
from superalign.feedback.calibration import Calibrator, propensity_weights
from superalign.feedback.planting import planted_flaws
from superalign.generation.base import GenerationRequest, Generator
from superalign.models import load_chat
from superalign.records import Critique, ExpertLabel, Judgement, JudgementKind, Query, Response, content_id
from superalign.roles import prompts
from superalign.training.base import SFTSettings, Trainer

Pair = tuple[Query, Response, Response]
Case = tuple[Query, Response]


class Critic:
    """Judges points and pairs from the logits of its verdict words, explains, learns, and is calibrated."""

    def __init__(self, config: Config, generator: Generator, trainer: Trainer | None, role: str = "critic") -> None:
        """Hold the services; without a trainer (a frozen judge) it can judge but not learn."""
        self.config = config.critic
        self.role, self.generator, self.trainer = role, generator, trainer
        self.chat = load_chat(config.model_of("critic"))
        self.calibrators: dict[JudgementKind, Calibrator] = {"point": Calibrator(), "pair": Calibrator()}
        self._labelled: list[tuple[Item, ExpertLabel]] = []

    # judging

    def judge_points(self, cases: Sequence[Case], seed: int) -> list[Judgement]:
        """P(acceptable) of each response; equal texts are judged once."""
        logits = self._point_logits([(q.text, r.text) for q, r in cases])
        if self.config.verdicts == "shuffled":
            random.Random(f"point/{seed}").shuffle(logits)
        version = self.generator.versions()[self.role]
        out = []
        for (query, response), logit in zip(cases, logits, strict=True):
            p = self.calibrators["point"].apply(logit, query.category)
            out.append(
                Judgement(
                    content_id("point", response.id),
                    "point",
                    query.id,
                    response.id,
                    "",
                    query.category,
                    logit,
                    p,
                    0.0,
                    False,
                    abs(p - 0.5) < self.config.abstain,
                    version,
                )
            )
        return out

    def judge_pairs(self, pairs: Sequence[Pair]) -> list[Judgement]:
        """P(first better) of each pair: the mean of two views, with their variance.

        One view compares, in both orders: (p_AB + 1 - p_BA)/2, calibrated; orders that contradict each other are a
        flip, and a flip abstains. The other is implied by the two point verdicts a and b, told apart by the
        odds that just one is acceptable: a(1-b) / (a(1-b) + b(1-a)).
        """
        texts = [(q.text, a.text, b.text) for q, a, b in pairs]
        logits, flips = self._pair_logits(texts)
        points = self._point_logits([(q.text, r.text) for q, a, b in pairs for r in (a, b)])
        version = self.generator.versions()[self.role]
        out = []
        for i, (query, first, second) in enumerate(pairs):
            compared = self.calibrators["pair"].apply(logits[i], query.category)
            p_first, p_second = (self.calibrators["point"].apply(x, query.category) for x in points[2 * i : 2 * i + 2])
            implied = p_first * (1 - p_second) / max(p_first * (1 - p_second) + p_second * (1 - p_first), 1e-6)
            p = (compared + implied) / 2
            out.append(
                Judgement(
                    content_id("pair", first.id, second.id),
                    "pair",
                    query.id,
                    first.id,
                    second.id,
                    query.category,
                    logits[i],
                    p,
                    (compared - implied) ** 2 / 4,
                    flips[i],
                    flips[i] or abs(p - 0.5) < self.config.abstain,
                    version,
                )
            )
        return out

    def _prompt(self, messages: prompts.Messages) -> list[int]:
        return self.chat.prompt_ids(messages, self.config.max_new_tokens)

    def _choices(self, words: tuple[str, str]) -> list[int]:
        return [self.chat.encode(word)[0] for word in words]

    def _point_logits(self, texts: Sequence[tuple[str, str]], role: str | None = None) -> list[float]:
        unique = list(dict.fromkeys(texts))
        asked = [tuple(self._prompt(prompts.judge_point(*text))) for text in unique]
        found = self.generator.choice_logits(role or self.role, asked, self._choices(prompts.ACCEPTABLE))
        logit = {text: yes - no for text, (yes, no) in zip(unique, found, strict=True)}
        return [logit[text] for text in texts]

    def _pair_logits(self, texts: Sequence[tuple[str, str, str]]) -> tuple[list[float], list[bool]]:
        orders = [t for q, a, b in texts for t in ((q, a, b), (q, b, a))]
        unique = list(dict.fromkeys(orders))
        asked = [tuple(self._prompt(prompts.judge_pair(*text))) for text in unique]
        found = self.generator.choice_logits(self.role, asked, self._choices(prompts.BETTER))
        first = {text: _sigmoid(one - two) for text, (one, two) in zip(unique, found, strict=True)}
        logits, flips = [], []
        for query, a, b in texts:
            p_ab, p_ba = first[query, a, b], first[query, b, a]
            p = min(max((p_ab + 1 - p_ba) / 2, 1e-4), 1 - 1e-4)
            logits.append(math.log(p / (1 - p)))
            flips.append((p_ab > 0.5) == (p_ba > 0.5))
        return logits, flips

    def critique(self, cases: Sequence[Case], verdicts: Sequence[Judgement], seed: int) -> list[Critique]:
        """A critique of each response that justifies the calibrated verdict; quotes are checked to be exact."""
        words = [prompts.ACCEPTABLE[v.p < 0.5] for v in verdicts]
        requests = []
        for (query, response), word in zip(cases, words, strict=True):
            ids = (*self._prompt(prompts.judge_point(query.text, response.text)), *self.chat.encode(word))
            requests.append(GenerationRequest(self.role, ids, self.config.max_new_tokens, 0.0))
        out = []
        for (_, response), word, said in zip(cases, words, self.generator.generate(requests, seed), strict=True):
            text = word + said.text
            quotes, unsupported = prompts.read_critique(text, response.text)
            out.append(
                Critique(content_id("critique", response.id), response.id, text, quotes, unsupported, said.version)
            )
        return out

    # learning

    def learn(
        self,
        answered: Sequence[tuple[Item, ExpertLabel]],
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
        training = [pair for pair in self._labelled if not self._held_back(pair[0])]
        rows = [
            row
            for item, label in training
            for row in self._rows(item.query, item.first, item.second, label.value, 1.0)
            * (1 if item.id in known else self.config.epochs)
        ]
        rng = random.Random(f"planted/{seed}")
        share = self.config.planted_share
        planted = self._planted(
            clean, rng, round(len(rows) * share / (1 - share)) if rows else self.config.batch_size * 4
        )
        rehearsed = self._rehearsed(
            familiar, {(item.query, text) for item, _ in self._labelled for text in (item.first, item.second)}, seed
        )
        metrics = {
            "expert_rows": float(len(rows)),
            "planted_rows": float(len(planted)),
            "rehearsed_rows": float(len(rehearsed)),
        }
        if rows or planted:
            c = self.config
            settings = SFTSettings(learning_rate=c.learning_rate, batch_size=c.batch_size)
            metrics |= self.trainer.sft(self.role, [*rows, *planted, *rehearsed], settings, seed)
        return metrics

    def _held_back(self, item: Item) -> bool:
        return int(content_id("calibration", item.id), 16) / 16**16 < self.config.calibration_share

    def _rows(self, query: str, first: str, second: str, value: float, weight: float) -> list[dict[str, Any]]:
        """Training rows of one label: the verdict word behind the prompt; pairs in both orders; ties teach nothing."""
        if value == 0.5:
            return []
        if not second:
            prompt, word = prompts.judge_point(query, first), prompts.ACCEPTABLE[value < 0.5]
            return [self._row(prompt, word, weight)]
        orders = ((first, second, value), (second, first, 1 - value))
        return [self._row(prompts.judge_pair(query, a, b), prompts.BETTER[v < 0.5], weight / 2) for a, b, v in orders]

    def _row(self, prompt: prompts.Messages, word: str, weight: float) -> dict[str, Any]:
        return {
            "prompt_ids": self._prompt(prompt),
            "completion_ids": self.chat.encode(word)[:1],
            "weight": weight,
        }

    def _planted(self, clean: Sequence[tuple[str, str]], rng: random.Random, count: int) -> list[dict[str, Any]]:
        """Rows of planted flaws: the answer is acceptable, the flawed one is not, and the answer is the better one."""
        rows: list[dict[str, Any]] = []
        for query, response, flawed in planted_flaws(clean, rng):
            rows += self._rows(query, response, "", 1.0, 0.5) + self._rows(query, flawed, "", 0.0, 0.5)
            rows += self._rows(query, response, flawed, 1.0, 0.5)
            if len(rows) >= count:
                break
        return rows[:count]

    def _rehearsed(
        self, familiar: Sequence[tuple[str, str]], labelled: set[tuple[str, str]], seed: int
    ) -> list[dict[str, Any]]:
        """Verdicts of the critic before any training, against forgetting (learning without forgetting, 1606.09282).

        On texts that no expert has seen, and only where the critic still agrees: what experts have taught since then
        is not undone. A row counts (2p - 1)^2/2 by the initial p.
        """
        fresh = [text for text in dict.fromkeys(familiar) if text not in labelled]
        chosen = random.Random(f"rehearsed/{seed}").sample(fresh, min(self.config.rehearsed, len(fresh)))
        now, before = self._point_logits(chosen), self._point_logits(chosen, role="judge")
        return [
            row
            for (query, response), x, y in zip(chosen, now, before, strict=True)
            if (x > 0) == (y > 0)
            for row in self._rows(query, response, "", float(y > 0), math.tanh(y / 2) ** 2 / 2)
        ]

    def calibrate(self) -> dict[str, float]:
        """Fit both calibrators on the held-back labels, judged by the critic as it is now."""
        held = [pair for pair in self._labelled if self._held_back(pair[0])]
        sizes: dict[str, float] = {}
        for kind in ("point", "pair"):
            mine = [(item, label) for item, label in held if item.kind == kind]
            self.calibrators[kind], _ = self._calibrated(mine, self._labelled)
            sizes[f"calibration_{kind}s"] = float(len(mine))
        return sizes

    def _calibrated(
        self, held: Sequence[tuple[Item, ExpertLabel]], everything: Sequence[tuple[Item, ExpertLabel]]
    ) -> tuple[Calibrator, list[float]]:
        """A calibration fitted on items of one kind, and their logits."""
        errors = annotator_errors(label for _, label in everything)
        logits = self._item_logits([item for item, _ in held])
        fitted = Calibrator.fit(
            logits,
            [label.value for _, label in held],
            propensity_weights([item.pi for item, _ in held]),
            [item.category for item, _ in held],
            [errors[label.annotator] for _, label in held],
        )
        return fitted, logits

    def examined(self, answered: Sequence[tuple[Item, ExpertLabel]]) -> tuple[list[float], list[float], list[str]]:
        """(p, label, query id) of the point labels that are held back, as a calibration on these very labels gives p.

        Nothing is remembered. Weights from before and after a phase of training are compared fairly by it: neither
        has seen these labels, and the calibration of both has.
        """
        held = [pair for pair in answered if pair[0].kind == "point" and self._held_back(pair[0])]
        fitted, logits = self._calibrated(held, answered)
        p = fitted.apply_all(logits, [item.category for item, _ in held]).tolist()
        known = [(x, y.value, item.query_id) for x, (item, y) in zip(p, held, strict=True) if y.value != 0.5]
        return [x for x, _, _ in known], [y for _, y, _ in known], [query for _, _, query in known]

    def _item_logits(self, items: Sequence[Item]) -> list[float]:
        if items and items[0].kind == "pair":
            return self._pair_logits([(i.query, i.first, i.second) for i in items])[0]
        return self._point_logits([(i.query, i.first) for i in items])

    def probabilities(self, cases: Sequence[tuple[str, str, str]]) -> list[float]:
        """Calibrated P(acceptable) of (query, response, category) texts, never shuffled."""
        logits = self._point_logits([(q, r) for q, r, _ in cases])
        return [self.calibrators["point"].apply(x, c) for x, (_, _, c) in zip(logits, cases, strict=True)]

    def heldout(self) -> tuple[list[float], list[float], list[str]]:
        """(p, label, query id) of the point items held back from training: what accuracy can be measured on."""
        items = [(i, x.value) for i, x in self._labelled if i.kind == "point" and self._held_back(i) and x.value != 0.5]
        p = self.probabilities([(i.query, i.first, i.category) for i, _ in items])
        return p, [v for _, v in items], [i.query_id for i, _ in items]

    def state(self) -> dict[str, Any]:
        """What a committed round keeps of this role beside its adapter: the calibration."""
        return {kind: calibrator.to_row() for kind, calibrator in self.calibrators.items()}

    def restore(self, state: Mapping[str, Any], answered: Sequence[tuple[Item, ExpertLabel]]) -> None:
        """Take up a committed state."""
        self.calibrators = {"point": Calibrator.from_row(state["point"]), "pair": Calibrator.from_row(state["pair"])}
        self._labelled = list(answered)


def contrasts(cases: Sequence[Case], verdicts: Sequence[Judgement], per_query: int = 2) -> list[Pair]:
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


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))
