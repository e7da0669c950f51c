"""The learner's part of a round: what critic and experts say is fused into a batch, and the learner refines itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from superalign.feedback.escalation import shared
from superalign.loop.critic_phase import Feedback, critique_and_revise
from superalign.loop.delayed_labels import delayed_labels
from superalign.loop.workers import Workers
from superalign.records import ExpertLabel, Judgement, Preference, Query
from superalign.roles.critic.verdicts import ResponsePair
from superalign.roles.curated import votes as curated_votes
from superalign.roles.expert import ExpertLabels
from superalign.store.folder import RunFolder
from superalign.training.batch import TrainingBatch, balanced, fuse_preferences

SUMMED = ("generated_tokens", "trained_tokens", "seconds")  # over the phases of a round


def fuse(
    workers: Workers,
    run: RunFolder,
    feedback: Feedback,
    before: Sequence[Judgement],
    labels: ExpertLabels,
    number: int,
    seed: int,
) -> TrainingBatch:
    """Critic and experts fused into noisy preferences and scored responses.

    A curated label of the very same texts is one more vote. Labels that were asked for in earlier rounds and come now
    count with what was said and judged then.

    Args:
        workers: everybody; the critic has learned from this round's labels already.
        run: whose earlier rounds delayed labels are about.
        feedback: the round's responses.
        before: the round's verdicts from before the critic learned.
        labels: of the experts.
        number: of the round.
        seed: of the round.
    """
    critic, algorithm, errors = workers.critic, workers.algorithm, labels.error_rates
    pairs = feedback.pairs
    judged = critic.label_pairs(pairs, seed)
    workers.replay.rescore(critic, seed)
    curated = curated_votes(labels.all, before, feedback.everything)
    votes = critic.votes([*shared(labels.fresh, before, feedback.responses), *curated])
    earlier = delayed_labels(run, labels.all, votes, number)
    judged = without_double_counting(judged, before, votes)
    preferences = _preferences(workers, pairs + earlier.pairs, judged + earlier.judged, votes, errors)
    cases = feedback.everything if algorithm.learns_from == "responses" else []
    points = [] if workers.reward else critic.judge_points(cases, seed)
    points = without_double_counting(points, before, votes)
    if algorithm.learns_from == "responses" and not algorithm.on_policy:
        cases, points = cases + earlier.cases, points + earlier.points
    return TrainingBatch(preferences, workers.score(cases, points, votes, errors))


def _preferences(
    workers: Workers,
    pairs: Sequence[ResponsePair],
    judged: Sequence[Judgement],
    votes: Sequence[ExpertLabel],
    errors: Mapping[str, float],
) -> list[Preference]:
    """Critic and experts fused on pairs, in balance where the settings say so."""
    found = fuse_preferences(pairs, judged, votes, errors)
    return balanced(found, [query for query, *_ in pairs]) if workers.config.learner.balance else found


def without_double_counting(
    judged: Sequence[Judgement], before: Sequence[Judgement], votes: Sequence[ExpertLabel]
) -> list[Judgement]:
    """The judgements, but those of items with votes from before the critic learned these: no vote counts twice."""
    voted, first = {label.item_id for label in votes}, {j.id: j for j in before}
    return [first[j.id] if j.id in voted else j for j in judged]


def train_learner(
    workers: Workers, batch: TrainingBatch, queries: Sequence[Query], number: int, seed: int
) -> dict[str, float]:
    """The learner's phases of a round: one on the round's labels, further ones on fresh answers to the same queries."""
    found: dict[str, float] = {}
    spent = dict.fromkeys(SUMMED, 0.0)
    for step in range(workers.config.learner.iterations):
        if step:
            workers.sync("learner")
            batch, tokens = _fresh_batch(workers, queries, seed + step)
            spent["generated_tokens"] += tokens
        anchors = [*workers.replay.rows(), *workers.retained]
        found = workers.learner.refine(batch, anchors, number, seed + step)
        spent = {name: total + found.get(name, 0.0) for name, total in spent.items()}
    return found | spent


def _fresh_batch(workers: Workers, queries: Sequence[Query], seed: int) -> tuple[TrainingBatch, float]:
    """Fresh answers with the critic's labels alone, and how many tokens they have."""
    feedback = critique_and_revise(workers, queries, workers.learner.respond(queries, seed), seed)
    cases, points = feedback.everything, feedback.every_point
    tokens = float(sum(len(response.token_ids) for _, response in cases))
    pairs = feedback.pairs if workers.algorithm.learns_from == "pairs" else []
    preferences = _preferences(workers, pairs, workers.critic.label_pairs(pairs, seed), [], {})
    return TrainingBatch(preferences, workers.score(cases, points, [], {})), tokens
