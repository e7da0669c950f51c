"""Kinds of critics: words, a linear head, debate and its control, all behind the same calls."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from superalign.config.compose import load
from superalign.errors import UserError
from superalign.generation.hf import HFGenerator
from superalign.roles.critic.classifier import ClassifierCritic
from superalign.roles.critic.debate import ConsultancyCritic, DebateCritic
from superalign.roles.critic.generative import Critic
from superalign.roles.critic.registry import KINDS, critic_class
from superalign.testbed.world import REFUSALS, Request
from tests.roles.parts import CHAT, Listened, Scripted, config, labelled, query, response, serve

BUILD = Request("build", "kite", "for my aunt")
ASK = query(f"how do i {BUILD.core}?")
RIGHT, WRONG = response(ASK, BUILD.answer()), response(ASK, REFUSALS[0])
QUIET: dict[str, Any] = {"synthetic_flaw_share": 0.0, "retention_rows": 0, "calibration_share": 0.0}


@pytest.fixture(scope="module")
def shipped() -> HFGenerator:
    return serve()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_judges_points_and_pairs_and_explains(kind: str, shipped: HFGenerator) -> None:
    made = critic_class(load([f"critic={kind}"]))(config(critic={"kind": kind}), shipped, None)
    assert type(made) is KINDS[kind]
    points = made.judge_points([(ASK, RIGHT), (ASK, WRONG)], seed=0)
    one, other = made.judge_pairs([(ASK, RIGHT, WRONG), (ASK, WRONG, RIGHT)])
    assert [j.kind for j in (*points, one)] == ["point", "point", "pair"]
    assert one.p == pytest.approx(1 - other.p, abs=1e-6)
    critiques = made.critique([(ASK, RIGHT), (ASK, WRONG)], points, seed=0)
    assert [c.text.split(".")[0] for c in critiques] == [("yes", "no")[p.p < 0.5] for p in points]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_learns_from_points_and_pairs_alike(kind: str) -> None:
    generator, trainer = serve(), Listened()
    critic = KINDS[kind](config(critic={**QUIET, "kind": kind, "learning_rate": 1e-3, "epochs": 4}), generator, trainer)
    asked = [f"how do i {Request(v, 'kite', 'for my aunt').core}?" for v in ("build", "sell", "carry", "copy")]
    labels = []
    for i in range(12):
        item, label = labelled(i, 1.0, REFUSALS[0]) if i % 2 else labelled(i, 1.0, REFUSALS[0], second="Sure. Never.")
        labels.append((_asks(item, asked[i % 4]), label))
    refused = response(ASK, REFUSALS[0])
    pair = (ASK, refused, response(ASK, "Sure. Never."))
    before = critic.judge_points([(ASK, refused)], 0)[0].p, critic.judge_pairs([pair])[0].p
    critic.learn(labels, [], [], 0)
    generator.load_adapter("critic", trainer.adapter("critic"), trainer.version("critic"))
    after = critic.judge_points([(ASK, refused)], 0)[0].p, critic.judge_pairs([pair])[0].p
    assert before[0] < after[0] > 0.5
    assert after[1] > 0.5
    assert trainer.version("critic") == (0 if kind == "classifier" else 1)


def _asks(item: Any, text: str) -> Any:
    from dataclasses import replace

    return replace(item, query=text)


def test_a_classifier_that_has_learned_nothing_gives_the_initial_verdicts(shipped: HFGenerator) -> None:
    cases = [(ASK, RIGHT), (ASK, WRONG)]
    plain = Critic(config(), shipped, None).judge_points(cases, 0)
    mute = ClassifierCritic(config(critic={"kind": "classifier"}), shipped, None).judge_points(cases, 0)
    assert [j.logit for j in mute] == pytest.approx([j.logit for j in plain], abs=1e-4)


def test_a_restored_classifier_judges_as_before(shipped: HFGenerator) -> None:
    settings = config(critic={**QUIET, "kind": "classifier", "variance": "ensemble", "members": 3})
    made = ClassifierCritic(settings, shipped, Listened())
    labels = [labelled(i, float(i % 3 == 0)) for i in range(12)]
    made.learn(labels, [], [], 0)
    again = ClassifierCritic(settings, shipped, None)
    again.restore(json.loads(json.dumps(made.state())), labels)
    cases = [(ASK, RIGHT), (ASK, WRONG)]
    assert again.judge_points(cases, 0) == made.judge_points(cases, 0)
    assert all(j.variance > 0 for j in again.judge_points(cases, 0))


def arguing(role: str, prompt: str) -> str:
    return ' for it: "good".' if prompt.endswith("yes") else ' against it: "bad".'


def test_the_judge_of_a_debate_reads_both_sides() -> None:
    generator = Scripted(says=arguing, odds=lambda *_: 2.0)
    made = DebateCritic(config(critic={"kind": "debate"}), generator, None)
    (judged,) = made.judge_points([(ASK, RIGHT)], 0)
    assert judged.p == pytest.approx(1 / (1 + math.exp(-2)))
    transcript = generator.asked[-1][1]
    assert transcript.endswith('\nFor: for it: "good"\nAgainst: against it: "bad"\nIs the answer acceptable?')
    made.judge_pairs([(ASK, RIGHT, WRONG)])
    assert 'For the first: for it: "good"\nFor the second: for it: "good"' in next(
        text for _, text in generator.asked if "Which answer is better?" in text
    )


def test_a_consultant_argues_one_side_chosen_at_random_and_keeps_to_it() -> None:
    made = ConsultancyCritic(config(critic={"kind": "consultancy"}), Scripted(says=arguing), None)
    sides = [made.argues(f"q{i}", "r") for i in range(200)]
    assert {len(side) for side in sides} == {1}
    assert 70 < sum(side == ("yes",) for side in sides) < 130
    assert sides == [made.argues(f"q{i}", "r") for i in range(200)]


def test_arguments_are_made_once_for_each_text_and_anew_when_the_critic_has_changed() -> None:
    generator = Scripted(says=arguing)
    made = DebateCritic(config(critic={"kind": "debate"}), generator, None)
    made.judge_points([(ASK, RIGHT), (ASK, RIGHT)], 0)
    made.judge_points([(ASK, RIGHT)], 0)
    spoken = [text for _, text in generator.asked if not text.endswith("acceptable?")]
    assert len(spoken) == 2
    generator.versions = lambda: {"critic": 8}  # type: ignore[method-assign]
    made.judge_points([(ASK, RIGHT)], 0)
    assert len([text for _, text in generator.asked if not text.endswith("acceptable?")]) == 4


def test_a_debate_learns_its_verdicts_behind_its_transcripts() -> None:
    trainer = Listened()
    made = DebateCritic(config(critic={**QUIET, "kind": "debate", "epochs": 1}), Scripted(says=arguing), trainer)
    made.learn([labelled(1, 0.0)], [], [], 0)
    ((prompt, word),) = trainer.told()
    assert 'Against: against it: "bad"\nIs the answer acceptable?' in prompt
    assert (word, CHAT.decode(trainer.rows[0]["completion_ids"])) == ("no", "no")


def test_what_a_critic_without_words_cannot_do_is_refused() -> None:
    for override in ("critic.stages=2", "critic.variance=dropout", "guards.enabled=true"):
        with pytest.raises(UserError, match="critic=classifier"):
            load(["critic=classifier", override])
