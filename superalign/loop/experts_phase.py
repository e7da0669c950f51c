"""The experts' part of a round: the items that are worth most are put on their queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from superalign.loop.critic_phase import Feedback
from superalign.loop.round_records import RoundRecords
from superalign.loop.workers import Workers
from superalign.records import Critique, Judgement, Query, Response


def escalate(workers: Workers, feedback: Feedback, now: RoundRecords, number: int, seed: int) -> None:
    """Ask about a round's verdicts; see `ask`."""
    said = feedback.critique_of()
    ask(workers, now.judgements, feedback.queries, feedback.responses, said, number, seed)


def ask(
    workers: Workers,
    judged: Sequence[Judgement],
    queries: Mapping[str, Query],
    responses: Mapping[str, Response],
    critiques: Mapping[str, Critique],
    number: int,
    seed: int,
) -> None:
    """Draw from these verdicts what experts are asked.

    An expert who replays curated labels knows nothing of the round's own answers: then the critic judges the labelled
    answers that nobody was asked about yet, and the draw is from these.
    """
    expert, critic = workers.expert, workers.critic
    cases = expert.unasked(number)
    if cases is None:
        expert.escalate(judged, queries, responses, critiques, number, seed, critic.judge_pairs)
        return
    if not cases:
        expert.say(f"round {number}: all curated labels that were held back have been given; nobody is asked")
    held = critic.judge_points(cases, seed)
    expert.escalate(held, {q.id: q for q, _ in cases}, {r.id: r for _, r in cases}, {}, number, seed)
