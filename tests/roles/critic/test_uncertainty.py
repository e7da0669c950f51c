"""Variance of verdicts: paraphrased questions or dropped ranks, around the critic's own probability."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from superalign.config.texts import prompts_of_testbed
from superalign.roles.critic.uncertainty import dropped, paraphrase, squared_deviation
from superalign.roles.critic.verdicts import VerdictModel
from superalign.roles.critic.yes_no import sigmoid
from tests.roles.critic.rules import DIVIDED
from tests.roles.parts import CHAT, RecordingTrainer, Scripted, config, critic, query, response, serve
from tests.training.phases import SFT, sft

PROMPTS = prompts_of_testbed()

ASK = query("how do i build a kite for my aunt?")
CASES = [(ASK, response(ASK, text)) for text in ("good", "bad")]


def made(generator: Any, trainer: Any = None, **settings: Any) -> VerdictModel:
    return critic(config(critic=settings), generator, trainer)


def test_a_paraphrase_keeps_request_and_answers_and_changes_the_question() -> None:
    for asked in (PROMPTS.judge_messages("ask", "said"), PROMPTS.compare_messages("ask", "one", "two")):
        told = {(m[0]["content"], m[1]["content"]) for m in (paraphrase(i)(asked) for i in range(4))}
        assert len(told) == 4
        assert all(text.rsplit("\n", 1)[0] == asked[1]["content"].rsplit("\n", 1)[0] for _, text in told)
        assert (asked[0]["content"], asked[1]["content"]) not in told


def test_members_that_agree_have_no_variance_and_one_that_objects_has() -> None:
    def odds(role: str, prompt: str) -> float:
        return -2.0 if "bad" in prompt and "Is it acceptable?" in prompt else 2.0

    good, bad = made(Scripted(odds=odds), variance="ensemble", members=3).judge_points(CASES, 0)
    assert good.variance == pytest.approx(0.0)
    assert bad.variance == pytest.approx((1 / (1 + math.exp(-2)) - 1 / (1 + math.exp(2))) ** 2 / 3)
    assert good.p == bad.p


def test_variance_around_a_sure_verdict_can_exceed_what_the_verdict_itself_admits() -> None:
    (v,) = squared_deviation([0.99], [[0.1], [0.2]])
    assert v > 0.5 > 0.99 * 0.01


def test_views_ask_nobody_else() -> None:
    generator = Scripted()
    judged = made(generator).judge_points(CASES, 0)
    assert len(generator.asked) == 2
    assert [j.variance for j in judged] == [0.0, 0.0]


def test_a_pair_has_the_larger_of_both_disagreements() -> None:
    def odds(role: str, prompt: str) -> float:
        return 3.0 if "Which is better?" in prompt and "First: good" in prompt else 0.0

    pair = [(ASK, CASES[0][1], CASES[1][1])]
    (alone,), (many,) = (made(Scripted(odds=odds), variance=v).judge_pairs(pair) for v in ("views", "ensemble"))
    assert alone.variance == 0.0 < many.variance
    assert alone.p == many.p


def test_dropped_ranks_are_unbiased_and_the_seed_decides_which() -> None:
    tensors = {"x.lora_A.weight": np.ones((8, 4), np.float32), "x.lora_B.weight": np.ones((4, 8), np.float32)}
    drawn = [dropped(tensors, 0.25, seed)["x.lora_B.weight"] for seed in range(400)]
    assert np.mean(drawn) == pytest.approx(1.0, abs=0.05)
    assert {round(float(x), 3) for x in np.unique(drawn)} == {0.0, 1.333}
    assert all((b == b[0]).all() for b in drawn)
    np.testing.assert_array_equal(dropped(tensors, 0.25, 3)["x.lora_B.weight"], drawn[3])
    assert dropped(tensors, 0.25, 0)["x.lora_A.weight"] is tensors["x.lora_A.weight"]


def test_dropout_doubts_what_was_learned_and_leaves_the_critic_as_it_was() -> None:
    generator, trainer = serve(), RecordingTrainer()
    verdicts = made(generator, trainer, variance="dropout", members=3, dropout=0.5)
    assert all(j.variance < 1e-9 for j in verdicts.judge_points(CASES, 0))
    asked = [CHAT.prompt_ids(PROMPTS.judge_messages(q.text, r.text), verdicts.config.max_new_tokens) for q, r in CASES]
    rows = [{"prompt_ids": ids, "completion_ids": CHAT.encode("yes")[:1], "weight": 1.0} for ids in asked] * 4
    trainer.train("critic", SFT, rows, sft(learning_rate=2e-3, batch_size=4), seed=0)
    generator.load_adapter("critic", trainer.adapter("critic"), trainer.version("critic"))
    first, again = verdicts.judge_points(CASES, 0), verdicts.judge_points(CASES, 0)
    assert all(j.variance > 0 for j in first)
    assert first == again
    assert [j.logit for j in made(generator).judge_points(CASES, 0)] == [j.logit for j in first]


def test_members_that_a_critic_brings_are_its_variance() -> None:
    answers = [(ASK, response(ASK, "a" + " word" * extra)) for extra in (2, 40)]
    unsure, sure = made(Scripted(), kind=DIVIDED).judge_points(answers, 0)
    assert unsure.p == sigmoid(0)
    assert unsure.variance == pytest.approx((sigmoid(1) - 0.5) ** 2)
    assert sure.variance < 1e-9
