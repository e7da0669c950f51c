"""How far the experts can be trusted and what they cost: figures of their answers, with intervals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superalign.experts.items import ExpertAnswer
from superalign.records import by_dimension
from superalign.stats.annotators import annotator_quality
from superalign.stats.estimate import Estimate
from superalign.stats.intervals import clustered_rate, paired_difference

RESAMPLES = 2000


def cohen_kappa(first: Sequence[float], second: Sequence[float]) -> Estimate | None:
    """kappa = (p_o - p_e)/(1 - p_e) of two annotators on the same items (Cohen 1960), -1 to 1.

    None without items, and where both gave one and the same answer throughout: chance explains that wholly. For the
    interval see `_posterior`.
    """
    values = sorted({*first, *second})
    if len(values) < 2:
        return None
    cells = [(a, b) for a in values for b in values]
    pairs = [*zip(first, second, strict=True), *cells]
    a, b = (np.array([[pair[side] == value for value in values] for pair in pairs], dtype=float) for side in (0, 1))

    def kappa(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        observed = weights @ (a * b).sum(axis=1)
        chance = ((weights @ a) * (weights @ b)).sum(axis=-1)
        return np.asarray((observed - chance) / (1 - chance))

    return _posterior(kappa, len(first), len(cells))


def krippendorff_alpha(ratings: Sequence[Sequence[float]]) -> Estimate | None:
    """alpha = 1 - D_o/D_e for nominal answers of any number of annotators (Krippendorff 2011).

    `ratings` are the answers to each item, as many as there are; items with fewer than two say nothing. None where no
    item has two, or all answers are equal: there is no disagreement to expect. For the interval see `_posterior`.
    """
    paired = [list(row) for row in ratings if len(row) > 1]
    values = sorted({value for row in paired for value in row})
    if len(values) < 2:
        return None
    cells = [[a, b] for a in values for b in values]
    counts = np.array([[row.count(value) for value in values] for row in (*paired, *cells)], dtype=float)
    size = counts.sum(axis=1)
    # The pairs of different answers to an item, over size - 1: its part of the coincidence matrix off the diagonal.
    apart = (size**2 - (counts**2).sum(axis=1)) / (size - 1)

    def alpha(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled = weights * len(paired)
        total = scaled @ size
        margins = scaled @ counts
        return np.asarray(1 - (total - 1) * (scaled @ apart) / (total**2 - (margins**2).sum(axis=-1)))

    return _posterior(alpha, len(paired), len(cells))


def expert_agreement(answers: Sequence[ExpertAnswer]) -> Estimate | None:
    """How often two experts say the same of one item, over all pairs of answers; a tie against a choice counts half."""
    pairs = [
        (1 - abs(a.value - b.value), a.item.query_id) for row in _by_item(answers) for a, b in combinations(row, 2)
    ]
    return _rate(pairs)


def critic_agreement(answers: Sequence[ExpertAnswer]) -> Estimate | None:
    """How often an expert says what the critic said (p > 1/2); a tie against a choice counts half."""
    return _rate([(1 - abs(a.value - _verdict(a)), a.item.query_id) for a in answers])


def oversight_gain(answers: Sequence[ExpertAnswer], truth: Mapping[str, float]) -> dict[str, Estimate] | None:
    """accuracy(expert with critic) - max(accuracy(expert alone), accuracy(critic alone)), and all three.

    The sandwiching measure of oversight (Bowman et al., arXiv 2211.03540): what both reach beyond the better of them.

    From the blind items whose truth is known, answered before and after the critique was seen; None without any.
    The gain is the smaller of two paired differences, its interval the smaller of their lows and of their highs.
    """
    rows = [(a, a.alone, truth[a.item_id]) for a in answers if a.alone is not None and a.item_id in truth]
    if not rows:
        return None
    clusters = [a.item.query_id for a, _, _ in rows]
    scores = {
        "with_critic": [1 - abs(a.value - t) for a, _, t in rows],
        "expert_alone": [1 - abs(alone - t) for _, alone, t in rows],
        "critic_alone": [1 - abs(_verdict(a) - t) for a, _, t in rows],
    }
    against = [paired_difference(scores["with_critic"], scores[one], clusters) for one in list(scores)[1:]]
    gain = Estimate(min(d.value for d in against), min(d.low for d in against), min(d.high for d in against), len(rows))
    return {name: clustered_rate(score, clusters) for name, score in scores.items()} | {"gain": gain}


def working_time(answers: Sequence[ExpertAnswer]) -> dict[str, float] | None:
    """Median, 90th percentile and sum of the seconds per label, and how many labels tell them; None if none does."""
    seconds = np.array([a.seconds for a in answers if a.seconds is not None])
    if not seconds.size:
        return None
    median, p90 = np.quantile(seconds, [0.5, 0.9])
    return {"median": float(median), "p90": float(p90), "sum": float(seconds.sum()), "n": int(seconds.size)}


def summary(
    answers: Sequence[ExpertAnswer], truth: Mapping[str, float] | None = None, hourly_rate: float = 0.0
) -> dict[str, Any]:
    """All of the above as JSON for page, command line and report; None where there is nothing to tell a figure from.

    Args:
        answers: the standing answers. Gold items bring their own truth and count in error, gain, time and cost alone.
        truth: the known values of further items, by item id.
        hourly_rate: the price of an expert's hour. Labels without a time are priced at the mean of the others;
            answers of programs cost nothing.
    """
    known = dict(truth or {}) | {a.item_id: a.item.gold for a in answers if a.item.gold is not None}
    asked = [a for a in answers if a.item.gold is None]
    people = [a for a in answers if not a.simulated]
    rows = _by_item(asked)
    both: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        for a, b in combinations(sorted(row, key=lambda answer: answer.annotator), 2):
            both[a.annotator, b.annotator].append((_as_shown(a), _as_shown(b)))
    kappas = {names: cohen_kappa([a for a, _ in values], [b for _, b in values]) for names, values in both.items()}
    gain, time = oversight_gain(answers, known), working_time(people)
    quality = annotator_quality(answers, known)
    cost = time["sum"] * len(people) / time["n"] / 3600 * hourly_rate if time else None
    return {
        "labels": len(answers),
        "simulated": len(answers) - len(people),
        "gold": len(answers) - len(asked),
        "doubles": sum(len(row) > 1 for row in rows),
        "kappa": [{"annotators": list(names), "kappa": _row(kappa)} for names, kappa in sorted(kappas.items())],
        "alpha": _row(krippendorff_alpha([[_as_shown(a) for a in row] for row in rows])),
        "expert_expert": _row(expert_agreement(asked)),
        "expert_critic": _row(critic_agreement(asked)),
        "dimensions": {name: _dimension(each) for name, each in _by_dimension(asked).items()},
        # The critic on the very items on which experts are compared with each other.
        "expert_critic_on_doubles": _row(critic_agreement([a for row in rows if len(row) > 1 for a in row])),
        "error": {name: _row(one.error) for name, one in quality.items()},
        "error_unknown": {name: one.reason for name, one in quality.items() if one.reason},
        "quality": {
            name: {"sensitivity": one.sensitivity, "specificity": one.specificity}
            for name, one in quality.items()
            if one.error
        },
        "oversight": None if gain is None else {name: _row(estimate) for name, estimate in gain.items()},
        "by_lane": dict(sorted(Counter("gold" if a.item.gold is not None else a.item.lane for a in answers).items())),
        "by_annotator": dict(sorted(Counter(a.annotator for a in answers).items())),
        "seconds": time,
        "cost": cost,
    }


def _posterior(statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]], items: int, cells: int) -> Estimate:
    """A statistic of weighted items with the 95 % of its posterior: weights are Dirichlet draws (Rubin 1981).

    The last `cells` rows are imaginary items, one for each possible pair of answers, with the weight of one item in
    all: a prior without which a few answers that happen to agree would have no spread at all.
    """
    plain = np.concatenate([np.full(items, 1 / items), np.zeros(cells)])
    value = float(statistic(plain))
    mass = np.concatenate([np.ones(items), np.full(cells, 1 / cells)])
    draws = statistic(np.random.default_rng(0).dirichlet(mass, size=RESAMPLES))
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value, min(value, float(low)), max(value, float(high)), items)


def _rate(values: Sequence[tuple[float, str]]) -> Estimate | None:
    return clustered_rate([value for value, _ in values], [cluster for _, cluster in values]) if values else None


def _row(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate.to_dict()


def _verdict(answer: ExpertAnswer) -> float:
    return 0.5 if answer.item.p == 0.5 else float(answer.item.p > 0.5)


def _as_shown(answer: ExpertAnswer) -> float:
    """The answer in terms of A and B: what chance agrees on is the side that somebody likes to press, not the text."""
    return answer.item.as_shown(answer.value)


def _by_dimension(answers: Sequence[ExpertAnswer]) -> dict[str, list[ExpertAnswer]]:
    """The answers to each question of the policy, as if nothing else had been asked."""
    found: dict[str, list[ExpertAnswer]] = {}
    for answer in answers:
        for name, p in by_dimension(answer.dimensions).items():
            found.setdefault(name, []).append(replace(answer, value=p))
    return found


def _dimension(answers: Sequence[ExpertAnswer]) -> dict[str, Any]:
    return {
        "answers": len(answers),
        "expert_expert": _row(expert_agreement(answers)),
        "alpha": _row(krippendorff_alpha([[a.value for a in row] for row in _by_item(answers)])),
    }


def _by_item(answers: Sequence[ExpertAnswer]) -> list[list[ExpertAnswer]]:
    rows: defaultdict[str, list[ExpertAnswer]] = defaultdict(list)
    for answer in answers:
        rows[answer.item_id].append(answer)
    return list(rows.values())
