"""How often each annotator errs, from gold items and from blind doubles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Protocol

PRIOR_WRONG, PRIOR_RIGHT = 2.0, 18.0


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


def annotator_mistakes(labels: Iterable[Vote], gold: Mapping[str, float] | None = None) -> dict[str, tuple[float, int]]:
    """(mistakes, answers that could be checked) per annotator, from gold items and blind doubles.

    A disagreement on a double counts as half a mistake of either: to first order P(disagree) = eps_e + eps_f.
    A tie against a choice counts half. Gold maps item ids to the true value; gold items are not also doubles.
    """
    wrong: dict[str, float] = {}
    seen: dict[str, int] = {}
    by_item: dict[str, list[Vote]] = {}
    truth = gold or {}
    for label in labels:
        seen.setdefault(label.annotator, 0)
        by_item.setdefault(label.item_id, []).append(label)
    for item, votes in by_item.items():
        if item in truth:
            found = [(vote, abs(vote.value - truth[item])) for vote in votes]
        else:
            found = [(x, abs(a.value - b.value) / 2) for a, b in combinations(votes, 2) for x in (a, b)]
        for vote, mistake in found:
            wrong[vote.annotator] = wrong.get(vote.annotator, 0.0) + mistake
            seen[vote.annotator] += 1
    return {e: (wrong.get(e, 0.0), n) for e, n in seen.items()}


def annotator_errors(labels: Iterable[Vote], gold: Mapping[str, float] | None = None) -> dict[str, float]:
    """eps_e per annotator: the mean of Beta(2 + wrong, 18 + right), a prior of 10 %; see `annotator_mistakes`."""
    checked = annotator_mistakes(labels, gold)
    return {e: (PRIOR_WRONG + wrong) / (PRIOR_WRONG + PRIOR_RIGHT + n) for e, (wrong, n) in checked.items()}
