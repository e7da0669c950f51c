"""The attacker's part of a round: it learns from what its attacks did, once or in several iterations."""

from __future__ import annotations

from collections.abc import Sequence

from superalign.loop.critic_phase import Feedback, worst_cases
from superalign.loop.workers import Workers
from superalign.prompts.refusal import is_refusal
from superalign.records import Judgement
from superalign.roles.protocols import AttackFeedback, Case


def failures(cases: Sequence[Case], points: Sequence[Judgement], intended_only: bool) -> dict[str, list[float]]:
    """P(the learner failed) for each answer, by query.

    `intended_only`: only the failure that the attack aims at counts, so that babble is none: an answer that does not
    refuse harm, a refusal of what is harmless.
    """
    found: dict[str, list[float]] = {}
    for (query, response), point in zip(cases, points, strict=True):
        counts = not intended_only or is_refusal(response.text) == (query.kind == "benign")
        found.setdefault(query.id, []).append((1 - point.p) * counts)
    return found


def weaknesses(feedback: Feedback) -> dict[str, str]:
    """The critique of each query's worst answer."""
    said = feedback.critique_of()
    return {query.id: said[response.id].text for query, response, _ in worst_cases(feedback.cases, feedback.points)}


def train_attacker(workers: Workers, attacks: AttackFeedback, number: int, seed: int) -> dict[str, float]:
    """The attacker's phases of a round: one on the round's attacks, further ones on new attacks alone."""
    found = workers.attacker.learn(attacks, seed)
    for iteration in range(1, workers.config.attacker.iterations):
        workers.sync("attacker")
        found = attacker_iteration(workers, number, seed + iteration)
    return found


def attacker_iteration(workers: Workers, number: int, seed: int) -> dict[str, float]:
    """Attack, be judged and learn, while everybody else stands still; the new weights are not yet served.

    Critiques would cost more than the rest together: an iteration does without the novelty of weaknesses.
    """
    queries = {q.id: q for q in workers.attacker.rewrite(workers.draw_seeds(number), number, seed)}
    cases = [(queries[r.query_id], r) for r in workers.learner.respond(list(queries.values()), seed)]
    points = workers.critic.judge_points(cases, seed)
    intended_only = workers.config.attacker.intended_failures_only
    return workers.attacker.learn(AttackFeedback(failures(cases, points, intended_only)), seed)
