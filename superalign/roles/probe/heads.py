"""Heads on hidden states: logistic regressions of one dimension each, their penalty chosen across requests.

A model that says nothing of use when it is asked for a verdict can still tell one inside: on SmolLM2-135M-Instruct the
answer's compliance is read at AUROC .97 from 600 labels, where its verdict word is at chance.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy import special

from superalign.records import content_share

Floats = NDArray[np.float64]
Kind = Literal["linear", "mlp"]

PENALTIES: Final = (0.0005, 0.002, 0.008, 0.03)
"""Inverse strengths of the L2 penalty (scikit-learn's C) that are tried on standardised states."""
FOLDS: Final = 5
HIDDEN: Final = 32  # units of a head of kind mlp
LEAST: Final = 4  # labels of either class from which on a head is fitted
SMALLEST: Final = 1e-6


@dataclass(frozen=True)
class Head:
    """log-odds = (x - mean) / scale . weights + bias; of kind mlp through one hidden layer of rectified units.

    Attributes:
        mean, scale: of the features it was fitted on, shape (features,).
        layers: (weights, bias) of each layer in turn.
    """

    mean: Floats
    scale: Floats
    layers: tuple[tuple[Floats, Floats], ...]

    def log_odds(self, x: NDArray[Any]) -> Floats:
        """Of features of shape (rows, features)."""
        found = (x - self.mean) / self.scale
        for place, (weights, bias) in enumerate(self.layers):
            found = (np.maximum(found, 0.0) if place else found) @ weights + bias
        return np.asarray(found[:, 0], dtype=np.float64)

    def to_row(self) -> dict[str, Any]:
        """As JSON."""
        layers = [[weights.tolist(), bias.tolist()] for weights, bias in self.layers]
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist(), "layers": layers}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """What `to_row` gave."""
        layers = tuple((np.asarray(weights), np.asarray(bias)) for weights, bias in row["layers"])
        return cls(np.asarray(row["mean"]), np.asarray(row["scale"]), layers)


@dataclass(frozen=True)
class Labels:
    """Features with the answer to one question about each row.

    Attributes:
        x: shape (rows, features).
        y: P(yes) as people or a rule say, in [0, 1], shape (rows,): 2 of 3 annotators are .67.
        weight: of each row, shape (rows,).
        groups: rows of one group (a request) are never on both sides of a split.
    """

    x: NDArray[Any]
    y: Floats
    weight: Floats
    groups: Sequence[str]

    @property
    def teaches(self) -> bool:
        """Whether there are enough of either class."""
        return min(int((self.y > 0.5).sum()), int((self.y < 0.5).sum())) >= LEAST

    def part(self, rows: NDArray[Any]) -> Labels:
        """Some of the rows."""
        places = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Labels(self.x[places], self.y[places], self.weight[places], [self.groups[int(i)] for i in places])


def fit(labels: Labels, kind: Kind, seed: int, members: int = 0) -> tuple[Head, list[Head]]:
    """A head, and `members` more on bootstrap samples of whole groups, whose spread is its uncertainty.

    The penalty is the one under which the labels of other requests are predicted best (`FOLDS`-fold over groups).
    """
    space = _Space.of(labels)
    penalty = _best_penalty(space, labels, kind, seed)
    head = space.fit(labels, np.arange(len(labels.y)), kind, penalty, seed)
    rng, groups = np.random.default_rng(seed), np.asarray(labels.groups, dtype=object)
    where = [np.flatnonzero(groups == name) for name in sorted(set(labels.groups))]
    others: list[Head] = []
    while len(others) < members:
        drawn = np.concatenate([where[int(i)] for i in rng.integers(len(where), size=len(where))])
        sample = labels.y[drawn]
        if (sample > 0.5).any() and (sample < 0.5).any():
            others.append(space.fit(labels, drawn, kind, penalty, seed + 1 + len(others)))
    return head, others


def cross_fitted(labels: Labels, kind: Kind, seed: int) -> Floats:
    """The log-odds of each row by a head that has seen nothing of its group, shape (rows,)."""
    space, fold = _Space.of(labels), _folds(labels.groups)
    penalty = _best_penalty(space, labels, kind, seed)
    found = np.zeros(len(labels.y))
    for number in range(FOLDS):
        out = fold == number
        if out.any() and labels.part(~out).teaches:
            found[out] = space.fit(labels, np.flatnonzero(~out), kind, penalty, seed).log_odds(labels.x[out])
    return found


@dataclass(frozen=True)
class _Space:
    """The span of standardised rows: an L2-regularised head lies in it, and it is far smaller than the features."""

    mean: Floats
    scale: Floats
    basis: Floats  # (features, rank)
    places: Floats  # (rows, rank)

    @classmethod
    def of(cls, labels: Labels) -> _Space:
        x = np.asarray(labels.x, dtype=np.float64)
        mean, scale = x.mean(axis=0), x.std(axis=0)
        scale[scale < SMALLEST] = 1.0
        left, size, right = np.linalg.svd((x - mean) / scale, full_matrices=False)
        kept = size > SMALLEST * size[0] if size.size else size > 0
        return cls(mean, scale, right[kept].T, left[:, kept] * size[kept])

    def fit(self, labels: Labels, rows: NDArray[Any], kind: Kind, penalty: float, seed: int) -> Head:
        """A head on some of the rows; both classes weigh alike."""
        y, w = labels.y[rows], labels.weight[rows]
        yes, no = float((w * y).sum()), float((w * (1 - y)).sum())
        # A label between no and yes counts as both, by its parts.
        x = np.concatenate([self.places[rows], self.places[rows]])
        target = np.concatenate([np.ones(len(rows)), np.zeros(len(rows))])
        weight = np.concatenate([w * y / max(yes, SMALLEST), w * (1 - y) / max(no, SMALLEST)]) * (yes + no) / 2
        used = weight > 0
        layers = _layers(kind, x[used], target[used], weight[used], penalty, seed)
        first, bias = layers[0]
        return Head(self.mean, self.scale, ((self.basis @ first, bias), *layers[1:]))


def _layers(
    kind: Kind, x: Floats, y: Floats, weight: Floats, penalty: float, seed: int
) -> tuple[tuple[Floats, Floats], ...]:
    """(weights, bias) of each layer of a fitted head."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    if kind == "linear":
        linear = LogisticRegression(C=penalty, max_iter=500).fit(x, y, weight)
        return ((linear.coef_.T, linear.intercept_),)
    # The penalty of both is on a sum over rows.
    net = MLPClassifier((HIDDEN,), alpha=1 / penalty, solver="lbfgs", max_iter=60, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped early on purpose
        net.fit(x, y, sample_weight=weight)
    return tuple(zip(net.coefs_, net.intercepts_, strict=True))


def _best_penalty(space: _Space, labels: Labels, kind: Kind, seed: int) -> float:
    fold, losses = _folds(labels.groups), dict.fromkeys(PENALTIES, 0.0)
    for number in range(FOLDS):
        out = fold == number
        if not out.any() or not labels.part(~out).teaches:
            continue
        kept = np.flatnonzero(~out)
        for penalty in PENALTIES:
            odds = space.fit(labels, kept, kind, penalty, seed).log_odds(labels.x[out])
            nats = labels.y[out] * np.logaddexp(0, -odds) + (1 - labels.y[out]) * np.logaddexp(0, odds)
            losses[penalty] += float((labels.weight[out] * nats).sum())
    return min(losses, key=lambda penalty: losses[penalty])


def _folds(groups: Sequence[str]) -> NDArray[np.int64]:
    return np.array([int(FOLDS * content_share("probe fold", group)) for group in groups], dtype=np.int64)


def probabilities(log_odds: Floats) -> Floats:
    """P(yes)."""
    return np.asarray(special.expit(log_odds), dtype=np.float64)
