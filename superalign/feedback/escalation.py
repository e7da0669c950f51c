"""Which items the few experts see: propensities that are known, positive and within a hard budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superalign.errors import UserError
from superalign.records import ExpertLabel, Judgement, Response

Policy = Literal["default", "random", "uncertainty", "none", "all"]
AUDIT_FLOOR = 0.05
VARIANCE_FLOOR = 0.01


@dataclass(frozen=True, slots=True)
class Escalated:
    """One drawn item: its position in the judgements, the propensity to store, its lane, whether two must answer."""

    index: int
    pi: float
    lane: Literal["forced", "active"]
    double: bool


def distinct(judgements: Sequence[Judgement], responses: Mapping[str, Response]) -> list[Judgement]:
    """The first judgement of each (query, texts of the responses): an expert is never asked the same twice."""
    return [alike[0] for alike in _alike(judgements, responses)]


def shared(
    labels: Sequence[ExpertLabel], judgements: Sequence[Judgement], responses: Mapping[str, Response]
) -> list[ExpertLabel]:
    """The labels, and each once more for every judgement of the same texts: what was said of one holds for all."""
    names = {j.id: [twin.id for twin in alike] for alike in _alike(judgements, responses) for j in alike}
    return [replace(label, item_id=name) for label in labels for name in names.get(label.item_id, [label.item_id])]


def _alike(judgements: Sequence[Judgement], responses: Mapping[str, Response]) -> list[list[Judgement]]:
    found: dict[tuple[str, str, str], list[Judgement]] = {}
    for j in judgements:
        key = j.query_id, responses[j.first_id].text, responses[j.second_id].text if j.second_id else ""
        found.setdefault(key, []).append(j)
    return list(found.values())


def priorities(judgements: Sequence[Judgement], severity: ArrayLike, novelty: ArrayLike) -> NDArray[np.float64]:
    """a_i = severity_i (1 + novelty_i) sqrt(max(p(1-p), v, .01)), shape (n,).

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
    """pi_i = min(1, B [tau/n + (1-tau) a_i/sum a]), the sampling of active inference (arXiv 2403.03208), shape (n,).

    sum pi <= budget, and pi > 0 when budget > 0.

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


def chosen_by(policy: Policy, judgements: Sequence[Judgement], affordable: float) -> NDArray[np.float64]:
    """The propensities of a policy that the default is compared with, for `affordable` items, shape (n,).

    `random`: min(1, affordable/n). `uncertainty`: 1 for the items of largest max(p(1-p), v), 0 for all others, so what
    is estimated from its labels holds of those items alone: no weighting removes that bias. `none`: 0. `all`: 1.

    Raises:
        UserError: `all` of the items are more than are affordable.
    """
    n = len(judgements)
    if policy == "random":
        return np.full(n, min(1.0, affordable / max(n, 1)))
    if policy == "all" and n > affordable:
        raise UserError(
            f"expert.policy=all: {n} items were judged, expert.budget holds {math.floor(affordable)}; "
            "raise the budget or choose another policy"
        )
    pi = np.full(n, float(policy == "all"))
    if policy == "uncertainty":
        doubt = [max(j.p * (1 - j.p), j.variance) for j in judgements]
        most = sorted(range(n), key=lambda i: (-doubt[i], judgements[i].id))
        pi[most[: math.floor(affordable + 1e-9)]] = 1.0
    return pi


def draw(
    pi: ArrayLike,
    ids: Sequence[str],
    forced: ArrayLike,
    budget: int,
    double_share: float,
    seed: int,
    votes: int = 1,
) -> list[Escalated]:
    """Draw items with exactly these propensities, never more labels than the budget.

    Systematic sampling in a random order (Madow 1949) instead of independent coins: every item is in with
    probability exactly pi_i, while the number drawn is the sum of pi rounded up or down. Independent coins can pass
    the budget, and dropping the excess would make the stored pi a lie. The order is taken from the ids, so
    the result does not depend on the order of the rows. An item costs `votes` labels. round(double_share * drawn) of
    the items, chosen at random, cost one more, each annotator blind to the others; fewer if the budget leaves no room.

    Raises:
        ValueError: sum pi exceeds the items that the budget holds, or lengths differ, or ids repeat.
    """
    p, mark = np.asarray(pi, dtype=np.float64), np.asarray(forced, dtype=bool)
    if len(ids) != p.size or mark.size != p.size or len(set(ids)) != len(ids):
        raise ValueError("every propensity needs one id of its own")
    most = budget // votes
    if p.sum() > most + 1e-6:
        raise ValueError(f"propensities sum to {p.sum():.3f}, more than the budget of {most}")
    if p.size == 0:
        return []
    rng = np.random.default_rng(seed)
    by_id = np.array(sorted(range(p.size), key=lambda i: ids[i]))
    order = by_id[rng.permutation(p.size)]
    # Rounding the running sum keeps its float error from adding a row beyond the budget.
    marks = np.floor(np.round(np.concatenate([[0.0], np.cumsum(p[order])]) - (1 - rng.random()), 9))
    taken = order[np.diff(marks) > 0][:most]
    doubles = min(round(double_share * taken.size), budget - votes * taken.size)
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
    votes: int = 1,
    policy: Policy = "default",
) -> tuple[NDArray[np.float64], list[Escalated]]:
    """The propensities of all items (for `active_mean`) and the items drawn.

    Every item costs `votes` labels and some one more: the draw spends what budget/(votes + double_share) items cost,
    and the rest on the doubles. With `policy=all` doubles take what the items leave. Only the default policy has a
    forced lane.

    Raises:
        UserError: see `chosen_by`.
    """
    most = budget // votes
    affordable = min(budget / (votes + double_share), most)
    if policy == "default":
        pi = propensities(judgements, severity, novelty, affordable, uniform_share, forced, forced_share)
    else:
        pi = chosen_by(policy, judgements, most if policy == "all" else affordable)
        forced = np.zeros_like(pi)
    return pi, draw(pi, [j.id for j in judgements], forced, budget, double_share, seed, votes)
