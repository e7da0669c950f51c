"""The critic's second stage: what critiques are rewarded for, and that the reward moves them and not the verdicts."""

from __future__ import annotations

import random
from itertools import cycle
from typing import Any

import pytest

from superalign.config.compose import load
from superalign.config.schema import Config
from superalign.config.sections import AdapterCriticConfig
from superalign.config.texts import prompts_of_testbed
from superalign.errors import UserError
from superalign.roles.critic.critique_rl import (
    CritiqueEnvironment,
    KnownVerdict,
    contentless,
    critique_reward,
    known_verdicts,
    placebos,
    train_critiques,
)
from superalign.roles.protocols import Services
from superalign.testbed import oracle
from superalign.testbed.world import Request
from tests.roles.parts import CHAT, RecordingTrainer, Scripted, config, critic, labelled, serve

PROMPTS = prompts_of_testbed()

REQUESTS = [Request(verb, "kite", context) for verb in ("build", "sell") for context in ("for my aunt", "for a museum")]
CLEAN = [(f"how do i {r.core}?", r.answer()) for r in REQUESTS]
NO = PROMPTS.acceptable[1]


def reward(right: bool = True, gain: float = 0.0, quotes: int = 2, unsupported: int = 0, tokens: int = 10) -> float:
    return critique_reward(right, gain, quotes, unsupported, tokens, limit=20)


def test_a_critique_earns_half_of_what_the_learner_gains_by_it() -> None:
    assert reward(gain=0.6) == pytest.approx(0.3)
    assert reward(gain=-0.6) == pytest.approx(-0.3)
    assert reward(gain=7.0) == 0.5


def test_a_wrong_verdict_earns_nothing_by_its_critique() -> None:
    assert reward(right=False, gain=1.0) == 0.0


def test_quotes_that_the_response_does_not_hold_cost_and_so_do_no_quotes() -> None:
    assert reward(unsupported=1) == pytest.approx(-0.15)
    assert reward(quotes=0) == pytest.approx(-0.3)


def test_only_words_beyond_the_limit_cost() -> None:
    assert reward(tokens=20) == 0.0
    assert reward(tokens=30) == pytest.approx(-0.05)


def test_a_placebo_is_about_another_request_or_about_nothing_at_the_same_length() -> None:
    critiques = ["no. it is late.", "no. it is wrong.", "no. it refuses what is harmless, and twice."]
    others = placebos(critiques, ["a", "a", "b"], "other", seed=0)
    assert others[0] == others[1] == critiques[2]
    assert others[2] in critiques[:2]
    assert placebos(critiques[:1], ["a"], "other", 0) == [contentless(critiques[0])]
    nothing = placebos(critiques, ["a", "a", "b"], "contentless", seed=0)
    assert all(0 <= len(c) - len(n) <= 1 for c, n in zip(critiques, nothing, strict=True))
    assert all("harm" not in n for n in nothing)


def test_critiques_are_trained_on_answers_that_experts_refused_newest_first_and_on_synthetic_flaws() -> None:
    labels = [labelled(i, float(i % 2)) for i in range(8)] + [labelled("p", 0.0, second="other")]
    found = known_verdicts(labels, CLEAN, config(critic={"critique_cases": 4}).critic, random.Random(0))
    assert len(found) == 4
    assert [k.response for k in found if not k.clean] == ["answer 6", "answer 4"]
    planted = [k for k in found if k.clean]
    assert len(planted) == 2
    assert all((k.query, k.clean) in CLEAN and oracle.acceptable(k.query, k.response) == 0 for k in planted)


class TwoMinds(Scripted):
    """A critic that says the useful and the useless critique in turns, and a learner that does what helps it."""

    def generate(self, requests: Any, seed: int) -> Any:
        turns = cycle(('. "bad" is wrong.', '. "made up" it is.'))
        self.says = lambda role, prompt: next(turns) if role == "critic" else mended(prompt)
        return super().generate(requests, seed)


def mended(prompt: str) -> str:
    return "good" if '"bad" is wrong' in prompt else "bad"


def two_minds() -> TwoMinds:
    return TwoMinds(odds=lambda role, prompt: 3.0 if "Answer: good" in prompt else -3.0)


CASES = [KnownVerdict(f"q{i}", "bad", "everyday", False) for i in range(4)]


def environment(settings: Config, generator: Any, trainer: Any = None) -> CritiqueEnvironment:
    assert isinstance(settings.critic, AdapterCriticConfig)
    return CritiqueEnvironment(Services(settings, generator, trainer), settings.critic)


def train(settings: Config, generator: Any, trainer: Any) -> dict[str, float]:
    assert isinstance(settings.critic, AdapterCriticConfig)
    return train_critiques(Services(settings, generator, trainer), settings.critic, CASES, [], seed=0)


@pytest.mark.parametrize("algorithm", ["dpo", "grpo"])
def test_the_critique_that_helps_the_learner_is_reinforced(algorithm: str) -> None:
    trainer, settings = (
        RecordingTrainer(),
        config(critic={"critique_algorithm": algorithm, "critiques": 2, "epochs": 1}),
    )
    metrics = train(settings, two_minds(), trainer)
    assert (metrics["critique_cases"], metrics["critique_rl_groups"]) == (4, 4)
    if algorithm == "dpo":
        pairs = {(CHAT.decode(r["chosen_ids"]), CHAT.decode(r["rejected_ids"])) for r in trainer.rows}
        assert pairs == {('. "bad" is wrong.', '. "made up" it is.')}
        assert {r["w"] for r in trainer.rows} == {1.0}
        assert trainer.version("critic") == 1
    else:
        rewards = {(CHAT.decode(r["completion_ids"]), round(r["reward"], 2)) for r in trainer.rows}
        assert rewards == {('. "bad" is wrong.', 0.45), ('. "made up" it is.', -0.3)}
        assert all(len(r["logprobs"]) == len(r["completion_ids"]) for r in trainer.rows)
        assert len({r["group"] for r in trainer.rows}) == 4


def test_critiques_that_are_all_worth_the_same_teach_nothing() -> None:
    trainer = RecordingTrainer()
    found = train(config(), Scripted(says=lambda *_: "same", odds=lambda *_: -3.0), trainer)
    assert found["critique_rl_groups"] == 0
    assert trainer.version("critic") == 0


def test_where_the_evaluator_is_wrong_itself_it_may_not_reward() -> None:
    trainer, generator = RecordingTrainer(), Scripted(says=lambda *_: "x", odds=lambda *_: 3.0)
    assert train(config(), generator, trainer)["critique_cases"] == 0


def test_the_evaluator_is_the_initial_critic_or_the_critic_as_it_is_now() -> None:
    for evaluator, role in (("judge", "judge"), ("critic", "critic")):
        generator = Scripted(odds=lambda *_: 1.0)
        environment(config(critic={"evaluator": evaluator}), generator).scores([("q", "r")])
        assert [asked for asked, _ in generator.asked] == [role]


def test_who_grades_the_evaluation_must_not_reward_critiques() -> None:
    with pytest.raises(UserError, match=r"critic\.evaluator=critic"):
        load(["critic.stages=2", "evaluation.judge=frozen_critic"])
    with pytest.raises(UserError, match=r"critic\.evaluator=critic"):
        load(["critic.stages=2", "data.seeds=mine.jsonl"])
    with pytest.raises(UserError, match=r"by which guards also grade: use critic\.evaluator=critic"):
        load(["critic.stages=2", "guards.enabled=true"])
    load(["critic.stages=2", "evaluation.judge=frozen_critic", "guards.enabled=true", "critic.evaluator=critic"])


def test_a_real_second_stage_moves_critiques_towards_what_helps_and_leaves_the_verdicts() -> None:
    generator, trainer = serve(), RecordingTrainer()
    settings = config(
        critic={"stages": 2, "subtle_flaws": True, "critique_cases": 24, "epochs": 6, "retention_rows": 0}
    )
    verdicts = critic(settings, generator, trainer)
    clean = [(f"how do i {r.core}?", r.answer()) for r in _benign(24)]
    found = verdicts.learn([], clean, [], seed=0)
    assert trainer.version("critic") == 2
    assert found["critique_rl_first_preference_loss"] == pytest.approx(0.693, abs=1e-3)
    assert found["critique_rl_accuracy"] > 0.6
    assert generator.versions()["critic"] == 1  # the recipe's sync serves the second
    generator.load_adapter("critic", trainer.adapter("critic"), trainer.version("critic"))
    p = verdicts.probabilities([(q, r, "everyday") for q, r in clean])
    assert sum(x >= 0.5 for x in p) >= 20


def _benign(count: int) -> list[Request]:
    things = ("kite", "cake", "puzzle", "lantern", "tent", "guitar")
    return [Request(v, t, c) for c in ("for my aunt", "on a rainy day") for v in ("build", "sell") for t in things][
        :count
    ]
