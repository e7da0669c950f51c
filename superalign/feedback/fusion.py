"""Fusing the calibrated critic with the experts' votes into noisy labels with loss weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superalign.records import ExpertLabel, Judgement

MIN_MARGIN = 0.1
EXPERT_SHARE = (0.1, 0.5)
MAX_USES = 4.0
P_BOUND = 1e-3


@dataclass(frozen=True, slots=True)
class Blended:
    """A noisy label: the first is chosen (or accepted) if `chosen_first`; `q` >= 1/2 is the belief in the choice."""

    chosen_first: bool
    q: float
    w: float
    source: Literal["critic", "expert"]


def fuse(p: float, votes: Sequence[tuple[float, float]]) -> float:
    """logit q = logit p + sum_e s_e log((1 - eps_e)/eps_e): naive Bayes (Dawid, Skene 1979). A tie (0.5) adds 0.

    Args:
        p: the critic's calibrated probability, held within [.001, .999] so that experts can always overrule it.
        votes: (value in [0, 1], eps of its annotator) per expert.
    """
    p = min(max(p, P_BOUND), 1 - P_BOUND)
    logit = np.log(p / (1 - p))
    for value, error in votes:
        logit += (2 * value - 1) * np.log((1 - error) / error)
    return float(1 / (1 + np.exp(-logit)))


def label_weight(q: ArrayLike) -> NDArray[np.float64]:
    """w = (1 - 2 eps)^2, eps = min(q, 1-q): Fisher information of a symmetric noisy label; 0 where |q - .5| < .1.

    The gradient of a soft label (cDPO, KTO) has a factor 1 - 2 eps of its own, so that the weight discounts noise once
    more. It is kept, since with it the learner learns more from few pairs: `cdpo (instance)` of
    `tests/benchmarks/noise.py` handled 68 % of held-out requests rightly, `cdpo (no weight)` 56 %, as many as the
    untrained learner (PAIRS = 384, HELD_OUT = 96, 20 and 30 % flipped, seeds 0 and 1; difference 11.5 [8.0, 15.1]).
    """
    margin = np.abs(np.asarray(q, dtype=np.float64) - 0.5)
    return np.where(margin < MIN_MARGIN - 1e-12, 0.0, (2 * margin) ** 2)


def share_factor(w: ArrayLike, expert: ArrayLike) -> float:
    """The factor on the expert weights that brings their share of the total into [10 %, 50 %].

    At most 4, as an expert item may not count for more than four uses in a round; so fewer than about one
    expert item in forty stay below 10 %. 1 where only one of the sources is there.
    """
    weight, mark = np.asarray(w, dtype=np.float64), np.asarray(expert, dtype=bool)
    own, other = float(weight[mark].sum()), float(weight[~mark].sum())
    if own == 0 or other == 0:
        return 1.0
    low, high = EXPERT_SHARE
    share = own / (own + other)
    wanted = min(max(share, low), high)
    return min(MAX_USES, wanted / (1 - wanted) * other / own)


def blend(
    judgements: Sequence[Judgement], labels: Iterable[ExpertLabel], errors: Mapping[str, float]
) -> list[Blended | None]:
    """One noisy label per judgement, in order; None where the evidence is too weak to teach anything.

    A label belongs to the judgement whose id is its item_id. An abstaining critic counts as p = 1/2: the item lives
    by its expert votes alone.
    """
    votes: dict[str, list[tuple[float, float]]] = {}
    for label in labels:
        votes.setdefault(label.item_id, []).append((label.value, errors[label.annotator]))
    q = np.array([fuse(0.5 if j.abstained else j.p, votes.get(j.id, ())) for j in judgements])
    expert = np.array([j.id in votes for j in judgements], dtype=bool)
    w = label_weight(q)
    w = np.where(expert, w * share_factor(w, expert), w)
    return [
        Blended(bool(qi >= 0.5), float(max(qi, 1 - qi)), float(wi), "expert" if e else "critic") if wi > 0 else None
        for qi, wi, e in zip(q, w, expert, strict=True)
    ]
