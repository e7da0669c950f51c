"""A critic without a language model: words that experts accept, and words that they refuse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from superalign.config.sections import CriticConfig
from superalign.roles.protocols import ACCEPTABLE, CriticBatch, Pair, Point, Score, Services

LIMIT = 8.0  # of log-odds, in nats


class WordsSettings(CriticConfig):
    """The critic that knows words."""

    strength: float = Field(10.0, gt=0.0, description="how far it may go from even odds (inverse penalty)")


class Words:
    """Logistic regression on the words of request and answer. Before it has labels, longer answers are better."""

    Settings = WordsSettings

    def __init__(self, settings: WordsSettings, services: Services) -> None:
        self.strength = settings.strength
        self.texts: list[str] = []
        self.labels: list[int] = []
        self.model: Any = None

    def score_points(self, points: Sequence[Point]) -> list[Score]:
        """The log-odds of the regression."""
        texts = [_text(point.query, point.response) for point in points]
        if not texts:
            return []
        if self.model is None:
            odds = np.array([math.log1p(len(point.response)) - 3 for point in points])
        else:
            odds = self.model.decision_function(texts)
        return [Score({ACCEPTABLE: float(x)}) for x in np.clip(odds, -LIMIT, LIMIT)]

    def score_pairs(self, pairs: Sequence[Pair]) -> list[Score]:
        """The better answer is the one that scores higher (Bradley and Terry 1952)."""
        first = self.score_points([Point(p.query, p.first, p.category) for p in pairs])
        second = self.score_points([Point(p.query, p.second, p.category) for p in pairs])
        differences = (a.log_odds[ACCEPTABLE] - b.log_odds[ACCEPTABLE] for a, b in zip(first, second, strict=True))
        return [Score({ACCEPTABLE: x}) for x in differences]

    def learn(self, batch: CriticBatch, seed: int) -> dict[str, float]:
        """Fit the regression anew on all labels of single answers."""
        points = [(item, label) for item, label in batch.labelled if item.kind == "point" and label.value != 0.5]
        self.texts = [_text(item.query, item.first) for item, _ in points]
        self.labels = [int(label.value > 0.5) for _, label in points]
        self._fit()
        return {"labels": float(len(self.labels)), "accepted": float(sum(self.labels))}

    def state(self) -> dict[str, Any]:
        """The labels: the regression is fitted anew on them."""
        return {"texts": self.texts, "labels": self.labels}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Fit what was known."""
        self.texts, self.labels = list(state["texts"]), list(state["labels"])
        self._fit()

    def _fit(self) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        self.model = None
        if len(set(self.labels)) == 2:
            regression = LogisticRegression(C=self.strength, max_iter=1000)
            self.model = make_pipeline(TfidfVectorizer(), regression).fit(self.texts, self.labels)


def _text(query: str, response: str) -> str:
    """Words of the answer, and once more as words to this request's first and last."""
    asked = query.split()
    return f"{response} {asked[0]}_ {asked[-1]}_"
