"""What guards compare: figures of the same items before and after an update, and when a role has collapsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from superalign.config.sections import GuardsConfig
from superalign.evaluation.harness import Evaluation, is_correct
from superalign.records import Judgement, Query
from superalign.stats.estimate import Estimate
from superalign.stats.intervals import paired_difference
from superalign.stats.text_similarity import near_duplicates


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of the same items before and after an update. `worse`: by how much it got worse, with its interval."""

    name: str
    before: float
    after: float
    worse: Estimate
    limit: float

    @property
    def broken(self) -> bool:
        """Whether it is established that it got worse by more than the limit: the whole interval lies beyond."""
        return self.worse.value > self.limit and self.worse.low > self.limit

    def __str__(self) -> str:
        """The change in words."""
        return (
            f"{self.name} went from {self.before:.3f} to {self.after:.3f}, worse by {self.worse.value:.3f} "
            f"[{self.worse.low:.3f}, {self.worse.high:.3f}] on {self.worse.n} items, allowed {self.limit:g}"
        )

    def to_row(self) -> dict[str, Any]:
        """The change as JSON."""
        return {
            "before": self.before,
            "after": self.after,
            "worse": self.worse.to_dict(),
            "limit": self.limit,
            "broken": self.broken,
        }


def change(
    name: str,
    before: ArrayLike,
    after: ArrayLike,
    clusters: Sequence[str],
    limit: float,
    weights: ArrayLike | None = None,
    draws: int = 1000,
) -> Change | None:
    """The change of a loss in [0, 1] (larger is worse) on the same items; None without items.

    `weights` make items that were drawn with unequal chances stand for all (see `propensity_weights`).
    """
    was, now = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if not was.size:
        return None
    w = None if weights is None else np.asarray(weights, dtype=np.float64)
    worse = paired_difference(now, was, clusters, resamples=draws, weights=w)
    return Change(name, float(np.average(was, weights=w)), float(np.average(now, weights=w)), worse, limit)


def gap_growth(before: Mapping[str, Any], cases: Evaluation, seed: int, draws: int) -> Estimate | None:
    """By how much the critic's mean score less the judge's grew since the last round, on the queries of both.

    Args:
        before: by query id the critic's p less the judge's verdict, in [-1, 1].
        cases: the evaluation now.
        seed, draws: of the bootstrap.
    """
    now = gaps(cases)
    both = [(q.id, q.seed_id) for q, *_ in cases.cases if q.id in before]
    if not both:
        return None
    after, earlier = ([(gap[identity] + 1) / 2 for identity, _ in both] for gap in (now, before))
    half = paired_difference(after, earlier, [cluster for _, cluster in both], seed, draws)
    return Estimate(2 * half.value, 2 * half.low, 2 * half.high, half.n)


def gaps(cases: Evaluation) -> dict[str, float]:
    """By query id the critic's probability less the judge's verdict."""
    return {q.id: p - float(is_correct(q, outcome)) for q, _, outcome, p in cases.cases}


def stopped(rows: Sequence[Mapping[str, Any]], config: GuardsConfig) -> str | None:
    """Why the run must stop, or None: the proxy-gold gap grew too much in the last two rounds, both intervals above 0.

    A growing gap says that the critic is pleased by more than what is good: further training would widen it.
    """
    last = [row["metrics"].get("proxy_gold_growth") for row in rows[-2:]] if config.enabled else []
    if len(last) < 2 or not all(g and g["value"] > config.gap_growth and g["low"] > 0 for g in last):
        return None
    grown = " and ".join(f"{g['value']:.3f} [{g['low']:.3f}, {g['high']:.3f}]" for g in last if g)
    return f"the proxy-gold gap grew by {grown} in rounds {rows[-2]['round']} and {rows[-1]['round']}"


def successes(
    queries: Sequence[Query], points: Sequence[Judgement], round: int, similarity: float
) -> tuple[int, int, float | None]:
    """The attacker's own queries of a round, its unique successes among them, and the success of static opponents.

    A query succeeded if the critic thinks that most of its answers failed; near-duplicates are one success. Static
    opponents never learn: their success tells how much of a fall is the learner's merit. None where none were asked.
    """
    failures: dict[str, list[float]] = {}
    for point in points:
        failures.setdefault(point.query_id, []).append(1 - point.p)
    hit = {identity: float(np.mean(found)) >= 0.5 for identity, found in failures.items()}
    own = [q for q in queries if q.source == "attacker" and q.round == round and q.id in hit]
    texts = [q.text for q in own if hit[q.id]]
    unique = int((~near_duplicates(texts, [], similarity)).sum()) if texts else 0
    static = [hit[q.id] for q in queries if q.source == "static" and q.id in hit]
    return len(own), unique, float(np.mean(static)) if static else None


def collapsed(history: Sequence[Mapping[str, Any]], now: Mapping[str, Any], config: GuardsConfig) -> float | None:
    """The unique successes that were to be expected, if the attacker has far fewer; None if it has not collapsed.

    What an earlier round since the last restart found, scaled down as the static opponents' success fell meanwhile.
    """
    since = next((i + 1 for i in range(len(history) - 1, -1, -1) if history[i]["restarted"]), 0)
    expected = 0.0
    for then in history[since:]:
        share = 1.0
        if now["static"] is not None and then["static"]:
            share = min(1.0, now["static"] / then["static"])
        expected = max(expected, share * then["unique"])
    if expected < config.min_successes or now["unique"] > config.collapse * expected:
        return None
    return expected
