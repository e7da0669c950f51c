"""How often each of several annotators errs, told from what they say of the same items (Dawid and Skene 1979)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
PRIOR_WRONG, PRIOR_RIGHT = 2.0, 18.0
ROUNDS, CLOSE = 500, 1e-7
WARM_UP = 100
TOWARDS = 10.0  # answers that draw sensitivity and specificity towards each other


@dataclass(frozen=True)
class Votes:
    """What annotators said of items.

    Attributes:
        annotators: their names, in order.
        item, by, value: of each vote its item (0 .. items-1), its annotator's place and what was said: 1 accept or
            first better, 0 refuse or second better, 0.5 tie, which counts half for either; shape (votes,).
        truth: the known value of each item, NaN where it is not known, shape (items,).
    """

    annotators: tuple[str, ...]
    item: NDArray[np.intp]
    by: NDArray[np.intp]
    value: Floats
    truth: Floats

    @classmethod
    def of(cls, said: Sequence[tuple[str, str, float]], truth: Mapping[str, float]) -> Votes:
        """From (item, annotator, value); the order in which they come changes nothing."""
        ordered = sorted(said)
        items = sorted({item for item, _, _ in ordered})
        names = sorted({name for _, name, _ in ordered})
        place, who = ({one: i for i, one in enumerate(each)} for each in (items, names))
        return cls(
            tuple(names),
            np.array([place[item] for item, _, _ in ordered], dtype=np.intp),
            np.array([who[name] for _, name, _ in ordered], dtype=np.intp),
            np.array([value for _, _, value in ordered], dtype=np.float64),
            np.array([truth.get(item, np.nan) for item in items], dtype=np.float64),
        )

    def only(self, kept: NDArray[np.bool_]) -> Votes:
        """Some of the votes, shape (votes,)."""
        names, by = np.unique(self.by[kept], return_inverse=True)
        items, item = np.unique(self.item[kept], return_inverse=True)
        annotators = tuple(self.annotators[i] for i in names)
        return Votes(annotators, item.reshape(-1), by.reshape(-1), self.value[kept], self.truth[items])


@dataclass(frozen=True)
class Quality:
    """How annotators answer, each of shape (..., annotators).

    Attributes:
        error: the share of wrong answers.
        sensitivity, specificity: P(1 | true 1) and P(0 | true 0).
        checked: how many answers that is told from.
    """

    error: Floats
    sensitivity: Floats
    specificity: Floats
    checked: Floats


def fitted(votes: Votes) -> tuple[Quality, Floats, float]:
    """(quality, P(true value is 1) of each item, its mean), by expectation and maximisation from the majority's view.

    Every step takes means of posteriors: the error rate's prior is Beta(2, 18), as for an annotator of whom nothing is
    known, and sensitivity and specificity are drawn towards one minus it by ten answers each.
    """
    total = np.bincount(votes.item, minlength=votes.truth.size)
    yes = np.bincount(votes.item, weights=votes.value, minlength=votes.truth.size)
    belief = _known(votes, (yes + 0.5) / (total + 1))
    for _ in range(ROUNDS):
        ones, zeros = _counts(votes, belief)
        n, wrong = ones[1] + zeros[1], ones[1] - ones[0] + zeros[1] - zeros[0]
        error = (PRIOR_WRONG + wrong) / (PRIOR_WRONG + PRIOR_RIGHT + n)
        sensitivity, specificity = ((TOWARDS * (1 - error) + right) / (TOWARDS + all) for right, all in (ones, zeros))
        quality, share = Quality(error, sensitivity, specificity, n), float((belief.sum() + 1) / (belief.size + 2))
        before, belief = belief, _known(votes, _posterior(votes, quality, share))
        if np.abs(belief - before).max(initial=0.0) < CLOSE:
            break
    return quality, belief, share


def posterior(votes: Votes, draws: int = 500, seed: int = 0) -> Quality:
    """Draws of the quality, shape (draws, annotators), by Gibbs sampling from `fitted` (Tanner and Wong 1987).

    The true values are drawn given the annotators, the annotators given these. Where the data cannot split blame, as
    between two annotators, the draws go through all splits that the prior allows.
    """
    rng = np.random.default_rng(seed)
    kept: list[tuple[Floats, Floats, Floats, Floats]] = []
    _, belief, _ = fitted(votes)
    for number in range(draws + WARM_UP):
        true = (rng.random(belief.size) < belief).astype(np.float64)
        ones, zeros = _counts(votes, true)
        n, wrong = ones[1] + zeros[1], ones[1] - ones[0] + zeros[1] - zeros[0]
        error = rng.beta(PRIOR_WRONG + wrong, PRIOR_RIGHT + n - wrong)
        sensitivity, specificity = (
            rng.beta(TOWARDS * (1 - error) + right, TOWARDS * error + all - right) for right, all in (ones, zeros)
        )
        quality = Quality(error, sensitivity, specificity, n)
        share = float(rng.beta(1 + true.sum(), 1 + true.size - true.sum()))
        belief = _known(votes, _posterior(votes, quality, share))
        if number >= WARM_UP:
            kept.append((error, sensitivity, specificity, n))
    return Quality(*(np.array(each) for each in zip(*kept, strict=True)))


def identified(votes: Votes) -> set[str]:
    """The annotators whose own error the answers can tell.

    Those who answered an item of known value; any three of whom every two answered common items (three rates of
    disagreement for three errors); and who shares items with one of these.
    """
    known = {votes.annotators[by] for by in votes.by[~np.isnan(votes.truth[votes.item])]}
    near: dict[str, set[str]] = {name: set() for name in votes.annotators}
    for one, other in _together(votes):
        near[one].add(other)
        near[other].add(one)
    found = known | {a for a in near for b in near[a] if near[a] & near[b]}
    waiting = list(found)
    while waiting:
        new = near[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _together(votes: Votes) -> Iterator[tuple[str, str]]:
    """The pairs of annotators who answered an item in common whose value is not known."""
    unknown = np.isnan(votes.truth[votes.item])
    answered = np.zeros((votes.truth.size, len(votes.annotators)), dtype=np.int64)
    answered[votes.item[unknown], votes.by[unknown]] = 1
    common = answered.T @ answered
    for one, other in zip(*np.nonzero(np.triu(common, 1)), strict=True):
        yield votes.annotators[one], votes.annotators[other]


def _known(votes: Votes, belief: Floats) -> Floats:
    return np.where(np.isnan(votes.truth), belief, np.nan_to_num(votes.truth))


def _counts(votes: Votes, belief: Floats) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """((right, all) on items truly 1, (right, all) on items truly 0), each by annotator."""
    p, size = belief[votes.item], len(votes.annotators)

    def sums(weights: Floats) -> Floats:
        return np.bincount(votes.by, weights=weights, minlength=size).astype(np.float64)

    return (sums(p * votes.value), sums(p)), (sums((1 - p) * (1 - votes.value)), sums(1 - p))


def _posterior(votes: Votes, quality: Quality, share: float) -> Floats:
    """P(true value is 1) of each item."""
    se, sp = (np.clip(each, 1e-9, 1 - 1e-9)[votes.by] for each in (quality.sensitivity, quality.specificity))
    odds = votes.value * np.log(se / (1 - sp)) + (1 - votes.value) * np.log((1 - se) / sp)
    logit = np.log(share / (1 - share)) + np.bincount(votes.item, weights=odds, minlength=votes.truth.size)
    return np.asarray(special.expit(logit), dtype=np.float64)
