"""What becomes of judged answers, and which algorithm learns from what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superalign.config.sections import LearnerConfig
from superalign.records import ExpertLabel, Judgement, Response, content_id
from superalign.roles.learner import Learner
from superalign.training.batch import ScoredResponse, TrainingBatch, answers, preferences
from tests.roles.parts import Listened, Scripted, config, query, response

ASK, OTHER = query("how do i build a kite for my aunt?"), query("how do i sell a guitar for my aunt?")
ON_POLICY = ("grpo", "rloo", "ppo")


def point(answer: Response, p: float, abstained: bool = False) -> Judgement:
    identity = content_id("point", answer.id)
    return Judgement(identity, "point", answer.query_id, answer.id, "", "c", 0.0, p, 0.0, False, abstained, 0)


def said(text: str, of: object = ASK, origin: str = "sample") -> Response:
    made = response(of, text)
    return replace(made, origin=origin, logprobs=(-0.5,) * len(made.token_ids))  # type: ignore[arg-type]


def lesson() -> TrainingBatch:
    return TrainingBatch(
        answers=[
            ScoredResponse(said("Sure. First get a lamp."), 0.2, 0.36),
            ScoredResponse(said("Sorry, I cannot help with that request."), 0.9, 0.64),
            ScoredResponse(said("First get paper.", OTHER), 0.72, 0.2),
            ScoredResponse(said("Then get glue.", OTHER), 0.7, 0.16),
            ScoredResponse(said("Sorry, no.", ASK, "revision"), 0.95, 0.8),
            ScoredResponse(said("Maybe.", ASK, "revision"), 0.5, 0.0),
        ]
    )


def test_an_expert_overrules_the_critic_and_weak_evidence_weighs_nothing() -> None:
    good, bad, unclear = said("yes"), said("no"), said("well")
    points = [point(good, 0.9), point(bad, 0.8), point(unclear, 0.55, abstained=True)]
    label = ExpertLabel("l", points[1].id, "point", "ann", 0.0, 1.0, "drawn", 1, True)
    first, second, third = answers([(ASK, r) for r in (good, bad, unclear)], points, [label], {"ann": 0.05})
    assert first.p == pytest.approx(0.9) and first.w == pytest.approx(0.64)
    assert second.p < 0.3 and second.w > 0
    assert (third.p, third.w) == (0.5, 0.0)


def test_the_likelier_better_answer_of_a_pair_is_chosen() -> None:
    first, second = said("no"), said("yes")
    judged = Judgement("j", "pair", ASK.id, first.id, second.id, "c", 0.0, 0.2, 0.0, False, False, 0)
    (found,) = preferences([(ASK, first, second)], [judged], [], {})
    assert (found.chosen, found.rejected, found.q) == ("yes", "no", pytest.approx(0.8))
    assert preferences([(ASK, first, second)], [replace(judged, abstained=True)], [], {}) == []


def test_kto_learns_from_every_labelled_answer_the_surest_first() -> None:
    trainer = Listened()
    settings = {"algorithm": "kto", "max_rows": 4}
    found = Learner(config(learner=settings), Scripted(), trainer).refine(lesson(), [], round=1, seed=0)
    assert [row["q"] for row in trainer.rows] == [0.95, 0.9, 0.2, 0.72]
    assert found["answers"] == 4 and trainer.version("learner") == 1


@pytest.mark.parametrize("algorithm", ON_POLICY)
def test_policy_gradients_take_samples_with_what_was_recorded_and_show_revisions(algorithm: str) -> None:
    trainer = Listened()
    Learner(config(learner={"algorithm": algorithm}), Scripted(), trainer).refine(lesson(), [], round=1, seed=0)
    # A group that looks alike has no gradient within itself.
    assert [row["reward"] for row in trainer.rows] == [0.2, 0.9, *([0.72, 0.7] if algorithm == "ppo" else [0.71, 0.71])]
    assert all(set(row["logprobs"]) == {-0.5} for row in trainer.rows)
    assert [row["completion_ids"] for row in trainer.anchors] == [list(said("Sorry, no.").token_ids)]
    assert trainer.settings.algorithm == algorithm


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_where_no_group_tells_anything_anchors_are_learned_in_as_many_steps(algorithm: str) -> None:
    trainer, everything = Listened(), lesson().answers
    learner = Learner(config(learner={"algorithm": algorithm}), Scripted(), trainer)
    learner.refine(TrainingBatch(answers=[everything[2], everything[3], everything[4]]), [], round=1, seed=0)
    assert len({row["reward"] for row in trainer.rows}) == 1 and len(trainer.rows) == 2
    assert [row["completion_ids"] for row in trainer.anchors] == [list(said("Sorry, no.").token_ids)]
    assert trainer.version("learner") == 1
    learner.refine(TrainingBatch(answers=[everything[4]]), [], round=2, seed=0)
    assert trainer.version("learner") == 1


def test_only_pairs_or_only_scores_are_needed() -> None:
    assert [LearnerConfig(algorithm=a).scores for a in ("dpo", "online_dpo")] == [False, False]
    assert all(LearnerConfig(algorithm=a).scores for a in ("kto", *ON_POLICY))
