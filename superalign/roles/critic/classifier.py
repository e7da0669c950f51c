"""A critic without words: a linear head on frozen features, one score for each answer, no text generated.

The features are what the frozen base makes of the verdict's place: the logits of some hundred tokens there. They are a
linear map of its last hidden state, so that a linear head on them is one on the hidden state, and any engine that gives
logits of chosen tokens can serve it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from superalign.config.sections import AdapterCriticConfig
from superalign.config.texts import prompts_of
from superalign.feedback.synthetic_flaws import planted_flaws
from superalign.models import load_chat
from superalign.records import content_id
from superalign.roles.critic.generative import flaw_count
from superalign.roles.protocols import ACCEPTABLE, CriticBatch, Pair, Point, Score, Scorer, Services

WIDTH = 256  # tokens whose logits are the features
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1e6)  # of the head's squared length; the last leaves the initial verdicts alone
FOLDS = 5

Vector = NDArray[np.float64]
Comparison = tuple[tuple[str, str], tuple[str, str] | None, float, float]
"""An answer (and another to compare it with), the label in [0, 1] and its weight."""


class ClassifierCritic:
    """Judges by the initial verdict's log-odds and a learned linear correction of it.

    Of two answers that of the larger score is better (Bradley and Terry 1952), so pairs and points teach one head and
    no order can matter. Nothing but the head is trained: the adapter stays that of the frozen base.
    """

    def __init__(self, settings: AdapterCriticConfig, services: Services) -> None:
        self.config, self.role, self.generator = settings, services.role, services.generator
        self.chat, self.prompts = load_chat(services.config.model_of("critic")), prompts_of(services.config)
        words = [self.chat.encode(word)[0] for word in self.prompts.acceptable]
        ids = [i for i in range(len(self.chat.tokenizer)) if i not in words]
        drawn = np.random.default_rng(0).permutation(len(ids))[: WIDTH - len(words)]
        self._tokens = [*words, *(ids[i] for i in drawn)]
        self._known: dict[tuple[str, str], Vector] = {}
        self._head: Vector = np.zeros(len(self._tokens) + 1)
        self._others: list[Vector] = []

    def score_points(self, points: Sequence[Point]) -> list[Score]:
        """The head's score of each answer, in nats."""
        return self.read_points(points, self._head)

    def score_pairs(self, pairs: Sequence[Pair]) -> list[Score]:
        """Differences of scores; no order of the two can flip them."""
        return self.read_pairs(pairs, self._head)

    def members(self) -> Iterator[Scorer]:
        """The other heads of the ensemble (`critic.variance=ensemble`)."""
        yield from (_Head(self, head) for head in self._others)

    def read_points(self, points: Sequence[Point], head: Vector) -> list[Score]:
        """What a head makes of each answer."""
        found = self._features([(p.query, p.response) for p in points])
        return [Score({ACCEPTABLE: float(x)}) for x in found[:, 0] + found[:, 1:] @ head]

    def read_pairs(self, pairs: Sequence[Pair], head: Vector) -> list[Score]:
        """What a head makes of each pair."""
        texts = [Point(p.query, response) for p in pairs for response in (p.first, p.second)]
        x = [score.log_odds[ACCEPTABLE] for score in self.read_points(texts, head)]
        return [Score({ACCEPTABLE: x[2 * i] - x[2 * i + 1]}) for i in range(len(pairs))]

    def learn(self, batch: CriticBatch, seed: int) -> dict[str, float]:
        """Fit the head anew on all labels so far and on synthetic flaws; its penalty holds it to the initial verdicts.

        With `critic.variance=ensemble`, `critic.members` further heads are fitted on resamples of the same material.
        """
        labels: list[Comparison] = [
            ((i.query, i.first), (i.query, i.second) if i.second else None, x.value, 1.0)
            for i, x in batch.labelled
            if x.value != 0.5
        ]
        rng, count = random.Random(f"planted/{seed}"), flaw_count(self.config, len(labels))
        planted: list[Comparison] = []
        for query, response, flawed in planted_flaws(batch.clean, rng, self.config.subtle_flaws):
            planted += [((query, response), None, 1.0, 1.0), ((query, flawed), None, 0.0, 1.0)]
            planted.append(((query, response), (query, flawed), 1.0, 1.0))
            if len(planted) >= count:
                break
        material = [*labels, *planted[:count]]
        if material:
            penalty = self._best_penalty(material)
            self._head = self._fitted(material, penalty)
            draws = np.random.default_rng(seed)
            number = self.config.members if self.config.variance == "ensemble" else 0
            resampled = (draws.integers(len(material), size=len(material)) for _ in range(number))
            self._others = [self._fitted([material[i] for i in rows], penalty) for rows in resampled]
        rows = {"expert_rows": float(len(labels)), "planted_rows": float(len(planted[:count]))}
        return rows | {"steps": float(bool(material))}

    def state(self) -> dict[str, Any]:
        """The heads; floats survive JSON exactly."""
        return {"head": self._head.tolist(), "others": [head.tolist() for head in self._others]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up committed heads."""
        self._head, self._others = np.asarray(state["head"]), [np.asarray(head) for head in state["others"]]

    def _features(self, texts: Sequence[tuple[str, str]]) -> Vector:
        """Standardised logits at the verdict's place after the initial log-odds of the verdict, and a constant."""
        missing = [t for t in dict.fromkeys(texts) if t not in self._known]
        if missing:
            limit = self.config.max_new_tokens
            asked = [tuple(self.chat.prompt_ids(self.prompts.judge_messages(*t), limit)) for t in missing]
            for text, row in zip(missing, self.generator.choice_logits(self.role, asked, self._tokens), strict=True):
                self._known[text] = np.asarray(row, dtype=np.float64)
        x = np.stack([self._known[t] for t in texts]) if texts else np.zeros((0, len(self._tokens)))
        # Log-probabilities less their mean: the normaliser of the softmax falls away.
        centred = x - x.mean(axis=1, keepdims=True)
        return np.column_stack([x[:, 0] - x[:, 1], centred / np.sqrt(len(self._tokens)), np.ones(len(x))])

    def _design(self, material: Sequence[Comparison]) -> tuple[Vector, Vector, Vector]:
        """Features (of pairs: their differences), labels and weights."""
        first = self._features([a for a, _, _, _ in material])
        second = self._features([b or a for a, b, _, _ in material])
        paired = np.array([b is not None for _, b, _, _ in material], dtype=bool)
        y, w = (np.array([row[i] for row in material], dtype=np.float64) for i in (2, 3))
        return first - np.where(paired[:, None], second, 0.0), y, w

    def _best_penalty(self, material: Sequence[Comparison]) -> float:
        """The penalty under which other requests' labels are predicted best: cross-validation over whole requests."""
        fold = np.array([int(content_id("fold", a[0]), 16) % FOLDS for a, _, _, _ in material])
        x, y, w = self._design(material)
        losses = []
        for penalty in PENALTIES:
            loss = 0.0
            for number in range(FOLDS):
                out = fold == number
                if out.any() and not out.all():
                    z = x[out, 0] + x[out, 1:] @ _ridge(x[~out], y[~out], w[~out], penalty)
                    loss += float(np.sum(w[out] * (np.logaddexp(0, z) - y[out] * z)))
            losses.append(loss)
        return PENALTIES[int(np.argmin(losses))]

    def _fitted(self, material: Sequence[Comparison], penalty: float) -> Vector:
        """The head of this material."""
        return _ridge(*self._design(material), penalty)


class _Head:
    """The same features, read by another head."""

    def __init__(self, critic: ClassifierCritic, head: Vector) -> None:
        self.critic, self.head = critic, head

    def score_points(self, points: Sequence[Point]) -> list[Score]:
        return self.critic.read_points(points, self.head)

    def score_pairs(self, pairs: Sequence[Pair]) -> list[Score]:
        return self.critic.read_pairs(pairs, self.head)


def _ridge(x: Vector, y: Vector, w: Vector, penalty: float) -> Vector:
    """Penalised logistic regression with the first column, the initial log-odds, as offset."""

    def objective(head: Vector) -> tuple[float, Vector]:
        z = x[:, 0] + x[:, 1:] @ head
        loss = float(np.sum(w * (np.logaddexp(0, z) - y * z)))
        gradient = x[:, 1:].T @ (w * (special.expit(z) - y))
        return loss + penalty / 2 * float(head @ head), gradient + penalty * head

    start = np.zeros(x.shape[1] - 1)
    return np.asarray(optimize.minimize(objective, start, jac=True, method="L-BFGS-B").x, dtype=np.float64)
