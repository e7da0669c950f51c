"""What every learner algorithm tells of itself, and one that a user brings in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from superalign.config.schema import Config
from superalign.registry import LEARNERS
from superalign.roles.learner import Learner
from superalign.training.algorithms.base import trained_tokens
from tests.roles.parts import RecordingTrainer, Scripted, config
from tests.training.algorithms.parts import scored_batch
from tests.training.phases import SHORT
from tests.training.tiny import demonstrations, make_service, same

PLUGIN = '''
"""Supervised learning on accepted answers, each scaled by `tau`; keeps how many steps it has taken."""

from pydantic import Field

from superalign.config.sections import LearnerConfig
from superalign.training.algorithms.base import Algorithm
from superalign.training.algorithms.sft import SFT, collate, sft_loss


class Scaled(Algorithm):
    class Settings(LearnerConfig):
        tau: float = Field(1.0, gt=0.0, description="factor on the loss")

    learns_from = "responses"

    def rows(self, batch):
        accepted = [r for r in batch.responses if r.p > 0.5 and r.w > 0]
        return [
            {"prompt_ids": list(r.response.prompt_ids), "completion_ids": list(r.response.token_ids), "weight": r.w}
            for r in accepted
        ]

    @classmethod
    def check(cls, rows, role):
        if any("weight" not in row for row in rows):
            raise ValueError(f"{role}: a row has no weight")

    @classmethod
    def trainer(cls, setup):
        trainer, tau = SFT.trainer(setup), setup.phase.tau

        def loss(trainer, model, inputs):
            found, _ = sft_loss(trainer, model, inputs)
            return tau * found, {"unscaled": found.item()}

        trainer.own_loss = loss
        return trainer

    @classmethod
    def state(cls, trainer, setup):
        steps = (setup.state or {"steps": 0})["steps"] + len(trainer.history)
        setup.measured["steps_so_far"] = float(steps)
        return {"steps": steps}
'''


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    """A learner algorithm as a user names it."""
    (tmp_path / "scaled.py").write_text(PLUGIN)
    return f"{tmp_path / 'scaled.py'}:Scaled"


def test_preferences_are_for_dpo_and_scored_responses_for_the_others() -> None:
    found = {name: LEARNERS.load(name).learns_from for name in LEARNERS.builtin}
    assert found == {"dpo": "pairs", "online_dpo": "pairs"} | dict.fromkeys(("kto", "ppo", "grpo", "rloo"), "responses")


def test_policy_gradients_alone_need_answers_of_the_current_policy() -> None:
    assert [name for name in LEARNERS.builtin if LEARNERS.load(name).on_policy] == ["ppo", "grpo", "rloo"]


@pytest.mark.parametrize("name", LEARNERS.builtin)
def test_a_phase_has_the_learning_rate_of_its_round_and_the_settings_of_its_algorithm(name: str) -> None:
    settings = config(learner={"algorithm": name, "epochs": 3, "anchor_batch": 5}).learner
    phase = LEARNERS.load(name)(settings).phase(0.25)
    assert (phase.learning_rate, phase.epochs, phase.anchor_batch) == (0.25, 3, 5)
    own = type(phase).model_fields.keys() & type(settings).model_fields.keys() - {"learning_rate"}
    assert own >= {"batch_size", "anchor_weight"}
    assert all(getattr(phase, field) == getattr(settings, field) for field in own)


def test_trained_tokens_are_those_of_prompts_and_completions_in_every_epoch() -> None:
    rows: list[dict[str, Any]] = [
        {"prompt_ids": [1, 2], "chosen_ids": [3], "rejected_ids": [4, 5, 6]},
        {"prompt_ids": [1], "completion_ids": [2]},
    ]
    assert trained_tokens(rows, epochs=2) == 2 * (3 + 5 + 2)


def test_a_learner_algorithm_in_a_file_trains_the_learner_by_settings_of_its_own(plugin: str) -> None:
    trainer = RecordingTrainer()
    settings = config(learner={"algorithm": plugin, "tau": 0.25})
    found = Learner(settings, Scripted(), trainer).refine(scored_batch(), [], round=1, seed=0)
    assert [row["weight"] for row in trainer.rows] == [0.64, 0.2, 0.16, 0.8]
    assert trainer.version("learner") == 1
    assert found["answers"] == 4
    assert found["loss"] == pytest.approx(0.25 * found["unscaled"])
    with pytest.raises(ValueError, match="tau"):
        Config.model_validate({"learner": {"algorithm": plugin, "tau": 0.0}})


def test_what_an_algorithm_in_a_file_keeps_of_a_role_is_saved_with_it(
    plugin: str, tiny_model: str, tmp_path: Path
) -> None:
    phase = config(learner={"algorithm": plugin, **SHORT, "batch_size": 4}).learner
    straight, resumed = make_service(tiny_model), make_service(tiny_model)
    first = straight.train("learner", plugin, demonstrations(), phase, seed=1)
    assert first["steps_so_far"] == 3
    straight.save(tmp_path)
    resumed.load(tmp_path)
    for service in (straight, resumed):
        assert service.train("learner", plugin, demonstrations(seed=2), phase, seed=2)["steps_so_far"] == 6
    assert same(straight.adapter("learner"), resumed.adapter("learner"))
    assert resumed.train("attacker", plugin, demonstrations(), phase)["steps_so_far"] == 3


def test_rows_that_an_algorithm_refuses_reach_no_trainer(plugin: str, tiny_model: str) -> None:
    service = make_service(tiny_model)
    rows = [{"prompt_ids": [5], "completion_ids": [6]}]
    with pytest.raises(ValueError, match="learner: a row has no weight"):
        service.train("learner", plugin, rows, config(learner={"algorithm": plugin}).learner)
    assert service.version("learner") == 0
