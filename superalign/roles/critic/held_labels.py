"""The labels held back from a critic: what it is calibrated and examined on, and never trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from superalign.config.sections import CriticConfig
from superalign.experts.items import Item
from superalign.feedback.calibration import FOLDS, Calibrator, cross_fitted, held_back
from superalign.records import content_share
from superalign.roles.critic.composition import Composition, Labelled
from superalign.roles.curated import CURATED
from superalign.roles.protocols import Pair, Point, Scorer
from superalign.stats.annotators import annotator_errors
from superalign.stats.classification import propensity_weights
from superalign.stats.labelled_set import LabelledSet


class HeldLabels:
    """Which labels are held back, and what the critic makes of them."""

    def __init__(self, settings: CriticConfig, critic: Scorer, composed: Composition) -> None:
        self.settings, self.critic, self.composed = settings, critic, composed

    def holds(self, item: Item) -> bool:
        """Whether the labels of an item are never trained on."""
        return held_back(item, self.settings.calibration_share)

    def withheld(self, answered: Sequence[Labelled]) -> list[Labelled]:
        """The labels never trained on, the newest alone: every round judges them all. Given in the order of rounds."""
        return [pair for pair in answered if self.holds(pair[0])][-self.settings.calibration_labels :]

    def examined(
        self, answered: Sequence[Labelled], errors: Mapping[str, float] | None = None
    ) -> tuple[list[float], list[float], list[str], list[float]]:
        """(p, label, query id, weight) of the point labels that are held back, calibrated on these very labels.

        Nothing is remembered. Weights from before and after a phase of training are compared fairly by it: neither
        has seen these labels, and the calibration of both has. Items were drawn because the critic was unsure of them,
        which the weights of the labels undo.
        """
        held = [pair for pair in self.withheld(answered) if pair[0].kind == "point"]
        fitted, logits = self.calibrated(held, answered, errors)
        p = fitted.apply_all(logits, [item.category for item, _ in held]).tolist()
        known = [(x, y.value, item) for x, (item, y) in zip(p, held, strict=True) if y.value != 0.5]
        weights = propensity_weights([item.pi for _, _, item in known]).tolist()
        return [x for x, _, _ in known], [y for _, y, _ in known], [item.query_id for _, _, item in known], weights

    def heldout(self, labelled: Sequence[Labelled]) -> tuple[LabelledSet, list[float]]:
        """The point items held back from training, to examine the critic on, and its probabilities of them.

        They were drawn because the critic was unsure of them, which the weights undo. It is calibrated on these very
        labels, so each probability is of a calibration on the others.
        """
        held = [(i, x) for i, x in self.withheld(labelled) if i.kind == "point" and x.value != 0.5]
        errors = annotator_errors(x for _, x in labelled)
        _, truth, weights, categories, eps = self._evidence(held, errors)
        groups = [i.query for i, _ in held]
        p = cross_fitted(self._logits_apart(held, errors), truth, weights, categories, eps, groups)
        cases, clusters = [(i.query, i.first, i.category) for i, _ in held], [i.query_id for i, _ in held]
        curated = any(i.lane == CURATED for i, _ in held)
        against = f"{'curated and ' if curated else ''}expert labels held back from training"
        return LabelledSet(against, cases, truth, clusters, weights.tolist()), p.tolist()

    def calibrated(
        self, held: Sequence[Labelled], everything: Sequence[Labelled], errors: Mapping[str, float] | None
    ) -> tuple[Calibrator, list[float]]:
        """A calibration fitted on items of one kind, and their logits."""
        if errors is None:
            errors = annotator_errors(label for _, label in everything)
        evidence = self._evidence(held, errors)
        return Calibrator.fit(*evidence), evidence[0]

    def _logits_apart(self, held: Sequence[Labelled], errors: Mapping[str, float]) -> list[float]:
        """Logits of single answers, of each by dimensions that were calibrated on the labels of other requests."""
        points = [Point(item.query, item.first, item.category) for item, _ in held]
        found = self.composed.scores(self.critic, points)
        if not any(dimensions for _, dimensions in found):
            return [logit for logit, _ in found]
        fold = [int(FOLDS * content_share("calibration fold", item.query)) for item, _ in held]
        logits = [0.0] * len(held)
        for number in set(fold):
            apart = Composition(self.composed.policy, self.composed.kind)
            apart.fit(self.critic, [pair for pair, own in zip(held, fold, strict=True) if own != number], errors)
            mine = [place for place, own in enumerate(fold) if own == number]
            for place, (logit, _) in zip(mine, apart.scores(self.critic, [points[i] for i in mine]), strict=True):
                logits[place] = logit
        return logits

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
            return [self.composed.whole(score) for score in scores]
        return [x for x, _ in self.composed.scores(self.critic, [Point(i.query, i.first, i.category) for i in items])]
