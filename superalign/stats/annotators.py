"""How often each annotator errs, from gold items and from what several said of the same items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from superalign.stats.dawid_skene import PRIOR_RIGHT, PRIOR_WRONG, Votes, fitted, identified, posterior
from superalign.stats.estimate import Estimate

UNCHECKED = "no gold item and no double is answered"
NOT_IDENTIFIED = "not identified: two annotators disagree, only a third or gold items tell who of them errs"


class Vote(Protocol):
    """What one expert said of one item: an `ExpertLabel`, or an `Answer` of the queue."""

    @property
    def item_id(self) -> str:
        """The item."""

    @property
    def annotator(self) -> str:
        """Who said it."""

    @property
    def value(self) -> float:
        """1 accept or first better, 0 refuse or second better, 0.5 tie."""


@dataclass(frozen=True)
class AnnotatorError:
    """What is known of an annotator.

    Attributes:
        error: the share of wrong answers, with its 95 % interval and how many answers were checked; None where it
            cannot be told.
        sensitivity, specificity: P(accepts | acceptable) and P(refuses | not), or of first better and second better.
        reason: why there is no error, in words.
    """

    error: Estimate | None
    sensitivity: float | None = None
    specificity: float | None = None
    reason: str | None = None


def annotator_errors(labels: Iterable[Vote], gold: Mapping[str, float] | None = None) -> dict[str, float]:
    """eps_e per annotator, what labels are fused with: the mean of Beta(2 + wrong, 18 + right), a prior of 10 %.

    Answers are checked against gold (item id -> true value) and against the answers of others. Whose error these
    identify is told by Dawid and Skene's model (`dawid_skene.fitted`). Of two annotators alone only the sum of their
    errors is known, P(disagree) = eps_e + eps_f to first order: each counts half of a disagreement, which is how to
    weigh their answers and no estimate of either (see `annotator_quality`). A tie against a choice counts half.
    """
    votes, told = _told(labels, gold or {})
    wrong, n = _halved(votes)
    quality, _, _ = fitted(told) if told.annotators else (None, None, None)
    found = {name: (PRIOR_WRONG + wrong[name]) / (PRIOR_WRONG + PRIOR_RIGHT + n[name]) for name in votes.annotators}
    if quality is not None:
        found |= dict(zip(told.annotators, quality.error.tolist(), strict=True))
    return found


def annotator_quality(labels: Iterable[Vote], gold: Mapping[str, float] | None = None) -> dict[str, AnnotatorError]:
    """What can be said of each annotator, with 95 % of the posterior of Dawid and Skene's model (1979)."""
    votes, told = _told(labels, gold or {})
    _, n = _halved(votes)
    found = {name: AnnotatorError(None, reason=NOT_IDENTIFIED if n[name] else UNCHECKED) for name in votes.annotators}
    if told.annotators:
        quality, _, _ = fitted(told)
        low, high = np.quantile(posterior(told).error, [0.025, 0.975], axis=0)
        for i, name in enumerate(told.annotators):
            value = float(quality.error[i])
            error = Estimate(value, min(value, float(low[i])), max(value, float(high[i])), round(quality.checked[i]))
            found[name] = AnnotatorError(error, float(quality.sensitivity[i]), float(quality.specificity[i]))
    return found


def error_draws(
    labels: Iterable[Vote], gold: Mapping[str, float] | None = None, draws: int = 1000, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """Draws from the posterior of each annotator's error rate, shape (draws,), whether it is identified or not."""
    votes = _votes(labels, gold or {})
    checked = _checking(votes, np.ones(votes.by.size, dtype=bool))
    rng = np.random.default_rng(seed)
    found = {name: rng.beta(PRIOR_WRONG, PRIOR_RIGHT, draws) for name in votes.annotators}
    if checked.annotators:
        found |= dict(zip(checked.annotators, posterior(checked, draws, seed).error.T, strict=True))
    return found


def _votes(labels: Iterable[Vote], gold: Mapping[str, float]) -> Votes:
    return Votes.of([(label.item_id, label.annotator, label.value) for label in labels], gold)


def _told(labels: Iterable[Vote], gold: Mapping[str, float]) -> tuple[Votes, Votes]:
    """All votes, and those of identified annotators on items that check them."""
    votes = _votes(labels, gold)
    names = identified(votes)
    return votes, _checking(votes, np.array([votes.annotators[by] in names for by in votes.by], dtype=bool))


def _checking(votes: Votes, mine: NDArray[np.bool_]) -> Votes:
    """Those of some votes that another of them or a known value checks."""
    answers = np.bincount(votes.item[mine], minlength=votes.truth.size)
    return votes.only(mine & ((answers > 1) | ~np.isnan(votes.truth))[votes.item])


def _halved(votes: Votes) -> tuple[dict[str, float], dict[str, int]]:
    """Half of the disagreements of each annotator, and the pairs of answers (and gold items) that these are of."""
    wrong, n = dict.fromkeys(votes.annotators, 0.0), dict.fromkeys(votes.annotators, 0)
    by_item: dict[int, list[tuple[str, float]]] = {}
    for item, by, value in zip(votes.item.tolist(), votes.by.tolist(), votes.value.tolist(), strict=True):
        by_item.setdefault(item, []).append((votes.annotators[by], value))
    for item, said in by_item.items():
        truth = float(votes.truth[item])
        found = [(name, abs(value - truth)) for name, value in said]
        if np.isnan(truth):
            found = [(x, abs(a - b) / 2) for (e, a), (f, b) in combinations(said, 2) for x in (e, f)]
        for name, mistake in found:
            wrong[name] += mistake
            n[name] += 1
    return wrong, n
