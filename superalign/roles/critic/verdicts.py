"""The critic as the loop uses it: its scores as calibrated judgements, with variance, abstention and provenance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superalign.config.schema import Config
from superalign.config.sections import AdapterCriticConfig
from superalign.errors import UserError
from superalign.experts.items import Item
from superalign.feedback.calibration import Calibrator, cross_fitted, held_back
from superalign.generation.base import Generator
from superalign.prompts import templates
from superalign.records import Critique, ExpertLabel, Judgement, JudgementKind, Query, Response, content_id
from superalign.registry import CRITICS
from superalign.roles.critic.critiques import critique_of
from superalign.roles.critic.uncertainty import squared_deviation
from superalign.roles.protocols import (
    ACCEPTABLE,
    Case,
    CriticBatch,
    Ensemble,
    Learns,
    Pair,
    Point,
    Score,
    Scorer,
    Services,
    WritesCritiques,
)
from superalign.stats.annotators import annotator_errors
from superalign.stats.classification import propensity_weights
from superalign.stats.labelled_set import LabelledSet
from superalign.training.base import Trainer

ResponsePair = tuple[Query, Response, Response]
Labelled = tuple[Item, ExpertLabel]


class VerdictModel:
    """Judges points and pairs by what its critic scores, and is calibrated on labels held back from that critic."""

    def __init__(
        self,
        config: Config,
        generator: Generator,
        trainer: Trainer | None,
        role: str = "critic",
        kind: str | None = None,
    ) -> None:
        """The critic of the settings, or the one named by `kind`; without a trainer it can judge but not learn."""
        self.config, self.role, self.generator = config.critic, role, generator
        self.kind = kind or config.critic.kind
        own = isinstance(config.critic, AdapterCriticConfig) or self.kind == config.critic.kind
        settings = config.critic if own else AdapterCriticConfig(max_new_tokens=config.critic.max_new_tokens)
        self.critic = CRITICS.load(self.kind)(settings, Services(config, generator, trainer, role))
        self.calibrators: dict[JudgementKind, Calibrator] = {"point": Calibrator(), "pair": Calibrator()}
        self._labelled: list[Labelled] = []

    def judge_points(self, cases: Sequence[Case], seed: int) -> list[Judgement]:
        """P(acceptable) of each response; `seed` is for placebos, a critic's own verdicts need none."""
        found = self._believed([Point(q.text, r.text, q.category) for q, r in cases], seed)
        version, out = self.generator.versions()[self.role], []
        for (query, response), (logit, variance) in zip(cases, found, strict=True):
            p = self.calibrators["point"].apply(logit, query.category)
            out.append(self._judgement(query, (response.id,), logit, p, variance, version))
        return out

    def judge_pairs(self, pairs: Sequence[ResponsePair]) -> list[Judgement]:
        """P(first better) of each pair: the mean of two views, with their variance.

        One view compares, in both orders where the critic does so: (p_AB + 1 - p_BA)/2, calibrated; orders that
        contradict each other are a flip, and a flip abstains. The other is implied by the two point verdicts a and b,
        told apart by the odds that just one is acceptable: a(1-b) / (a(1-b) + b(1-a)).
        """
        texts = [Pair(q.text, a.text, b.text, q.category) for q, a, b in pairs]
        compared, views = self._views(self.critic, texts)
        means = [(direct + implied) / 2 for direct, implied in views]
        others = [[(d + i) / 2 for d, i in self._views(member, texts)[1]] for member in self._members()]
        spread = squared_deviation(means, others)
        version, out = self.generator.versions()[self.role], []
        for i, (query, first, second) in enumerate(pairs):
            (direct, implied), logit = views[i], self._acceptable(compared[i])
            variance = max((direct - implied) ** 2 / 4, spread[i])
            flip, ids = compared[i].contradictory, (first.id, second.id)
            out.append(self._judgement(query, ids, logit, means[i], variance, version, flip))
        return out

    def label_pairs(self, pairs: Sequence[ResponsePair], seed: int) -> list[Judgement]:
        """The verdicts on pairs that the learner learns from; `seed` is for placebos."""
        return self.judge_pairs(pairs)

    def votes(self, labels: Sequence[ExpertLabel]) -> list[ExpertLabel]:
        """The experts' labels that are fused with these verdicts."""
        return list(labels)

    def critique(self, cases: Sequence[Case], verdicts: Sequence[Judgement], seed: int) -> list[Critique]:
        """A critique of each response that justifies the calibrated verdict; of a critic without words the verdict."""
        accepted = [v.p >= 0.5 for v in verdicts]
        if isinstance(self.critic, WritesCritiques):
            said = self.critic.critique([Point(q.text, r.text, q.category) for q, r in cases], accepted, seed)
        else:
            said = [f"{templates.ACCEPTABLE[not yes]}." for yes in accepted]
        version = self.generator.versions()[self.role]
        return [critique_of(response, text, version) for (_, response), text in zip(cases, said, strict=True)]

    def learn(
        self,
        answered: Sequence[Labelled],
        clean: Sequence[tuple[str, str]],
        replay: Sequence[tuple[str, str]],
        seed: int,
    ) -> dict[str, float]:
        """Have the critic learn from the experts' labels so far; those held back it never sees.

        Args:
            answered: every label so far with its item; those whose item's hash falls into `calibration_share` are
                held back.
            clean: (query, response) texts believed to be good.
            replay: (query, response) texts of this round.
            seed: seed of the training phase.
        """
        known = frozenset(item.id for item, _ in self._labelled)
        self._labelled = list(answered)
        if not isinstance(self.critic, Learns):
            return {}
        training = [pair for pair in self._labelled if not self._held_back(pair[0])]
        fresh = self._unlabelled(dict.fromkeys(replay))
        return self.critic.learn(CriticBatch(training, known, self._unlabelled(clean), fresh), seed)

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

    def withheld(self, answered: Sequence[Labelled]) -> list[Labelled]:
        """The labels never trained on, the newest alone: every round judges them all. Given in the order of rounds."""
        return [pair for pair in answered if self._held_back(pair[0])][-self.config.calibration_labels :]

    def examined(
        self, answered: Sequence[Labelled], errors: Mapping[str, float] | None = None
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

    def probabilities(self, cases: Sequence[tuple[str, str, str]]) -> list[float]:
        """Calibrated P(acceptable) of (query, response, category) texts, never shuffled."""
        points = [Point(*case) for case in cases]
        logits = self._point_logits(self.critic, points)
        return [self.calibrators["point"].apply(x, p.category) for x, p in zip(logits, points, strict=True)]

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
        """What a committed round keeps of this role beside its adapter: the calibration, and what the critic keeps."""
        own = self.critic.state() if isinstance(self.critic, Learns) else {}
        return {**{kind: calibrator.to_row() for kind, calibrator in self.calibrators.items()}, "critic": own}

    def restore(self, state: Mapping[str, Any], answered: Sequence[Labelled]) -> None:
        """Take up a committed state."""
        self.calibrators = {"point": Calibrator.from_row(state["point"]), "pair": Calibrator.from_row(state["pair"])}
        self._labelled = list(answered)
        if isinstance(self.critic, Learns):
            self.critic.restore(state.get("critic", {}))

    def _judgement(
        self,
        query: Query,
        ids: tuple[str, ...],
        logit: float,
        p: float,
        variance: float,
        version: int,
        flip: bool = False,
    ) -> Judgement:
        """The record of a verdict on one response or two; what is near 1/2 or contradicts itself abstains."""
        kind: JudgementKind = "point" if len(ids) == 1 else "pair"
        first, second = (*ids, "")[:2]
        abstains = flip or abs(p - 0.5) < self.config.abstain
        about = content_id(kind, *ids), kind, query.id, first, second, query.category
        return Judgement(*about, logit, p, variance, flip, abstains, version)

    def _believed(self, points: Sequence[Point], seed: int) -> list[tuple[float, float]]:
        """Log-odds of each answer, and how far the members' probabilities are from the critic's own (0 without any)."""
        logits, categories = self._point_logits(self.critic, points), [point.category for point in points]

        def probabilities(found: Sequence[float]) -> list[float]:
            return [float(p) for p in self.calibrators["point"].apply_all(found, categories)]

        others = [probabilities(self._point_logits(member, points)) for member in self._members()]
        return list(zip(logits, squared_deviation(probabilities(logits), others), strict=True))

    def _views(self, scorer: Scorer, pairs: Sequence[Pair]) -> tuple[list[Score], list[tuple[float, float]]]:
        """The raw comparisons, and both views' probabilities: compared, and implied by the points."""
        compared = scorer.score_pairs(pairs)
        points = self._point_logits(scorer, [Point(p.query, r, p.category) for p in pairs for r in (p.first, p.second)])
        views = []
        for i, (pair, score) in enumerate(zip(pairs, compared, strict=True)):
            direct = self.calibrators["pair"].apply(self._acceptable(score), pair.category)
            first, second = (self.calibrators["point"].apply(x, pair.category) for x in points[2 * i : 2 * i + 2])
            implied = first * (1 - second) / max(first * (1 - second) + second * (1 - first), 1e-6)
            views.append((direct, implied))
        return compared, views

    def _members(self) -> Iterable[Scorer]:
        return self.critic.members() if isinstance(self.critic, Ensemble) else ()

    def _point_logits(self, scorer: Scorer, points: Sequence[Point]) -> list[float]:
        """Log-odds that an answer is acceptable; equal texts are scored once."""
        unique = list(dict.fromkeys(points))
        found = dict(zip(unique, map(self._acceptable, scorer.score_points(unique)), strict=True))
        return [found[point] for point in points]

    def _acceptable(self, score: Score) -> float:
        if ACCEPTABLE not in score.log_odds:
            raise UserError(
                f"critic={self.kind} scores {', '.join(score.log_odds) or 'nothing'}: the loop learns from a dimension "
                f"named {ACCEPTABLE}"
            )
        return score.log_odds[ACCEPTABLE]

    def _unlabelled(self, texts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The (query, response) texts that no expert has answered about, of items held back or not."""
        labelled = {(item.query, text) for item, _ in self._labelled for text in (item.first, item.second)}
        return [text for text in texts if text not in labelled]

    def _held_back(self, item: Item) -> bool:
        return held_back(item, self.config.calibration_share)

    def _calibrated(
        self, held: Sequence[Labelled], everything: Sequence[Labelled], errors: Mapping[str, float] | None
    ) -> tuple[Calibrator, list[float]]:
        """A calibration fitted on items of one kind, and their logits."""
        if errors is None:
            errors = annotator_errors(label for _, label in everything)
        evidence = self._evidence(held, errors)
        return Calibrator.fit(*evidence), evidence[0]

    def _evidence(
        self, held: Sequence[Labelled], errors: Mapping[str, float]
    ) -> tuple[list[float], list[float], NDArray[np.float64], list[str], list[float]]:
        """What `Calibrator.fit` is told of labelled items of one kind: logits, labels, weights, categories, errors."""
        return (
            self._item_logits([item for item, _ in held]),
            [label.value for _, label in held],
            propensity_weights([item.pi for item, _ in held]),
            [item.category for item, _ in held],
            [errors[label.annotator] for _, label in held],
        )

    def _item_logits(self, items: Sequence[Item]) -> list[float]:
        if items and items[0].kind == "pair":
            scores = self.critic.score_pairs([Pair(i.query, i.first, i.second, i.category) for i in items])
            return [self._acceptable(score) for score in scores]
        return self._point_logits(self.critic, [Point(i.query, i.first, i.category) for i in items])
