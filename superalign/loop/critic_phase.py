"""The critic's part of a round: it judges and criticises, the learner revises, and it learns from experts' labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from superalign.config.texts import policy_of
from superalign.loop.workers import Workers
from superalign.records import Critique, Judgement, Query, Response, by_dimension, content_id, content_share
from superalign.roles.critic.verdicts import ResponsePair
from superalign.roles.expert import ExpertLabels
from superalign.roles.protocols import Case

LEAST_GAP = 0.1  # of P(acceptable) between two answers worth comparing


@dataclass
class Feedback:
    """What the critic says of responses, and what the learner made of that.

    Attributes:
        cases: the sampled responses with their queries; `points` are the verdicts on them.
        critiques: of the worst response to each query.
        revised: the learner's revisions of those that fail, and its contrasts to accepted ones; `revised_points` are
            the verdicts on them.
    """

    cases: list[Case]
    points: list[Judgement]
    critiques: list[Critique] = field(default_factory=list)
    revised: list[Case] = field(default_factory=list)
    revised_points: list[Judgement] = field(default_factory=list)

    @property
    def everything(self) -> list[Case]:
        """Samples and revisions."""
        return self.cases + self.revised

    @property
    def every_point(self) -> list[Judgement]:
        """The verdicts on `everything`."""
        return self.points + self.revised_points

    @property
    def queries(self) -> dict[str, Query]:
        """Queries by id."""
        return {query.id: query for query, _ in self.cases}

    @property
    def responses(self) -> dict[str, Response]:
        """Samples and revisions by id."""
        return {response.id: response for _, response in self.everything}

    @property
    def pairs(self) -> list[ResponsePair]:
        """The pairs worth comparing."""
        return select_pairs(self.everything, self.every_point)

    def critique_of(self) -> dict[str, Critique]:
        """Critiques by the id of the response that they are of."""
        return {critique.response_id: critique for critique in self.critiques}


def critique_and_revise(
    workers: Workers, queries: Sequence[Query], responses: Sequence[Response], seed: int
) -> Feedback:
    """Verdicts on all responses, a critique of each query's worst one, and revisions of those that fail.

    Where even the worst is accepted, a share `learner.contrast` of the queries gets an answer that would be right if
    the request were not what it is, so that close contrasts of harmful and harmless requests teach.
    """
    asked, policy = {query.id: query for query in queries}, policy_of(workers.config)
    critic, cases = workers.critic, [(asked[r.query_id], r) for r in responses]
    feedback = Feedback(cases, critic.judge_points(cases, seed))
    worst = worst_cases(cases, feedback.points)
    feedback.critiques = critic.critique([(q, r) for q, r, _ in worst], [p for *_, p in worst], seed)
    own, answers = workers.config.learner, list[Response]()
    if own.revise:
        failing = [(q, r, c, p) for (q, r, p), c in zip(worst, feedback.critiques, strict=True) if p.p < 0.5]
        faults = [policy.fault(by_dimension(p.dimensions)) for *_, p in failing]
        answers += workers.learner.revise([(q, r, c) for q, r, c, _ in failing], seed, faults)
    if own.contrast:
        right = [(q, r, p) for q, r, p in worst if p.p >= 0.5 and content_share("contrast", q.id) < own.contrast]
        faults = [policy.contrast(by_dimension(p.dimensions)) for *_, p in right]
        answers += workers.learner.contrast([(q, r) for q, r, _ in right], faults, seed)
    feedback.revised = [(asked[r.query_id], r) for r in answers]
    feedback.revised_points = critic.judge_points(feedback.revised, seed + 1)
    return feedback


def worst_cases(cases: Sequence[Case], points: Sequence[Judgement]) -> list[tuple[Query, Response, Judgement]]:
    """Per query the response that the critic likes least."""
    worst: dict[str, tuple[Query, Response, Judgement]] = {}
    for (query, response), point in zip(cases, points, strict=True):
        if query.id not in worst or point.p < worst[query.id][2].p:
            worst[query.id] = (query, response, point)
    return list(worst.values())


def select_pairs(cases: Sequence[Case], points: Sequence[Judgement], per_query: int = 2) -> list[ResponsePair]:
    """The pairs worth judging: per query its best answers against its worst, in an order that tells nothing.

    Equal texts are one candidate; a query whose candidates all look alike to the critic gives no pair.
    """
    by_query: dict[str, dict[str, tuple[float, Query, Response]]] = {}
    for (query, response), point in zip(cases, points, strict=True):
        by_query.setdefault(query.id, {}).setdefault(response.text, (point.p, query, response))
    pairs: list[ResponsePair] = []
    for candidates in by_query.values():
        ranked = sorted(candidates.values(), key=lambda c: (c[0], c[2].id))
        for low in range(min(per_query, len(ranked) // 2)):
            (p_low, query, worst), (p_high, _, best) = ranked[low], ranked[-1 - low]
            if p_high - p_low < LEAST_GAP:
                break
            swap = int(content_id("order", best.id, worst.id), 16) % 2 == 1
            pairs.append((query, worst, best) if swap else (query, best, worst))
    return pairs


def train_critic(
    workers: Workers,
    cases: Sequence[Case],
    points: Sequence[Judgement],
    texts: Sequence[Case],
    labels: ExpertLabels,
    seed: int,
) -> dict[str, float]:
    """The critic learns from all labels so far, is served, and calibrated on those held back from it.

    Args:
        workers: everybody.
        cases: this round's responses; those that the critic accepts join the replay buffer, with `points`.
        points: the verdicts on them.
        texts: responses on which what the critic knew before can be rehearsed.
        labels: of the experts.
        seed: of the phase.
    """
    critic, replay = workers.critic, workers.replay
    replay.extend(cases, points)
    replay.drop_rejected(labels.all)
    familiar = [(query.text, response.text) for query, response in texts]
    requests = dict.fromkeys((query.text, query.kind == "harmful") for query, _ in texts)
    found = critic.learn(labels.all, replay.texts(), familiar, seed, list(requests))
    workers.sync("critic")
    return found | critic.calibrate(labels.error_rates)
