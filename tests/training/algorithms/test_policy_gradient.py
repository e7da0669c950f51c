"""What GRPO, RLOO and PPO share: rows of recorded answers, their rewards, anchors."""

from __future__ import annotations

import pytest

from superalign.roles.learner import Learner
from superalign.training.batch import TrainingBatch
from tests.roles.parts import RecordingTrainer, Scripted, config
from tests.training.algorithms.parts import said, scored_batch
from tests.training.phases import policy
from tests.training.tiny import answers, p_even, serving

ALGORITHMS = ("grpo", "rloo", "ppo")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_policy_gradients_take_samples_with_what_was_recorded_and_show_revisions(algorithm: str) -> None:
    trainer = RecordingTrainer()
    Learner(config(learner={"algorithm": algorithm}), Scripted(), trainer).refine(scored_batch(), [], round=1, seed=0)
    # A group that looks alike has no gradient within itself.
    assert [row["reward"] for row in trainer.rows] == [0.2, 0.9, *([0.72, 0.7] if algorithm == "ppo" else [0.71, 0.71])]
    assert all(set(row["logprobs"]) == {-0.5} for row in trainer.rows)
    assert [row["completion_ids"] for row in trainer.anchors] == [list(said("Sorry, no.").token_ids)]
    assert trainer.algorithm == algorithm


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_where_no_group_tells_anything_anchors_are_learned_in_as_many_steps(algorithm: str) -> None:
    trainer, everything = RecordingTrainer(), scored_batch().responses
    learner = Learner(config(learner={"algorithm": algorithm}), Scripted(), trainer)
    learner.refine(TrainingBatch(responses=[everything[2], everything[3], everything[4]]), [], round=1, seed=0)
    assert len({row["reward"] for row in trainer.rows}) == 1 and len(trainer.rows) == 2
    assert [row["completion_ids"] for row in trainer.anchors] == [list(said("Sorry, no.").token_ids)]
    assert trainer.version("learner") == 1
    learner.refine(TrainingBatch(responses=[everything[4]]), [], round=2, seed=0)
    assert trainer.version("learner") == 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_rewarded_answers_become_likely(tiny_model: str, algorithm: str) -> None:
    service, generator = serving(tiny_model)
    before = p_even(generator)
    settings = policy(algorithm, learning_rate=1e-2, epochs=2, batch_size=12)
    for phase in range(12):
        found = service.train("learner", algorithm, answers(generator, phase), settings, [], phase)
        generator.load_adapter("learner", service.adapter("learner"), service.version("learner"))
    assert p_even(generator) > before + 0.25
    assert found["steps"] == 4 and 0 <= found["reward"] <= 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_batch_may_have_any_size(tiny_model: str, algorithm: str) -> None:
    service, generator = serving(tiny_model)
    for size, steps in ((7, 2), (1, 8)):
        settings = policy(algorithm, learning_rate=1e-3, batch_size=size)
        assert service.train("learner", algorithm, answers(generator, 0, samples=2), settings, [], 0)["steps"] == steps


def test_rows_need_a_log_probability_for_each_token(tiny_model: str) -> None:
    service, generator = serving(tiny_model)
    rows = answers(generator, 0)
    rows[3]["logprobs"] = rows[3]["logprobs"][:-1]
    with pytest.raises(ValueError, match=r"learner: answer 3 has \d tokens and \d log-probabilities"):
        service.train("learner", "grpo", rows, policy("grpo"), [], 0)
