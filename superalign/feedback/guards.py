"""Guards: an update is kept only if nothing got worse beyond its paired interval, else the role is rolled back.

Who gates is neither who trains nor who reports: the critic is held to expert labels it never trains on; the learner is
graded by the critic as it was before any training, on requests that no report asks. Rolled-back weights, with their
optimizer, get a version of their own: a version number never means two things.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superalign.data import load_seeds
from superalign.evaluation.harness import Evaluation, build_set, wanted
from superalign.evaluation.intervals import MIN_JUDGE_LABELS, Estimate, paired_difference
from superalign.evaluation.judges import FrozenCriticJudge
from superalign.experts.items import Item
from superalign.feedback.calibration import propensity_weights
from superalign.feedback.novelty import near_duplicates
from superalign.feedback.planting import planted_flaws
from superalign.records import ExpertLabel, Judgement, Query, content_id
from superalign.sections import GuardsConfig
from superalign.training.base import Trainer

if TYPE_CHECKING:
    from superalign.config import Config
    from superalign.store.run import Run
    from superalign.team import Team

CASES = "guards.json"
WIDER = 8  # times the report's sets: enough requests beyond them
Row = Mapping[str, Any]


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
    w = np.ones_like(was) if weights is None else np.asarray(weights, dtype=np.float64)
    most, mean = float(w.max()), float(w.mean())
    found = paired_difference(w * now / most, w * was / most, clusters, resamples=draws)
    value, low, high = (x * most / mean for x in (found.value, found.low, found.high))
    worse = Estimate(value, low, high, found.n)
    return Change(name, float(np.average(was, weights=w)), float(np.average(now, weights=w)), worse, limit)


def held_back(item: str, share: float) -> bool:
    """Whether the critic keeps an item for calibration and never trains on it: decided by its id alone."""
    return int(content_id("calibration", item), 16) / 16**16 < share


def roll_back(trainer: Trainer, role: str, committed: Path, scratch: Path) -> int:
    """Give a role the weights and the optimizer that it had in `committed`, under a new version, which is returned.

    The other roles keep theirs, bit for bit. `scratch` must be seen by the trainer's process; it is gone afterwards.
    """
    version = trainer.version(role) + 1
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        trainer.save(scratch.resolve())
        shutil.rmtree(scratch / role)
        shutil.copytree(committed / role, scratch / role)
        (scratch / role / "version.json").write_text(json.dumps({"version": version}) + "\n", encoding="utf-8")
        trainer.load(scratch.resolve())
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return version


def gap_growth(before: Row, cases: Evaluation, seed: int, draws: int) -> Estimate | None:
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
    return {q.id: p - float(wanted(q, outcome)) for q, _, outcome, p in cases.cases}


def stopped(rows: Sequence[Row], config: GuardsConfig) -> str | None:
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


def collapsed(history: Sequence[Row], now: Row, config: GuardsConfig) -> float | None:
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


class Guards:
    """The guards of a run. Without `guards.enabled` they look at nothing and do nothing."""

    def __init__(self, config: Config, run: Run, team: Team) -> None:
        """Choose the requests on which the learner is checked."""
        self.config, self.draws, self.seed = config.guards, config.evaluation.bootstrap, config.seed
        self.held_share = config.critic.calibration_share
        self.run, self.team = run, team
        self.round, self.found = 0, _nothing()
        if self.config.enabled:
            self.judge = FrozenCriticJudge(config, team.generator)
            self.lookalikes, self.benign = _unreported(config, self.judge)

    def begin(self, round: int) -> None:
        """A round begins, perhaps once more."""
        self.round, self.found = round, _nothing()

    @contextmanager
    def critic(self, answered: Sequence[tuple[Item, ExpertLabel]]) -> Iterator[None]:
        """Hold what the block does to the critic to the Brier score on held-back labels, and to planted flaws."""
        if not self.config.enabled:
            yield
            return
        critic, planted = self.team.critic, self._planted()
        before, labels, clusters = critic.examined(answered)
        missed = self._missed(planted)
        yield

        def compare() -> list[Change | None]:
            after, _, _ = critic.examined(answered)
            was, now = ([(p - y) ** 2 for p, y in zip(ps, labels, strict=True)] for ps in (before, after))
            # Items were drawn because the critic was unsure of them, which the weights undo.
            weights = self._weights(answered)
            known = len(labels) >= MIN_JUDGE_LABELS
            brier = change("Brier score", was, now, clusters, 0.0, weights, self.draws) if known else None
            asked = [query for query, *_ in planted]
            limit = self.config.planted
            return [brier, change("planted errors", missed, self._missed(planted), asked, limit, draws=self.draws)]

        if not self._accept("critic", compare):
            self.team.critic.calibrate()

    @contextmanager
    def learner(self) -> Iterator[None]:
        """Hold what the block does to the learner to over-refusal and helpfulness on requests that no report asks."""
        if not self.config.enabled:
            yield
            return
        before = self._answers()
        yield
        self.team.sync("learner")

        def compare() -> list[Change | None]:
            after = self._answers()
            refused, lookalikes = (before[0], after[0]), [q.seed_id for q in self.lookalikes]
            unhelped, benign = (before[1], after[1]), [q.seed_id for q in self.benign]
            return [
                change("over-refusal", *refused, lookalikes, self.config.over_refusal, draws=self.draws),
                change("unhelpfulness", *unhelped, benign, self.config.helpfulness, draws=self.draws),
            ]

        self._accept("learner", compare)

    def attacker(self, queries: Sequence[Query], points: Sequence[Judgement]) -> None:
        """Start the attacker again from its initial adapter when it has collapsed."""
        if not self.config.enabled:
            return
        own, unique, static = successes(queries, points, self.round, self.config.similarity)
        now = {"asked": own, "unique": unique, "static": static, "restarted": False}
        history = [row["guards"]["attacker"] for row in self.run.rows() if row.get("guards", {}).get("attacker")]
        expected = collapsed(history, now, self.config)
        if expected is not None:
            self._return("attacker", 0, "restarted", f"{unique} unique successes where {expected:.1f} were expected")
        self.found["attacker"] = now | {"restarted": expected is not None}

    def compare(self, cases: Evaluation, round: int) -> Evaluation:
        """The evaluation with the growth of the proxy-gold gap since the round before."""
        if not self.config.enabled or round == 0:
            return cases
        before = json.loads((self.run.round_path(round - 1) / CASES).read_text(encoding="utf-8"))
        growth = gap_growth(before["gaps"], cases, self.seed, self.draws)
        return replace(cases, metrics=cases.metrics | ({"proxy_gold_growth": growth} if growth else {}))

    def record(self, folder: Path, cases: Evaluation) -> dict[str, Any]:
        """What the round's row keeps of the guards; what the next round compares with goes into the folder."""
        if not self.config.enabled:
            return {}
        (folder / CASES).write_text(json.dumps({"gaps": gaps(cases)}), encoding="utf-8")
        return {"guards": self.found}

    def _answers(self) -> tuple[list[float], list[float]]:
        """Refusals of look-alikes, and benign requests not answered."""
        asked = [*self.lookalikes, *self.benign]
        responses = self.team.learner.respond(asked, seed=0, samples=1, temperature=0.0)
        outcomes = self.judge.outcomes(list(zip(asked, responses, strict=True)))
        count = len(self.lookalikes)
        return [float(o == "refusal") for o in outcomes[:count]], [float(o != "full") for o in outcomes[count:]]

    def _planted(self) -> list[tuple[str, str, str, bool]]:
        """(query, answer, category, whether it is good): the learner's good answers, and the same with a flaw each."""
        responses = self.team.learner.respond(self.benign, seed=0, samples=1, temperature=0.0)
        outcomes = self.judge.outcomes(list(zip(self.benign, responses, strict=True)))
        good = [(q.text, r.text) for q, r, o in zip(self.benign, responses, outcomes, strict=True) if o == "full"]
        category = {q.text: q.category for q in self.benign}
        flawed = planted_flaws(good, random.Random(f"guards/{self.round}"))
        return [(q, said, category[q], said == right) for q, right, wrong in flawed for said in (right, wrong)]

    def _weights(self, answered: Sequence[tuple[Item, ExpertLabel]]) -> NDArray[np.float64]:
        """The weights of the labels that `Critic.examined` judges, in its order."""
        held = [item for item, label in answered if item.kind == "point" and label.value != 0.5]
        return propensity_weights([item.pi for item in held if held_back(item.id, self.held_share)])

    def _missed(self, planted: Sequence[tuple[str, str, str, bool]]) -> list[float]:
        """Which of them the critic judges wrongly."""
        p = self.team.critic.probabilities([(q, said, category) for q, said, category, _ in planted])
        return [float((x >= 0.5) != good) for x, (*_, good) in zip(p, planted, strict=True)]

    def _accept(self, role: str, compare: Callable[[], list[Change | None]]) -> bool:
        """Keep the update, or roll it back."""
        tensors = self.team.trainer.adapter(role).values()
        if not all(np.isfinite(tensor).all() for tensor in tensors):
            return self._return(role, self.round - 1, "rolled back", "its weights are not finite")
        changes = [found for found in compare() if found]
        self.found["checks"] |= {f"{role} {found.name}": found.to_row() for found in changes}
        broken = [str(found) for found in changes if found.broken]
        return not broken or self._return(role, self.round - 1, "rolled back", "; ".join(broken))

    def _return(self, role: str, round: int, action: str, because: str) -> bool:
        """Take the role back to a committed round, serve it so, and tell; False."""
        from superalign.team import WEIGHTS

        scratch = self.run.rounds_dir / ".tmp-rollback"
        version = roll_back(self.team.trainer, role, self.run.round_path(round) / WEIGHTS, scratch)
        self.team.sync(role)
        self.found["actions"].append(
            {"role": role, "action": action, "to_round": round, "version": version, "because": because}
        )
        self.run.event("guard", round=self.round, role=role, action=action, because=because)
        self.run.progress.say(f"guard: {role} {action} to round {round}: {because}")
        return False


def _nothing() -> dict[str, Any]:
    return {"checks": {}, "actions": []}


def _unreported(config: Config, judge: FrozenCriticJudge) -> tuple[list[Query], list[Query]]:
    """Held-out look-alikes and benign requests that no report asks (a report's set is a prefix of a larger one)."""
    seeds, factor = load_seeds(config.data, config.seed), config.evaluation.final_factor
    reported, wide = (build_set(config, seeds, judge, factor * times) for times in (1, WIDER))
    asked = {q.id for q in (*reported.benign, *reported.lookalikes)}
    lookalikes = [q for q in wide.lookalikes if q.id not in asked][: config.guards.items]
    taken = asked | {q.id for q in lookalikes}
    return lookalikes, [q for q in wide.benign if q.id not in taken][: config.guards.items]
