"""The learner: what an answer keeps, and what refining does to the policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.errors import UserError
from superalign.generation.hf import HFGenerator
from superalign.prompts import library
from superalign.records import Critique, Preference
from superalign.roles.learner import Learner
from superalign.training.batch import TrainingBatch
from superalign.training.batch import preference as make_preference
from tests.roles.parts import CHAT, RecordingTrainer, Scripted, config, query, response, serve

ASK = query("how do i build a kite for my aunt?")


@pytest.fixture(scope="module")
def generator() -> HFGenerator:
    return serve()


def critique(answer_id: str) -> Critique:
    return Critique("c", answer_id, 'no. "kite" is wrong.', ("kite",), 0, 0)


def preference(chosen: str, rejected: str, q: float = 0.9, w: float = 0.5) -> Preference:
    good, bad = response(ASK, chosen), response(ASK, rejected)
    return make_preference(ASK, good, bad, q, w, "critic")


def test_every_query_gets_its_samples_in_order(generator: HFGenerator) -> None:
    queries = [ASK, query("how do i sell a guitar for my aunt?")]
    answers = Learner(config(learner={"samples": 3}), generator, None).respond(queries, seed=0)
    assert [r.query_id for r in answers] == [q.id for q in queries for _ in range(3)]
    assert len({r.id for r in answers}) == 6


def test_an_answer_keeps_the_tokens_that_were_sampled_and_their_probabilities(generator: HFGenerator) -> None:
    for answer in Learner(config(), generator, None).respond([ASK], seed=0):
        assert CHAT.decode(answer.token_ids) == answer.text
        assert answer.token_ids[-1] in CHAT.stop_ids
        (exact,) = generator.sequence_logprobs("learner", [answer.prompt_ids], [answer.token_ids])
        assert answer.logprobs == pytest.approx(exact, abs=1e-3)


def test_an_answer_that_was_cut_off_does_not_end(generator: HFGenerator) -> None:
    (answer,) = Learner(config(learner={"max_new_tokens": 3, "samples": 1}), generator, None).respond([ASK], seed=0)
    assert len(answer.token_ids) == len(answer.logprobs) == 3
    assert answer.token_ids[-1] not in CHAT.stop_ids


def test_the_seed_decides_the_samples_and_greedy_answers_need_none(generator: HFGenerator) -> None:
    learner = Learner(config(), generator, None)
    said = [[r.text for r in learner.respond([ASK], seed, temperature=2.0)] for seed in (1, 1, 2)]
    assert said[0] == said[1] != said[2]
    greedy = [learner.respond([ASK], seed, samples=1, temperature=0.0)[0].text for seed in (1, 2)]
    assert greedy[0] == greedy[1]


def test_a_revision_is_kept_as_an_answer_to_the_plain_request() -> None:
    generator = Scripted(says=lambda role, prompt: "a better answer")
    flawed = response(ASK, "a flawed answer")
    (revision,) = Learner(config(), generator, None).revise([(ASK, flawed, critique(flawed.id))], seed=0)
    ((_, asked),) = generator.asked
    assert 'no. "kite" is wrong.' in asked
    assert revision.prompt_ids == tuple(CHAT.prompt_ids(library.respond(ASK.text)))
    assert (revision.origin, revision.query_id, revision.text) == ("revision", ASK.id, "a better answer")
    assert revision.version == 7


def test_refining_makes_the_chosen_answer_likelier_than_the_rejected() -> None:
    trainer, served = RecordingTrainer(), serve()
    learner = Learner(config(learner={"learning_rate": 2e-3, "batch_size": 4}), served, trainer)
    preferences = [preference("Sorry, I cannot help.", f"Sure. First get a lamp number {i}.") for i in range(8)]

    def margin() -> float:
        p = preferences[0]
        chosen, rejected = served.sequence_logprobs("learner", [p.prompt_ids] * 2, [p.chosen_ids, p.rejected_ids])
        return sum(chosen) - sum(rejected)

    before = margin()
    metrics = learner.refine(TrainingBatch(preferences), [], round=1, seed=0)
    served.load_adapter("learner", trainer.adapter("learner"), trainer.version("learner"))
    assert margin() > before + 1
    assert metrics["pairs"] == 8
    assert trainer.version("learner") == 1
    assert trainer.version("critic") == trainer.version("attacker") == 0


def test_the_noise_of_a_label_reaches_the_training() -> None:
    trainer = RecordingTrainer()
    Learner(config(), Scripted(), trainer).refine(
        TrainingBatch([preference("yes", "no", q=0.7, w=0.3)]), [], round=1, seed=0
    )
    assert [(row["q"], row["w"]) for row in trainer.rows] == [(0.7, 0.3)]


def test_anchors_are_supervised_beside_the_preferences_where_there_are_any() -> None:
    trainer, accepted = RecordingTrainer(), response(ASK, "Sure. First get a lamp.")
    anchors = [{"prompt_ids": list(accepted.prompt_ids), "completion_ids": list(accepted.token_ids)}]
    learner = Learner(config(learner={"anchor_batch": 4}), Scripted(), trainer)
    assert "anchor" in learner.refine(TrainingBatch([preference("yes", "no")]), anchors, round=1, seed=0)
    assert trainer.anchors == anchors
    assert "anchor" not in learner.refine(TrainingBatch([preference("yes", "no")]), [], round=1, seed=0)


def test_without_preferences_nothing_is_trained() -> None:
    trainer = RecordingTrainer()
    assert Learner(config(), Scripted(), trainer).refine(TrainingBatch(), [], round=1, seed=0) == {
        "pairs": 0.0,
        "trained_tokens": 0.0,
        "steps": 0.0,
    }
    assert trainer.version("learner") == 0


def test_a_learner_without_a_trainer_cannot_refine_itself() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Learner(config(), Scripted(), None).refine(TrainingBatch([preference("yes", "no")]), [], round=1, seed=0)


def test_later_rounds_take_smaller_steps() -> None:
    trainer = RecordingTrainer()
    learner = Learner(config(learner={"learning_rate": 1e-3}), Scripted(), trainer)
    for round, rate in ((1, 1e-3), (4, 5e-4)):
        learner.refine(TrainingBatch([preference("yes", "no")]), [], round, seed=0)
        assert trainer.phase.learning_rate == pytest.approx(rate)


def test_only_the_preferences_of_largest_weight_are_used() -> None:
    trainer = RecordingTrainer()
    preferences = [preference("yes", f"no {i}", w=w) for i, w in enumerate((0.2, 0.9, 0.4, 0.6))]
    metrics = Learner(config(learner={"max_pairs": 2}), Scripted(), trainer).refine(
        TrainingBatch(preferences), [], round=1, seed=0
    )
    assert [row["w"] for row in trainer.rows] == [0.9, 0.6]
    assert metrics["pairs"] == 2


def test_weak_supervision_is_refused_where_the_algorithm_has_no_confidence_term(tmp_path: Path) -> None:
    plugin = tmp_path / "plain.py"
    plugin.write_text(
        "from superalign.training.algorithms.base import Algorithm\n"
        "class Plain(Algorithm):\n"
        "    def rows(self, batch): return []\n"
        "    @classmethod\n"
        "    def trainer(cls, setup): raise NotImplementedError\n"
    )
    settings = config(supervision="weak_to_strong", learner={"algorithm": f"{plugin}:Plain"})
    with pytest.raises(UserError, match="has no confidence and no confidence_ramp in its phases"):
        Learner(settings, Scripted(), None)
