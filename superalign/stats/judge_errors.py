"""What a judge that errs saw, corrected by labels of experts who err too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superalign.stats.estimate import Estimate
from superalign.stats.intervals import MIN_JUDGE_LABELS, MIN_YOUDEN, clustered_rate

Floats = NDArray[np.float64]
WARM_UP = 200
JEFFREYS = 0.5


@dataclass(frozen=True)
class JudgeErrors:
    """Draws from the posterior of P(says yes | truly yes) and P(says no | truly no), each of shape (draws,)."""

    sensitivity: Floats
    specificity: Floats

    def corrected(self, observed: Estimate, seed: int = 0) -> Estimate | None:
        """Rogan and Gladen (1978): the true rate behind a judge's, p = (q + Sp - 1)/(Se + Sp - 1); median and 95 %.

        q is drawn from the Beta distribution that its interval stands for. None where the judge is too weak
        (Se + Sp - 1 < 0.3).
        """
        youden = self.sensitivity + self.specificity - 1
        if float(np.median(youden)) < MIN_YOUDEN:
            return None
        a, b = _beta(observed)
        q = np.random.default_rng(seed).beta(a, b, youden.size)
        held = youden > 0
        p = np.clip((q[held] + self.specificity[held] - 1) / youden[held], 0.0, 1.0)
        return median(p, observed.n)


def judge_errors(
    says: ArrayLike,
    labels: ArrayLike,
    annotators: Sequence[str],
    expert_errors: Mapping[str, Floats],
    clusters: ArrayLike,
    weights: ArrayLike,
    known_no: ArrayLike,
    seed: int,
    draws: int,
) -> JudgeErrors:
    """How a judge errs, told from labels that are wrong as often as their annotators are (Joseph et al. 1995).

    Judge and expert err independently of each other given the truth. The chain draws the truth of the answers, then all
    rates (Gibbs sampling; Jeffreys' priors for the judge's). Clusters and weights count through the design effect that
    `clustered_rate` finds.

    Args:
        says, labels: what judge and expert say, 1 yes or 0 no, shape (n,).
        annotators: who gave each label.
        expert_errors: draws of the error rate of each, see `error_draws`.
        clusters, weights: of the rows, shape (n,).
        known_no: 1 where the truth is no, whatever the label says, shape (n,).
        seed, draws: of the chain.
    """
    j, y, known = (np.asarray(each).astype(bool) for each in (says, labels, known_no))
    w, groups = np.asarray(weights, dtype=np.float64), np.asarray(clusters)
    names = sorted(set(annotators))
    who = np.array([names.index(name) for name in annotators])
    size = np.zeros(y.size)
    for side in (y & ~known, ~y | known):
        if side.any():
            found = clustered_rate(j[side], groups[side], seed, 200, w[side])
            size[side] = w[side] * min(float(side.sum()), sum(_beta(found))) / w[side].sum()
    cells = np.zeros((len(names), 2, 2))
    np.add.at(cells, (who, j.astype(int), y.astype(int)), np.where(known, 0.0, size))
    surely_no = np.array([size[known & ~j].sum(), size[known & j].sum()])
    priors = np.array([_matched(expert_errors[name]) for name in names])
    return JudgeErrors(*_chain(cells, surely_no, priors, np.random.default_rng(seed), draws))


def enough(found: Mapping[str, Estimate]) -> bool:
    """Whether experts' labels of either kind suffice to correct anything by them."""
    return all(estimate.n >= MIN_JUDGE_LABELS for estimate in found.values())


def _chain(
    cells: Floats, surely_no: Floats, priors: Floats, rng: np.random.Generator, draws: int
) -> tuple[Floats, Floats]:
    """Draws of (sensitivity, specificity) from counts by annotator, judge and label."""
    se, sp, share = 0.8, 0.8, 0.5
    error = priors[:, 0] / priors.sum(axis=1)
    kept = np.empty((draws, 2))
    for number in range(draws + WARM_UP):
        n = np.floor(cells + rng.random(cells.shape))
        right = np.stack([error, 1 - error], axis=-1)[:, None, :]  # P(label | truly yes), by annotator and label
        yes = share * np.array([1 - se, se])[None, :, None] * right
        no = (1 - share) * np.array([sp, 1 - sp])[None, :, None] * right[:, :, ::-1]
        true = rng.binomial(n.astype(np.int64), yes / (yes + no))
        false = n - true
        se = rng.beta(JEFFREYS + true[:, 1].sum(), JEFFREYS + true[:, 0].sum())
        sp = rng.beta(JEFFREYS + false[:, 0].sum() + surely_no[0], JEFFREYS + false[:, 1].sum() + surely_no[1])
        share = rng.beta(JEFFREYS + true.sum(), JEFFREYS + false.sum())
        wrong = true[:, :, 0].sum(axis=1) + false[:, :, 1].sum(axis=1)
        error = rng.beta(priors[:, 0] + wrong, priors[:, 1] + n.sum(axis=(1, 2)) - wrong)
        if number >= WARM_UP:
            kept[number - WARM_UP] = se, sp
    return kept[:, 0], kept[:, 1]


def _beta(found: Estimate) -> tuple[float, float]:
    """The Beta distribution with an estimate's mean and as many rows as its width stands for, at most its n."""
    centre = (found.value * found.n + 2) / (found.n + 4)
    rows = min(float(found.n), centre * (1 - centre) / max(found.variance, 1e-12))
    return JEFFREYS + found.value * rows, JEFFREYS + (1 - found.value) * rows


def _matched(draws: Floats) -> tuple[float, float]:
    """The Beta distribution with the mean and the variance of draws."""
    mean, variance = float(np.clip(draws.mean(), 1e-4, 0.4999)), max(float(draws.var()), 1e-8)
    rows = max(mean * (1 - mean) / variance - 1, 2.0)
    return mean * rows, (1 - mean) * rows


def median(draws: Floats, n: int) -> Estimate:
    """The median of draws with 95 % of them."""
    low, value, high = np.quantile(draws, [0.025, 0.5, 0.975])
    return Estimate(float(value), float(low), float(high), n)
