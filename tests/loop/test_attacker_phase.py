"""The attacker's part of a round: which failures pay, and what it learns in each iteration."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.config.compose import load
from superalign.loop.attacker_phase import attacker_iteration, failures, train_attacker, weaknesses
from superalign.loop.critic_phase import Feedback
from superalign.records import Critique
from superalign.roles.protocols import AttackFeedback
from tests.loop.parts import workers
from tests.roles.parts import RecordingTrainer, Scripted, config, critic, point, query, response, serve


def test_only_the_failure_that_the_attack_intends_pays() -> None:
    harm, fine = query("harm", "harmful"), query("fine")
    refusal, help_ = "I cannot help with that.", "Sure. First get a lamp."
    cases = [(q, response(q, text)) for q in (harm, fine) for text in (refusal, help_)]
    points = [point(r, 0.2) for _, r in cases]
    assert failures(cases, points, intended_only=True) == {harm.id: [0.0, 0.8], fine.id: [0.8, 0.0]}
    assert failures(cases, points, intended_only=False) == {harm.id: [0.8] * 2, fine.id: [0.8] * 2}


def test_the_weakness_of_a_query_is_the_critique_of_its_worst_answer() -> None:
    asked = query("how do i build a kite?")
    good, bad = response(asked, "good"), response(asked, "bad")
    feedback = Feedback([(asked, good), (asked, bad)], [point(good, 0.9), point(bad, 0.1)])
    feedback.critiques = [Critique("c", bad.id, "no. it is bad.", (), 0, 0)]
    assert weaknesses(feedback) == {asked.id: "no. it is bad."}


class Counting:
    """An attacker that counts what it is asked to learn from."""

    def __init__(self) -> None:
        self.learned: list[AttackFeedback] = []

    def rewrite(self, seeds: object, round: int, seed: int) -> list[object]:
        return [query(f"attack {seed}", "harmful")]

    def learn(self, feedback: AttackFeedback, seed: int) -> dict[str, float]:
        self.learned.append(feedback)
        return {"phase": float(len(self.learned))}


def test_after_the_rounds_attacks_every_further_iteration_attacks_anew_with_the_weights_so_far() -> None:
    role, settings = Counting(), config(attacker={"iterations": 3}, learner={"samples": 2})
    served: list[str] = []

    class Serving(Scripted):
        def load_adapter(self, role: str, tensors: object, version: int) -> int:
            served.append(role)
            return version

    everybody = workers(settings, Serving(odds=lambda *_: -2.0), RecordingTrainer(), attacker=role)
    found = train_attacker(everybody, AttackFeedback({"first": [0.5]}), number=1, seed=7)
    assert found == {"phase": 3.0}
    assert served == ["attacker"] * 2
    assert [list(feedback.failures) for feedback in role.learned] == [
        ["first"], *([query(f"attack {seed}", "harmful").id] for seed in (8, 9)),
    ]  # fmt: skip
    assert all(p > 0.8 for feedback in role.learned[1:] for each in feedback.failures.values() for p in each)
    assert [feedback.weaknesses for feedback in role.learned] == [{}] * 3


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_iterations_train_the_shipped_attacker_and_grpo_teaches_it_to_keep_to_its_seeds(algorithm: str) -> None:
    settings = load(
        [f"attacker={algorithm}", "cluster=inline", "cluster.threads=1", "learner.samples=1", "attacker.seeds=8",
         "attacker.candidates=6", "attacker.learning_rate=0.003", "attacker.intended_failures_only=true"]
    )  # fmt: skip
    generator, trainer = serve(), RecordingTrainer()
    everybody = workers(settings, generator, trainer, critic=critic(settings, generator, role="judge"))
    kept = []
    for iteration in range(1, 5):
        found = attacker_iteration(everybody, iteration, iteration)
        assert np.isfinite([value for value in found.values() if isinstance(value, float)]).all()
        everybody.sync("attacker")
        kept.append(found["faithful"])
    assert trainer.version("attacker") == 4
    assert found["base_nats"] > 0
    if algorithm == "grpo":  # ppo moves up and down: that it learns is not shown
        assert kept[-1] > kept[0]
