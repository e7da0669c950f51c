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

from superalign.feedback.calibration import Calibrator
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
        made: which rows a rule made, shape (rows,); None: none. They teach only as far as the others are told better
            for it, and say nothing of how often the answer is yes.
    """

    x: NDArray[Any]
    y: Floats
    weight: Floats
    groups: Sequence[str]
    made: NDArray[np.bool_] | None = None

    @property
    def teaches(self) -> bool:
        """Whether there are enough of either class."""
        return min(int((self.y > 0.5).sum()), int((self.y < 0.5).sum())) >= LEAST

    def part(self, rows: NDArray[Any]) -> Labels:
        """Some of the rows."""
        places = np.flatnonzero(rows) if rows.dtype == bool else rows
        made = None if self.made is None else self.made[places]
        return Labels(self.x[places], self.y[places], self.weight[places], [self.groups[int(i)] for i in places], made)

    @property
    def real(self) -> NDArray[np.bool_]:
        """Which rows no rule made, if they teach alone; else all, shape (rows,)."""
        alone = np.ones(len(self.y), bool) if self.made is None else ~self.made
        return alone if self.part(alone).teaches else np.ones(len(self.y), bool)


def fit(labels: Labels, kind: Kind, seed: int, members: int = 0) -> tuple[Head, list[Head]]:
    """A head, and `members` more on bootstrap samples of whole groups, whose spread is its uncertainty.

    The penalty, and whether rows that rules made teach, are those under which the labels of other requests are
    predicted best (`FOLDS`-fold over groups). By these predictions the head is calibrated: one that tells nothing says
    how often the answer is yes.
    """
    space = _Space.of(labels)
    choice = _chosen(space, labels, kind, seed)
    head = space.fit(labels, choice.rows, kind, choice.penalty, seed)
    rng, groups = np.random.default_rng(seed), np.asarray(labels.groups, dtype=object)
    names = sorted({labels.groups[int(i)] for i in choice.rows})
    where = [np.intersect1d(np.flatnonzero(groups == name), choice.rows) for name in names]
    others: list[Head] = []
    while len(others) < members:
        drawn = np.concatenate([where[int(i)] for i in rng.integers(len(where), size=len(where))])
        sample = labels.y[drawn]
        if (sample > 0.5).any() and (sample < 0.5).any():
            others.append(space.fit(labels, drawn, kind, choice.penalty, seed + 1 + len(others)))
    return choice.calibrated(head), [choice.calibrated(other) for other in others]


def cross_fitted(labels: Labels, kind: Kind, seed: int) -> Floats:
    """The log-odds of each row by a head that has seen nothing of its group, not calibrated, shape (rows,)."""
    return _chosen(_Space.of(labels), labels, kind, seed).odds


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


@dataclass(frozen=True)
class _Choice:
    """What predicts other requests best: the rows that teach, the penalty, the odds, and their calibration."""

    rows: NDArray[Any]
    penalty: float
    odds: Floats  # of all rows, each by a head that has not seen its group
    calibration: Calibrator

    def calibrated(self, head: Head) -> Head:
        log_t, bias = self.calibration.overall
        *inner, (weights, last) = head.layers
        sharpness = float(np.exp(-log_t))
        return Head(head.mean, head.scale, (*inner, (weights * sharpness, (last - bias) * sharpness)))


def _chosen(space: _Space, labels: Labels, kind: Kind, seed: int) -> _Choice:
    fold, everything, real = _folds(labels.groups), np.ones(len(labels.y), bool), labels.real
    best: tuple[float, NDArray[Any], float, Floats] | None = None
    for used in (everything,) if real.all() else (everything, real):
        odds = {penalty: np.zeros(len(labels.y)) for penalty in PENALTIES}
        for number in range(FOLDS):
            out, kept = fold == number, np.flatnonzero(used & (fold != number))
            if out.any() and labels.part(kept).teaches:
                for penalty, found in odds.items():
                    found[out] = space.fit(labels, kept, kind, penalty, seed).log_odds(labels.x[out])
        for penalty, found in odds.items():
            nats = labels.y * np.logaddexp(0, -found) + (1 - labels.y) * np.logaddexp(0, found)
            loss = float((labels.weight * nats)[real].sum())
            if best is None or loss < best[0]:
                best = loss, np.flatnonzero(used), penalty, found
    assert best is not None
    _, rows, penalty, odds_of_best = best
    told = real & (labels.weight > 0)
    calibration = Calibrator.fit(odds_of_best[told], labels.y[told], labels.weight[told], [""] * int(told.sum()))
    return _Choice(rows, penalty, odds_of_best, calibration)


def _folds(groups: Sequence[str]) -> NDArray[np.int64]:
    return np.array([int(FOLDS * content_share("probe fold", group)) for group in groups], dtype=np.int64)


def probabilities(log_odds: Floats) -> Floats:
    """P(yes)."""
    return np.asarray(special.expit(log_odds), dtype=np.float64)
