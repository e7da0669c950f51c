"""The learner's part of a round: what it learns from, in which no expert counts twice, and the phases it takes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from superalign.loop.critic_phase import Feedback
from superalign.loop.learner_phase import fuse, train_learner, without_double_counting
from superalign.loop.round_records import RoundRecords
from superalign.loop.workers import Workers
from superalign.records import ExpertLabel, Judgement, Message
from superalign.roles.curated import CURATED
from superalign.roles.expert import ExpertLabels
from superalign.store.run_writer import RunWriter
from superalign.training.batch import TrainingBatch
from tests.loop.parts import workers
from tests.roles.parts import RecordingTrainer, Scripted, config, labelled, point, query, response

ASK, OTHER = query("how do i build a kite for my aunt?"), query("how do i sell a guitar?")
OLD = response(OTHER, "of the round before")
ANSWERS = [response(ASK, text) for text in ("good", "bad")]
CASES = [(ASK, answer) for answer in ANSWERS]
ODDS = {"good": 3.0, "bad": -3.0}
EARLIER = point(OLD, 0.75)


def judge(role: str, prompt: str) -> float:
    """The critic as it is now: sure of everything, and of the first of two."""
    if "Which answer is better?" in prompt:
        return 3.0 if "First: good" in prompt else -3.0
    return next((odds for word, odds in ODDS.items() if f"Answer: {word}\n" in prompt), 0.0)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunWriter]:
    """A run whose first round judged an answer on which nobody had said anything yet."""
    with RunWriter.create_or_resume(config().model_dump(), tmp_path, "mine", Console(file=io.StringIO())) as made:
        for number in (0, 1):
            folder = made.begin_round(number)
            RoundRecords(number, queries=[OTHER], responses=[OLD], judgements=[EARLIER]).save(folder)
            made.commit_round(number, {"metrics": {}, "counts": {}, "train": {}})
        yield made


def everybody(algorithm: str = "dpo", **learner: Any) -> Workers:
    return workers(config(learner={"algorithm": algorithm, **learner}), Scripted(odds=judge), RecordingTrainer())


def labels(*said: tuple[Judgement, int, float]) -> ExpertLabels:
    """Labels on judgements of a round; the one annotator errs once in ten."""
    found = []
    for number, (judgement, round, value) in enumerate(said):
        item, label = labelled(number, value)
        item = replace(item, id=judgement.id, round=round, kind=judgement.kind)
        found.append((item, replace(label, item_id=judgement.id, kind=judgement.kind)))
    return ExpertLabels(found, [label for _, label in found], {"ann": 0.1})


def judged_before(p: float = 0.6) -> list[Judgement]:
    """Verdicts of the critic from before it learned."""
    return [point(answer, p) for answer in ANSWERS]


def text(said: tuple[Message, ...]) -> str:
    (only,) = said
    return only["content"]


def test_an_item_with_a_vote_counts_by_the_verdict_from_before_the_critic_learned_it() -> None:
    before = judged_before()
    now = [replace(j, p=0.95) for j in before]
    vote = ExpertLabel("l", before[0].id, "point", "ann", 1.0, 1.0, "active", 1, False)
    assert without_double_counting(now, before, [vote]) == [before[0], now[1]]
    assert without_double_counting(now, before, []) == now


def test_preferences_of_a_round_are_its_pairs_and_experts_overrule_the_critic(run: RunWriter) -> None:
    made, feedback = everybody(), Feedback(CASES, judged_before())
    feedback.points = made.critic.judge_points(CASES, 0)
    before = feedback.points + made.critic.judge_pairs(feedback.pairs)
    alone = fuse(made, run, feedback, before, ExpertLabels([], [], {}), number=2, seed=0)
    ((chosen, rejected, source),) = [(text(p.chosen), text(p.rejected), p.source) for p in alone.preferences]
    assert (chosen, rejected, source) == ("good", "bad", "critic")
    assert alone.responses == []
    pair = before[-1]
    good_is_first = pair.first_id == ANSWERS[0].id
    against = labels((pair, 2, 0.0 if good_is_first else 1.0))
    against.fresh.extend(replace(label, id=f"{label.id}+{n}") for n in range(5) for label in against.fresh[:1])
    (told,) = fuse(made, run, feedback, before, against, number=2, seed=0).preferences
    assert (text(told.chosen), told.source) == ("bad", "expert")


def test_a_curated_label_of_the_same_texts_is_one_more_vote(run: RunWriter) -> None:
    made, feedback = everybody("kto"), Feedback(CASES, judged_before())
    known, label = labelled(0, 0.0, text="good", annotator=CURATED)
    known = replace(known, query=ASK.text, lane=CURATED, round=0)
    given = ExpertLabels([(known, label)], [], {CURATED: 0.1})
    batch = fuse(made, run, feedback, feedback.points, given, number=2, seed=0)
    found = {scored.response.text: scored.p for scored in batch.responses}
    assert found["good"] == pytest.approx(0.6 * 0.1 / (0.6 * 0.1 + 0.4 * 0.9))  # p = .6 from before, eps = .1
    assert found["bad"] < 0.1, "as the critic says"


@pytest.mark.parametrize(("algorithm", "sees_it"), [("kto", True), ("grpo", False)])
def test_a_delayed_label_teaches_on_the_answer_of_its_round_whoever_learns_from_other_policies(
    run: RunWriter, algorithm: str, sees_it: bool
) -> None:
    made, feedback = everybody(algorithm), Feedback(CASES, judged_before())
    batch = fuse(made, run, feedback, feedback.points, labels((EARLIER, 1, 0.0)), number=2, seed=0)
    found = {scored.response.text: scored for scored in batch.responses}
    assert found.keys() == {"good", "bad"} | ({OLD.text} if sees_it else set())
    assert found["good"].p > 0.9 > 0.1 > found["bad"].p
    if sees_it:
        assert found[OLD.text].p == pytest.approx(0.75 * 0.1 / (0.75 * 0.1 + 0.25 * 0.9))
        assert found[OLD.text].w > 0


def test_a_reward_model_scores_in_the_place_of_critic_and_experts(run: RunWriter) -> None:
    class Lengths:
        def acceptable(self, texts: list[tuple[str, str]]) -> list[float]:
            return [len(said) / 10 for _, said in texts]

    made = workers(config(learner={"algorithm": "grpo"}), Scripted(odds=judge), RecordingTrainer(), reward=Lengths())
    feedback = Feedback(CASES, judged_before())
    batch = fuse(made, run, feedback, feedback.points, labels((feedback.points[0], 2, 0.0)), number=2, seed=0)
    assert [(scored.p, scored.w) for scored in batch.responses] == [(0.4, 1.0), (0.3, 1.0)]


def test_every_phase_after_the_first_learns_from_fresh_answers_and_what_phases_cost_is_added_up() -> None:
    texts = iter(["good", "bad"] * 20)

    def says(role: str, prompt: str) -> str:
        return next(texts) if role == "learner" else '. "bad" it is.'

    trainer, served = RecordingTrainer(), list[tuple[str, int]]()

    class Serving(Scripted):
        def load_adapter(self, role: str, tensors: object, version: int) -> int:
            served.append((role, version))
            return version

    settings = config(learner={"algorithm": "kto", "iterations": 3, "samples": 2, "revise": False, "epochs": 1})
    made = workers(settings, Serving(says=says, odds=judge), trainer)
    found = train_learner(made, own_batch(made), [ASK, OTHER], number=1, seed=5)
    assert trainer.version("learner") == 3
    assert served == [("learner", 1), ("learner", 2)]
    assert found["generated_tokens"] == sum(len(response(ASK, text).token_ids) for text in ("good", "bad") * 4)
    assert found["answers"] == 4
    sizes = [len(row["prompt_ids"]) + len(row["completion_ids"]) for row in trainer.rows]
    own = [len(answer.prompt_ids) + len(answer.token_ids) for answer in ANSWERS]
    assert found["trained_tokens"] == sum(own) + 2 * sum(sizes)
    assert found["seconds"] > 0


def own_batch(made: Workers) -> TrainingBatch:
    """The round's own answers as the critic scores them."""
    points = made.critic.judge_points(CASES, 0)
    return TrainingBatch(responses=made.score(CASES, points, [], {}))


def test_with_one_phase_nothing_is_asked_anew() -> None:
    generator = Scripted(odds=judge)
    made = workers(config(learner={"algorithm": "kto", "epochs": 1}), generator, RecordingTrainer())
    batch = own_batch(made)
    generator.asked.clear()
    found = train_learner(made, batch, [ASK], number=1, seed=5)
    assert generator.asked == []
    assert found["generated_tokens"] == 0
