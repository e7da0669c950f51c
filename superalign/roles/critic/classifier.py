"""A critic without words: a linear head on frozen features, one score for each answer, no text generated.

The features are what the frozen base makes of the verdict's place: the logits of some hundred tokens there. They are a
linear map of its last hidden state, so that a linear head on them is one on the hidden state, and any engine that gives
logits of chosen tokens can serve it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from superalign.config.schema import Config
from superalign.experts.items import Item
from superalign.feedback.synthetic_flaws import planted_flaws
from superalign.generation.base import Generator
from superalign.prompts import templates
from superalign.records import Critique, ExpertLabel, Judgement, content_id
from superalign.roles.critic.generative import Critic
from superalign.roles.critic.uncertainty import Ask, Members, as_asked
from superalign.training.base import Trainer

WIDTH = 256  # tokens whose logits are the features
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1e6)  # of the head's squared length; the last leaves the initial verdicts alone
FOLDS = 5

Vector = NDArray[np.float64]
Comparison = tuple[tuple[str, str], tuple[str, str] | None, float, float]
"""An answer (and another to compare it with), the label in [0, 1] and its weight."""


class ClassifierCritic(Critic):
    """Judges by the initial verdict's log-odds and a learned linear correction of it.

    Of two answers that of the larger score is better (Bradley and Terry 1952), so pairs and points teach one head and
    no order can matter. Nothing but the head is trained: the adapter stays that of the frozen base.
    """

    def __init__(self, config: Config, generator: Generator, trainer: Trainer | None, role: str = "critic") -> None:
        """As `Critic`, with a head that corrects nothing yet."""
        super().__init__(config, generator, trainer, role)
        words = self._choices(templates.ACCEPTABLE)
        ids = [i for i in range(len(self.chat.tokenizer)) if i not in words]
        drawn = np.random.default_rng(0).permutation(len(ids))[: WIDTH - len(words)]
        self._tokens = [*words, *(ids[i] for i in drawn)]
        self._known: dict[tuple[str, str], Vector] = {}
        self._head: Vector = np.zeros(len(self._tokens) + 1)
        self._others: list[Vector] = []

    def learn(
        self,
        answered: Sequence[tuple[Item, ExpertLabel]],
        clean: Sequence[tuple[str, str]],
        familiar: Sequence[tuple[str, str]],
        seed: int,
    ) -> dict[str, float]:
        """Fit the head anew on all labels so far and on planted flaws; its penalty holds it to the initial verdicts.

        With `critic.variance=ensemble`, `critic.members` further heads are fitted on resamples of the same material.
        """
        self._labelled = list(answered)
        clean = self._unlabelled(clean)
        training = [pair for pair in self._labelled if not self._held_back(pair[0])]
        labels: list[Comparison] = [
            ((i.query, i.first), (i.query, i.second) if i.second else None, x.value, 1.0)
            for i, x in training
            if x.value != 0.5
        ]
        rng, count = random.Random(f"planted/{seed}"), self._plantable(len(labels))
        planted: list[Comparison] = []
        for query, response, flawed in planted_flaws(clean, rng, self.config.subtle_flaws):
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
        return {"expert_rows": float(len(labels)), "planted_rows": float(len(planted[:count]))}

    def critique(self, cases: Sequence[Any], verdicts: Sequence[Judgement], seed: int) -> list[Critique]:
        """The verdict's word, and nothing to read."""
        version = self.generator.versions()[self.role]
        return [
            Critique(content_id("critique", r.id), r.id, f"{templates.ACCEPTABLE[v.p < 0.5]}.", (), 0, version)
            for (_, r), v in zip(cases, verdicts, strict=True)
        ]

    def state(self) -> dict[str, Any]:
        """Calibration and heads; floats survive JSON exactly."""
        return super().state() | {"head": self._head.tolist(), "others": [head.tolist() for head in self._others]}

    def restore(self, state: Mapping[str, Any], answered: Sequence[tuple[Item, ExpertLabel]]) -> None:
        """Take up a committed state."""
        super().restore(state, answered)
        self._head, self._others = np.asarray(state["head"]), [np.asarray(head) for head in state["others"]]

    def _features(self, texts: Sequence[tuple[str, str]], role: str) -> Vector:
        """Standardised logits at the verdict's place after the initial log-odds of the verdict, and a constant."""
        missing = [t for t in dict.fromkeys(texts) if t not in self._known]
        if missing:
            asked = [tuple(self._prompt(templates.judge_point(*t))) for t in missing]
            for text, row in zip(missing, self.generator.choice_logits(role, asked, self._tokens), strict=True):
                self._known[text] = np.asarray(row, dtype=np.float64)
        x = np.stack([self._known[t] for t in texts]) if texts else np.zeros((0, len(self._tokens)))
        # Log-probabilities less their mean: the normaliser of the softmax falls away.
        centred = x - x.mean(axis=1, keepdims=True)
        return np.column_stack([x[:, 0] - x[:, 1], centred / np.sqrt(len(self._tokens)), np.ones(len(x))])

    def _scores(self, texts: Sequence[tuple[str, str]], role: str, head: Vector) -> Vector:
        found = self._features(texts, role)
        return np.asarray(found[:, 0] + found[:, 1:] @ head, dtype=np.float64)

    def _design(self, material: Sequence[Comparison]) -> tuple[Vector, Vector, Vector]:
        """Features (of pairs: their differences), labels and weights."""
        first = self._features([a for a, _, _, _ in material], self.role)
        second = self._features([b or a for a, b, _, _ in material], self.role)
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

    def _point_logits(
        self, texts: Sequence[tuple[str, str]], role: str | None = None, ask: Ask = as_asked
    ) -> list[float]:
        """The scores of answers; `ask` names the head (see `_members`)."""
        head = self._others[ask.number] if isinstance(ask, _Other) else self._head
        return [float(s) for s in self._scores(texts, self.role, head)]

    def _pair_logits(
        self, texts: Sequence[tuple[str, str, str]], ask: Ask = as_asked
    ) -> tuple[list[float], list[bool]]:
        """Differences of scores; no order of the two can flip them."""
        scores = self._point_logits([(q, r) for q, a, b in texts for r in (a, b)], ask=ask)
        return [scores[2 * i] - scores[2 * i + 1] for i in range(len(texts))], [False] * len(texts)

    def _members(self) -> Members:
        """The other heads of the ensemble."""
        yield from (_Other(number) for number in range(len(self._others)))


class _Other:
    """Asks nothing differently: the same features, read by another head."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, messages: templates.Messages) -> templates.Messages:
        return messages


def _ridge(x: Vector, y: Vector, w: Vector, penalty: float) -> Vector:
    """Penalised logistic regression with the first column, the initial log-odds, as offset."""

    def objective(head: Vector) -> tuple[float, Vector]:
        z = x[:, 0] + x[:, 1:] @ head
        loss = float(np.sum(w * (np.logaddexp(0, z) - y * z)))
        gradient = x[:, 1:].T @ (w * (special.expit(z) - y))
        return loss + penalty / 2 * float(head @ head), gradient + penalty * head

    start = np.zeros(x.shape[1] - 1)
    return np.asarray(optimize.minimize(objective, start, jac=True, method="L-BFGS-B").x, dtype=np.float64)
