"""The attacker phase: it attacks, is judged and learns, while everybody else stands still."""

from __future__ import annotations

from collections.abc import Sequence

from superalign.prompts.refusal import is_refusal
from superalign.records import Judgement, Query, Response, Seed
from superalign.roles.attacker import Attacker
from superalign.roles.critic.generative import Critic
from superalign.roles.learner import Learner

Case = tuple[Query, Response]


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


def attacker_iteration(
    attacker: Attacker,
    learner: Learner,
    critic: Critic,
    seeds: Sequence[Seed],
    round: int,
    seed: int,
    intended_only: bool,
) -> dict[str, float]:
    """One iteration on these seeds, with new attacks alone; the attacker's new weights are not yet served.

    Critiques would cost more than the rest together: an iteration does without the novelty of weaknesses.
    """
    queries = {q.id: q for q in attacker.rewrite(seeds, round, seed)}
    cases = [(queries[r.query_id], r) for r in learner.respond(list(queries.values()), seed)]
    points = critic.judge_points(cases, seed)
    return attacker.learn(failures(cases, points, intended_only), {}, seed)
