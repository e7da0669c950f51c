"""Which items the few experts see: propensities that are known, positive and within a hard budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superalign.records import Judgement

AUDIT_FLOOR = 0.05
VARIANCE_FLOOR = 0.01


@dataclass(frozen=True, slots=True)
class Escalated:
    """One drawn item: its position in the judgements, the propensity to store, its lane, whether two must answer."""

    index: int
    pi: float
    lane: Literal["forced", "active"]
    double: bool


def priorities(judgements: Sequence[Judgement], severity: ArrayLike, novelty: ArrayLike) -> NDArray[np.float64]:
    """a_i = severity_i (1 + novelty_i) sqrt(max(p(1-p), v, .01)) (R8), shape (n,).

    Raises:
        ValueError: the lengths differ or a severity or novelty is negative.
    """
    p = np.array([j.p for j in judgements], dtype=np.float64)
    v = np.array([j.variance for j in judgements], dtype=np.float64)
    s, n = np.asarray(severity, dtype=np.float64), np.asarray(novelty, dtype=np.float64)
    if not p.shape == s.shape == n.shape:
        raise ValueError(f"{p.size} judgements, {s.size} severities and {n.size} novelties differ in number")
    if (s < 0).any() or (n < 0).any():
        raise ValueError("severity and novelty must not be negative")
    return np.asarray(s * (1 + n) * np.sqrt(np.maximum.reduce([p * (1 - p), v, np.full_like(p, VARIANCE_FLOOR)])))


def propensities(
    judgements: Sequence[Judgement],
    severity: ArrayLike,
    novelty: ArrayLike,
    budget: float,
    uniform_share: float,
    forced: ArrayLike,
    forced_share: float,
) -> NDArray[np.float64]:
    """pi_i = min(1, B [tau/n + (1-tau) a_i/sum a]) (R8); sum pi <= budget, pi > 0 when budget > 0, shape (n,).

    Rows marked `forced` (critic and safety conflict at top severity) get pi = 1 and are paid first, at most
    floor(forced_share * budget) of them, the highest a_i first; the others stand in the common draw. tau is never
    below 5 %, the audit floor: no item may become unobservable.

    Raises:
        ValueError: lengths differ, or a share is outside [0, 1], or the budget is negative.
    """
    a = priorities(judgements, severity, novelty)
    mark = np.asarray(forced, dtype=bool)
    if mark.shape != a.shape:
        raise ValueError(f"{a.size} judgements but {mark.size} forced marks")
    if budget < 0 or not 0 <= uniform_share <= 1 or not 0 <= forced_share <= 1:
        raise ValueError("the budget must not be negative and shares must be in [0, 1]")
    pi = np.zeros_like(a)
    if budget == 0 or a.size == 0:
        return pi
    ranked = sorted(np.flatnonzero(mark).tolist(), key=lambda i: (-a[i], i))
    sure = ranked[: math.floor(forced_share * budget + 1e-9)]
    rest = np.setdiff1d(np.arange(a.size), sure)
    pi[sure] = 1.0
    if rest.size:
        tau = max(uniform_share, AUDIT_FLOOR)
        total = a[rest].sum()
        share = a[rest] / total if total > 0 else np.full(rest.size, 1 / rest.size)
        pi[rest] = np.minimum(1.0, (budget - len(sure)) * (tau / rest.size + (1 - tau) * share))
    return pi


def draw(
    pi: ArrayLike, ids: Sequence[str], forced: ArrayLike, budget: int, double_share: float, seed: int
) -> list[Escalated]:
    """Draw items with exactly these propensities, never more labels than the budget.

    Systematic sampling in a random order (Madow 1949) instead of independent coins: every item is in with
    probability exactly pi_i, while the number drawn is the sum of pi rounded up or down. Independent coins can pass
    the budget, and dropping the excess would make the stored pi a lie. The order is taken from the ids, so
    the result does not depend on the order of the rows. round(double_share * drawn) of the items, chosen at
    random, need answers of two annotators, each blind to the other; fewer if the budget leaves no room.

    Raises:
        ValueError: sum pi exceeds the budget, or lengths differ, or ids repeat.
    """
    p, mark = np.asarray(pi, dtype=np.float64), np.asarray(forced, dtype=bool)
    if len(ids) != p.size or mark.size != p.size or len(set(ids)) != len(ids):
        raise ValueError("every propensity needs one id of its own")
    if p.sum() > budget + 1e-6:
        raise ValueError(f"propensities sum to {p.sum():.3f}, more than the budget of {budget}")
    if p.size == 0:
        return []
    rng = np.random.default_rng(seed)
    by_id = np.array(sorted(range(p.size), key=lambda i: ids[i]))
    order = by_id[rng.permutation(p.size)]
    # Rounding the running sum keeps its float error from adding a row beyond the budget.
    marks = np.floor(np.round(np.concatenate([[0.0], np.cumsum(p[order])]) - (1 - rng.random()), 9))
    taken = order[np.diff(marks) > 0][:budget]
    doubles = min(round(double_share * taken.size), budget - taken.size)
    doubled = set(rng.permutation(taken)[:doubles].tolist())
    return [
        Escalated(i, float(p[i]), "forced" if mark[i] and p[i] == 1.0 else "active", i in doubled)
        for i in sorted(taken.tolist())
    ]


def escalate(
    judgements: Sequence[Judgement],
    severity: ArrayLike,
    novelty: ArrayLike,
    forced: ArrayLike,
    *,
    budget: int,
    uniform_share: float,
    forced_share: float,
    double_share: float,
    seed: int,
) -> tuple[NDArray[np.float64], list[Escalated]]:
    """The propensities of all items (for `active_mean`) and the items drawn.

    Blind doubles cost labels: the draw spends budget/(1 + double_share) on items and the rest on second answers.
    """
    ids = [j.id for j in judgements]
    single = budget / (1 + double_share)
    pi = propensities(judgements, severity, novelty, single, uniform_share, forced, forced_share)
    return pi, draw(pi, ids, forced, budget, double_share, seed)
