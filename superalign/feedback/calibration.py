"""Turning the critic's log-odds into probabilities that mean what they say, by expert labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from superalign.experts.items import Item
from superalign.records import content_share

MIN_LABELS = 8
SHRINKAGE = 20.0
LOG_T_BOUND = 3.0
FOLDS = 5
LOG_T_SCALE = 0.5
BIAS_SCALE = 1.0  # nats, at least


@dataclass(frozen=True, slots=True)
class Calibrator:
    """Temperature and bias per category (Platt 1999; Guo et al. arXiv 1706.04599): p = sigma((logit - b_c)/T_c).

    `overall` and the values of `categories` are (log T, b); a category that was not fitted uses `overall`.
    """

    overall: tuple[float, float] = (0.0, 0.0)
    categories: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    n: int = 0

    @classmethod
    def fit(
        cls,
        logits: ArrayLike,
        labels: ArrayLike,
        weights: ArrayLike,
        categories: Sequence[str],
        errors: ArrayLike = 0.0,
    ) -> Self:
        """Fit by weighted negative log-likelihood; categories are shrunk: (n_c theta_c + 20 theta)/(n_c + 20).

        Weights count for as many labels as Kish's effective number, else a few heavy ones would outvote the prior.

        A label that errs with rate eps has P(label = 1) = eps + (1 - 2 eps) p (forward correction, arXiv 1609.03683),
        else one mistake of an expert would cost a confident critic its temperature.

        theta is (log T, b), so that a shrunk temperature stays positive. The identity, when fewer than 8 labels
        or labels of one class only are there.

        Args:
            logits: the critic's raw log-odds (nats), shape (n,).
            labels: expert values in [0, 1], 1 = acceptable or first better; a tie is 0.5, shape (n,).
            weights: see `propensity_weights`, of any scale, shape (n,).
            categories: the category of each row, length n.
            errors: eps of the label's annotator, below 1/2, shape (n,) or one for all.

        Raises:
            ValueError: the lengths differ, a label is outside [0, 1], or an error rate outside [0, .5).
        """
        x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
        w, names = np.asarray(weights, dtype=np.float64), np.asarray(categories, dtype=object)
        if not x.shape == y.shape == w.shape == names.shape:
            raise ValueError(f"logits {x.size}, labels {y.size}, weights {w.size} and categories {names.size} differ")
        if not ((y >= 0) & (y <= 1)).all():
            raise ValueError("labels must be in [0, 1]")
        eps = np.broadcast_to(np.asarray(errors, dtype=np.float64), x.shape)
        if not ((eps >= 0) & (eps < 0.5)).all():
            raise ValueError("the error rate of an annotator must be in [0, .5)")
        if y.size < MIN_LABELS or not ((y > 0.5).any() and (y < 0.5).any()):
            return cls(n=int(y.size))
        w = w * w.sum() / (w**2).sum()
        overall = _fit_one(x, y, w, eps, np.zeros(2))
        fitted = {}
        for name in sorted(set(names.tolist())):
            rows = names == name
            count = float(w[rows].sum() ** 2 / (w[rows] ** 2).sum())
            own = _fit_one(x[rows], y[rows], w[rows], eps[rows], overall)
            log_t, b = (count * own + SHRINKAGE * overall) / (count + SHRINKAGE)
            fitted[str(name)] = (float(log_t), float(b))
        return cls((float(overall[0]), float(overall[1])), fitted, int(y.size))

    def apply(self, logit: float, category: str) -> float:
        """The calibrated probability of one logit."""
        return float(self.apply_all([logit], [category])[0])

    def apply_all(self, logits: ArrayLike, categories: Sequence[str]) -> NDArray[np.float64]:
        """The calibrated probabilities of many logits, shape (n,)."""
        theta = np.array([self.categories.get(c, self.overall) for c in categories], dtype=np.float64).reshape(-1, 2)
        z = (np.asarray(logits, dtype=np.float64) - theta[:, 1]) * np.exp(-theta[:, 0])
        return np.asarray(special.expit(z), dtype=np.float64)

    def to_row(self) -> dict[str, Any]:
        """The fit as JSON."""
        return {
            "overall": list(self.overall),
            "categories": {name: list(theta) for name, theta in self.categories.items()},
            "n": self.n,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Restore what `to_row` wrote; floats survive JSON exactly."""
        log_t, b = row["overall"]
        return cls((log_t, b), {name: (t[0], t[1]) for name, t in row["categories"].items()}, row["n"])


def cross_fitted(
    logits: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike,
    categories: Sequence[str],
    errors: ArrayLike,
    groups: Sequence[str],
) -> NDArray[np.float64]:
    """Calibrated probabilities, each by a fit that did not see its label, else they would be as right as can be.

    Groups of rows fall into five folds by their names alone, so that a fold keeps its rows as others come. The
    other arguments are those of `Calibrator.fit`.
    """
    x, y, w, eps = (np.asarray(each, dtype=np.float64) for each in (logits, labels, weights, errors))
    fold = np.array([int(FOLDS * content_share("calibration fold", group)) for group in groups], dtype=np.intp)
    names, p = np.asarray(categories, dtype=object), np.empty_like(x)
    for number in np.unique(fold):
        held = fold == number
        fitted = Calibrator.fit(x[~held], y[~held], w[~held], names[~held].tolist(), eps[~held])
        p[held] = fitted.apply_all(x[held], names[held].tolist())
    return p


def _fit_one(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    w: NDArray[np.float64],
    eps: NDArray[np.float64],
    prior: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(log T, b) at the minimum of the weighted NLL.

    The prior believes the critic until a dozen labels say otherwise, and keeps separable labels from sending either
    parameter to infinity. That of log T is Gaussian (sd .5). That of b is Cauchy's with half the logits' root mean
    square about the prior as its scale, at least 1 nat: its tails let a critic go that is off by several nats (Gelman
    et al. 2008, Annals of Applied Statistics 2:1360), where a Gaussian of sd 1 held it for some 50 labels. As its
    minimum need not be the only one, it is sought from the prior and from the mean logit. The bound on log T keeps a
    critic that is worse than chance flat instead of inverted.
    """
    scale = np.array([LOG_T_SCALE, max(BIAS_SCALE, float(np.sqrt(np.average((x - prior[1]) ** 2, weights=w))) / 2)])

    def objective(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope = np.exp(-theta[0])
        z = (x - theta[1]) * slope
        p = special.expit(z)
        said = np.clip(eps + (1 - 2 * eps) * p, 1e-12, 1 - 1e-12)
        off = (theta - prior) / scale
        loss = -np.sum(w * (y * np.log(said) + (1 - y) * np.log1p(-said))) + 0.5 * off[0] ** 2 + np.log1p(off[1] ** 2)
        residual = w * (said - y) / (said * (1 - said)) * (1 - 2 * eps) * p * (1 - p)  # d loss / d z
        pull = np.array([off[0], 2 * off[1] / (1 + off[1] ** 2)]) / scale
        return float(loss), np.array([-residual @ z, -slope * residual.sum()]) + pull

    bounds = [(-LOG_T_BOUND, LOG_T_BOUND), (None, None)]
    found = [
        optimize.minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds)
        for start in (prior, np.array([prior[0], np.average(x, weights=w)]))
    ]
    return np.asarray(min(found, key=lambda result: float(result.fun)).x, dtype=np.float64)


def held_back(item: Item, share: float) -> bool:
    """Whether the critic keeps an item for calibration and never trains on it: decided by its texts alone.

    So what is said twice, in one round or in two, is held back twice or not at all.
    """
    return content_share("calibration", item.query, *sorted((item.first, item.second))) < share
