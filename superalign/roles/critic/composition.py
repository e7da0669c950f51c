"""From scores by dimension to log-odds of acceptable: each dimension calibrated apart, then composed by the policy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from superalign.errors import UserError
from superalign.experts.items import Item
from superalign.feedback.calibration import Calibrator
from superalign.prompts.policy import ACCEPTABLE, Policy
from superalign.records import ExpertLabel, by_dimension
from superalign.roles.curated import CURATED
from superalign.roles.protocols import Point, Score, Scorer
from superalign.stats.classification import propensity_weights

Labelled = tuple[Item, ExpertLabel]
IDENTITY = Calibrator()
TIE = 0.5


class Composition:
    """How a critic's scores become one verdict.

    Args:
        policy: its dimensions, and how they compose.
        kind: of the critic, for messages.
    """

    def __init__(self, policy: Policy, kind: str) -> None:
        self.policy, self.kind = policy, kind
        self.calibrators: dict[str, Calibrator] = {}

    def scores(self, scorer: Scorer, points: Sequence[Point]) -> list[tuple[float, dict[str, float]]]:
        """Of each answer the log-odds (nats) of acceptable, and the calibrated probabilities that compose them.

        A critic that answers the whole question is believed as it is, and composes nothing. Equal texts are scored
        once.

        Raises:
            UserError: the critic says nothing of a dimension.
        """
        unique = list(dict.fromkeys(points))
        found = dict(zip(unique, map(self._composed, scorer.score_points(unique), unique), strict=True))
        return [found[point] for point in points]

    def whole(self, score: Score) -> float:
        """The log-odds of a score that answers the whole question.

        Raises:
            UserError: it does not.
        """
        if ACCEPTABLE not in score.log_odds:
            raise UserError(
                f"critic={self.kind} scores {', '.join(score.log_odds) or 'nothing'}: the loop learns from a dimension "
                f"named {ACCEPTABLE}"
            )
        return score.log_odds[ACCEPTABLE]

    def fit(self, critic: Scorer, held: Sequence[Labelled], errors: Mapping[str, float]) -> None:
        """Calibrate each dimension on the held-back labels of single answers that tell it."""
        if self.policy.single:
            return
        points = [(item, label) for item, label in held if item.kind == "point"]
        answers = [told(self.policy, item, label) for item, label in points]
        scores = critic.score_points([Point(i.query, i.first, i.category) for i, _ in points]) if points else []
        self.calibrators = {}
        for name in self.policy.dimensions:
            rows = [n for n, known in enumerate(answers) if name in known and name in scores[n].log_odds]
            items, labels = [points[n][0] for n in rows], [points[n][1] for n in rows]
            self.calibrators[name] = Calibrator.fit(
                [scores[n].log_odds[name] for n in rows],
                [answers[n][name] for n in rows],
                propensity_weights([item.pi for item in items]),
                [item.category for item in items],
                [errors[label.annotator] for label in labels],
            )

    def state(self) -> dict[str, Any]:
        """The calibrations, as JSON."""
        return {name: calibrator.to_row() for name, calibrator in self.calibrators.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self.calibrators = {name: Calibrator.from_row(row) for name, row in state.items()}

    def _composed(self, score: Score, point: Point) -> tuple[float, dict[str, float]]:
        if self.policy.single or ACCEPTABLE in score.log_odds:
            return self.whole(score), {}
        if missing := [name for name in self.policy.dimensions if name not in score.log_odds]:
            raise UserError(
                f"critic={self.kind} scores {', '.join(score.log_odds) or 'nothing'}, and policy={self.policy.name} "
                f"needs {', '.join(missing)}, too; use another critic or policy"
            )
        p = {
            name: self.calibrators.get(name, IDENTITY).apply(score.log_odds[name], point.category)
            for name in self.policy.dimensions
        }
        return self.policy.log_odds({name: math.log(x / (1 - x)) for name, x in p.items()}), p


def told(policy: Policy, item: Item, label: ExpertLabel) -> dict[str, float]:
    """What a label says about each dimension, as far as it says anything.

    What it does not say may follow from its verdict on the whole and what it says of the others; where it says nothing
    of any, from that verdict and the kind of the request, which is that of its seed.
    """
    given = {name: p for name, p in by_dimension(label.dimensions).items() if name in policy.dimensions}
    if label.value == TIE:
        return given
    if policy.single:
        return given or {policy.single: label.value}
    known = {name: p > TIE for name, p in given.items() if p != TIE}
    if not given and item.lane != CURATED:  # a curated prompt comes from no seed
        kind = "harmful" if item.harmful else "benign"
        known = {name: d.seeds == kind for name, d in policy.dimensions.items() if d.seeds is not None}
    follows = policy.deduce(label.value > TIE, known)
    return {name: float(yes) for name, yes in follows.items()} | given
