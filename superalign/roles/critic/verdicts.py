"""Verdicts as probabilities: of points and pairs, from the logits of verdict words, calibrated on experts' labels."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superalign.config.schema import Config
from superalign.experts.items import Item
from superalign.feedback.calibration import Calibrator, cross_fitted, held_back
from superalign.generation.base import Generator
from superalign.models import load_chat
from superalign.prompts import templates
from superalign.records import ExpertLabel, Judgement, JudgementKind, Query, Response, content_id
from superalign.roles.critic.uncertainty import Ask, Members, as_asked, members, squared_deviation
from superalign.stats.annotators import annotator_errors
from superalign.stats.classification import propensity_weights
from superalign.stats.labelled_set import LabelledSet
from superalign.training.base import Trainer

Pair = tuple[Query, Response, Response]
Case = tuple[Query, Response]


class VerdictModel:
    """Judges points and pairs from the logits of its verdict words, and is calibrated on labels held back."""

    def __init__(self, config: Config, generator: Generator, trainer: Trainer | None, role: str = "critic") -> None:
        """Hold the services; without a trainer (a frozen judge) it can judge but not learn."""
        self.all, self.config = config, config.critic
        self.role, self.generator, self.trainer = role, generator, trainer
        self.chat = load_chat(config.model_of("critic"))
        self.calibrators: dict[JudgementKind, Calibrator] = {"point": Calibrator(), "pair": Calibrator()}
        self._labelled: list[tuple[Item, ExpertLabel]] = []

    def judge_points(self, cases: Sequence[Case], seed: int) -> list[Judgement]:
        """P(acceptable) of each response; equal texts are judged once."""
        texts = [(q.text, r.text) for q, r in cases]
        found = list(zip(self._point_logits(texts), self._point_variances(texts, cases), strict=True))
        if self.config.verdicts == "shuffled":
            random.Random(f"point/{seed}").shuffle(found)
        version = self.generator.versions()[self.role]
        out = []
        for (query, response), (logit, variance) in zip(cases, found, strict=True):
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
                    variance,
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
        logits, flips, views = self._views(pairs)
        means = [(compared + implied) / 2 for compared, implied in views]
        spread = squared_deviation(means, [self._means(pairs, ask) for ask in self._members()])
        version = self.generator.versions()[self.role]
        out = []
        for i, (query, first, second) in enumerate(pairs):
            compared, implied = views[i]
            p = means[i]
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
                    max((compared - implied) ** 2 / 4, spread[i]),
                    flips[i],
                    flips[i] or abs(p - 0.5) < self.config.abstain,
                    version,
                )
            )
        return out

    def _views(
        self, pairs: Sequence[Pair], ask: Ask = as_asked
    ) -> tuple[list[float], list[bool], list[tuple[float, float]]]:
        """Raw log-odds and flips of the comparison, and both views' probabilities."""
        logits, flips = self._pair_logits([(q.text, a.text, b.text) for q, a, b in pairs], ask)
        points = self._point_logits([(q.text, r.text) for q, a, b in pairs for r in (a, b)], ask=ask)
        views = []
        for i, (query, _, _) in enumerate(pairs):
            compared = self.calibrators["pair"].apply(logits[i], query.category)
            p_first, p_second = (self.calibrators["point"].apply(x, query.category) for x in points[2 * i : 2 * i + 2])
            implied = p_first * (1 - p_second) / max(p_first * (1 - p_second) + p_second * (1 - p_first), 1e-6)
            views.append((compared, implied))
        return logits, flips, views

    def _means(self, pairs: Sequence[Pair], ask: Ask) -> list[float]:
        return [(compared + implied) / 2 for compared, implied in self._views(pairs, ask)[2]]

    def _point_variances(self, texts: Sequence[tuple[str, str]], cases: Sequence[Case]) -> list[float]:
        """How far the members' probabilities are from the critic's own; 0 where one view is all there is."""
        categories = [q.category for q, _ in cases]

        def probabilities(ask: Ask) -> list[float]:
            return [
                float(p) for p in self.calibrators["point"].apply_all(self._point_logits(texts, ask=ask), categories)
            ]

        members = [probabilities(ask) for ask in self._members()]
        return squared_deviation(probabilities(as_asked) if members else [0.0] * len(texts), members)

    def _members(self) -> Members:
        return members(self.config, self.role, self.generator, self.trainer)

    def _prompt(self, messages: templates.Messages) -> list[int]:
        return self.chat.prompt_ids(messages, self.config.max_new_tokens)

    def _choices(self, words: tuple[str, str]) -> list[int]:
        return [self.chat.encode(word)[0] for word in words]

    def _point_messages(self, query: str, response: str, role: str) -> templates.Messages:
        """What `role` is asked about a response; debates put arguments in."""
        return templates.judge_point(query, response)

    def _pair_messages(self, query: str, first: str, second: str) -> templates.Messages:
        """What the critic is asked about two responses."""
        return templates.judge_pair(query, first, second)

    def _prepare(self, texts: Sequence[tuple[str, str]]) -> None:
        """Make at once whatever the messages about these (query, response) texts need."""

    def _point_logits(
        self, texts: Sequence[tuple[str, str]], role: str | None = None, ask: Ask = as_asked
    ) -> list[float]:
        role = role or self.role
        unique = list(dict.fromkeys(texts))
        if role == self.role:
            self._prepare(unique)
        asked = [tuple(self._prompt(ask(self._point_messages(*text, role)))) for text in unique]
        found = self.generator.choice_logits(role, asked, self._choices(templates.ACCEPTABLE))
        logit = {text: yes - no for text, (yes, no) in zip(unique, found, strict=True)}
        return [logit[text] for text in texts]

    def _pair_logits(
        self, texts: Sequence[tuple[str, str, str]], ask: Ask = as_asked
    ) -> tuple[list[float], list[bool]]:
        orders = [t for q, a, b in texts for t in ((q, a, b), (q, b, a))]
        unique = list(dict.fromkeys(orders))
        self._prepare([(q, first) for q, first, _ in unique])
        asked = [tuple(self._prompt(ask(self._pair_messages(*text)))) for text in unique]
        found = self.generator.choice_logits(self.role, asked, self._choices(templates.BETTER))
        first = {text: _sigmoid(one - two) for text, (one, two) in zip(unique, found, strict=True)}
        logits, flips = [], []
        for query, a, b in texts:
            p_ab, p_ba = first[query, a, b], first[query, b, a]
            p = min(max((p_ab + 1 - p_ba) / 2, 1e-4), 1 - 1e-4)
            logits.append(math.log(p / (1 - p)))
            flips.append((p_ab > 0.5) == (p_ba > 0.5))
        return logits, flips

    # calibration

    def _plantable(self, labelled: int) -> int:
        """How many synthetic flaws there are beside so many labels; some batches where there are none."""
        share = self.config.synthetic_flaw_share
        return round(labelled * share / (1 - share)) if labelled or not share else self.config.batch_size * 4

    def _unlabelled(self, texts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The (query, response) texts that no expert has answered about, of items held back or not."""
        labelled = {(item.query, text) for item, _ in self._labelled for text in (item.first, item.second)}
        return [text for text in texts if text not in labelled]

    def _held_back(self, item: Item) -> bool:
        return held_back(item, self.config.calibration_share)

    def withheld(self, answered: Sequence[tuple[Item, ExpertLabel]]) -> list[tuple[Item, ExpertLabel]]:
        """The labels never trained on, the newest alone: every round judges them all. Given in the order of rounds."""
        return [pair for pair in answered if self._held_back(pair[0])][-self.config.calibration_labels :]

    def calibrate(self, errors: Mapping[str, float] | None = None) -> dict[str, float]:
        """Fit both calibrators on the held-back labels, judged by the critic as it is now.

        `errors` are eps of the annotators; by default they are told from blind doubles alone.
        """
        held = self.withheld(self._labelled)
        sizes: dict[str, float] = {}
        for kind in ("point", "pair"):
            mine = [(item, label) for item, label in held if item.kind == kind]
            self.calibrators[kind], _ = self._calibrated(mine, self._labelled, errors)
            sizes[f"calibration_{kind}s"] = float(len(mine))
        return sizes

    def _calibrated(
        self,
        held: Sequence[tuple[Item, ExpertLabel]],
        everything: Sequence[tuple[Item, ExpertLabel]],
        errors: Mapping[str, float] | None,
    ) -> tuple[Calibrator, list[float]]:
        """A calibration fitted on items of one kind, and their logits."""
        if errors is None:
            errors = annotator_errors(label for _, label in everything)
        evidence = self._evidence(held, errors)
        return Calibrator.fit(*evidence), evidence[0]

    def _evidence(
        self, held: Sequence[tuple[Item, ExpertLabel]], errors: Mapping[str, float]
    ) -> tuple[list[float], list[float], NDArray[np.float64], list[str], list[float]]:
        """What `Calibrator.fit` is told of labelled items of one kind: logits, labels, weights, categories, errors."""
        return (
            self._item_logits([item for item, _ in held]),
            [label.value for _, label in held],
            propensity_weights([item.pi for item, _ in held]),
            [item.category for item, _ in held],
            [errors[label.annotator] for _, label in held],
        )

    def examined(
        self, answered: Sequence[tuple[Item, ExpertLabel]], errors: Mapping[str, float] | None = None
    ) -> tuple[list[float], list[float], list[str], list[float]]:
        """(p, label, query id, weight) of the point labels that are held back, calibrated on these very labels.

        Nothing is remembered. Weights from before and after a phase of training are compared fairly by it: neither
        has seen these labels, and the calibration of both has. Items were drawn because the critic was unsure of them,
        which the weights of the labels undo.
        """
        held = [pair for pair in self.withheld(answered) if pair[0].kind == "point"]
        fitted, logits = self._calibrated(held, answered, errors)
        p = fitted.apply_all(logits, [item.category for item, _ in held]).tolist()
        known = [(x, y.value, item) for x, (item, y) in zip(p, held, strict=True) if y.value != 0.5]
        weights = propensity_weights([item.pi for _, _, item in known]).tolist()
        return [x for x, _, _ in known], [y for _, y, _ in known], [item.query_id for _, _, item in known], weights

    def _item_logits(self, items: Sequence[Item]) -> list[float]:
        if items and items[0].kind == "pair":
            return self._pair_logits([(i.query, i.first, i.second) for i in items])[0]
        return self._point_logits([(i.query, i.first) for i in items])

    def probabilities(self, cases: Sequence[tuple[str, str, str]]) -> list[float]:
        """Calibrated P(acceptable) of (query, response, category) texts, never shuffled."""
        logits = self._point_logits([(q, r) for q, r, _ in cases])
        return [self.calibrators["point"].apply(x, c) for x, (_, _, c) in zip(logits, cases, strict=True)]

    def heldout(self) -> tuple[LabelledSet, list[float]]:
        """The point items held back from training, to examine the critic on, and its probabilities of them.

        They were drawn because the critic was unsure of them, which the weights undo. It is calibrated on these very
        labels, so each probability is of a calibration on the others.
        """
        held = [(i, x) for i, x in self.withheld(self._labelled) if i.kind == "point" and x.value != 0.5]
        evidence = self._evidence(held, annotator_errors(x for _, x in self._labelled))
        p = cross_fitted(*evidence, [i.query for i, _ in held])
        _, truth, weights, *_ = evidence
        cases, clusters = [(i.query, i.first, i.category) for i, _ in held], [i.query_id for i, _ in held]
        against = "expert labels held back from training"
        return LabelledSet(against, cases, truth, clusters, weights.tolist()), p.tolist()

    def state(self) -> dict[str, Any]:
        """What a committed round keeps of this role beside its adapter: the calibration."""
        return {kind: calibrator.to_row() for kind, calibrator in self.calibrators.items()}

    def restore(self, state: Mapping[str, Any], answered: Sequence[tuple[Item, ExpertLabel]]) -> None:
        """Take up a committed state."""
        self.calibrators = {"point": Calibrator.from_row(state["point"]), "pair": Calibrator.from_row(state["pair"])}
        self._labelled = list(answered)


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))
