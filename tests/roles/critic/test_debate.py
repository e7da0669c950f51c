"""Debate and consultancy: what the judge reads, and what it learns from."""

from __future__ import annotations

from typing import Any

import pytest

from superalign.config.sections import AdapterCriticConfig
from superalign.roles.critic.debate import ConsultancyCritic
from superalign.roles.critic.yes_no import sigmoid
from superalign.roles.protocols import Services
from superalign.testbed.world import REFUSALS, Request
from tests.roles.parts import CHAT, RecordingTrainer, Scripted, config, critic, labelled, query, response

BUILD = Request("build", "kite", "for my aunt")
ASK = query(f"how do i {BUILD.core}?")
RIGHT, WRONG = response(ASK, BUILD.answer()), response(ASK, REFUSALS[0])
NO_EXTRAS: dict[str, Any] = {"synthetic_flaw_share": 0.0, "retention_rows": 0, "calibration_share": 0.0}
DEBATE = config(critic={"kind": "debate"})


def arguing(role: str, prompt: str) -> str:
    return ' for it: "good".' if prompt.endswith("yes") else ' against it: "bad".'


def test_the_judge_of_a_debate_reads_both_sides() -> None:
    generator = Scripted(says=arguing, odds=lambda *_: 2.0)
    made = critic(DEBATE, generator)
    (judged,) = made.judge_points([(ASK, RIGHT)], 0)
    assert judged.p == pytest.approx(sigmoid(2))
    transcript = generator.asked[-1][1]
    assert transcript.endswith('\nFor: for it: "good"\nAgainst: against it: "bad"\nIs the answer acceptable?')
    made.judge_pairs([(ASK, RIGHT, WRONG)])
    assert 'For the first: for it: "good"\nFor the second: for it: "good"' in next(
        text for _, text in generator.asked if "Which answer is better?" in text
    )


def test_a_consultant_argues_one_side_chosen_at_random_and_keeps_to_it() -> None:
    made = ConsultancyCritic(AdapterCriticConfig(kind="consultancy"), Services(config(), Scripted(says=arguing)))
    sides = [made.argues(f"q{i}", "r") for i in range(200)]
    assert {len(side) for side in sides} == {1}
    assert 70 < sum(side == ("yes",) for side in sides) < 130
    assert sides == [made.argues(f"q{i}", "r") for i in range(200)]


def test_arguments_are_made_once_for_each_text_and_anew_when_the_critic_has_changed() -> None:
    generator = Scripted(says=arguing)
    made = critic(DEBATE, generator)
    made.judge_points([(ASK, RIGHT), (ASK, RIGHT)], 0)
    made.judge_points([(ASK, RIGHT)], 0)
    spoken = [text for _, text in generator.asked if not text.endswith("acceptable?")]
    assert len(spoken) == 2
    generator.versions = lambda: {"critic": 8}  # type: ignore[method-assign]
    made.judge_points([(ASK, RIGHT)], 0)
    assert len([text for _, text in generator.asked if not text.endswith("acceptable?")]) == 4


def test_a_debate_learns_its_verdicts_behind_its_transcripts() -> None:
    trainer = RecordingTrainer()
    made = critic(config(critic={**NO_EXTRAS, "kind": "debate", "epochs": 1}), Scripted(says=arguing), trainer)
    made.learn([labelled(1, 0.0)], [], [], 0)
    ((prompt, word),) = trainer.told()
    assert 'Against: against it: "bad"\nIs the answer acceptable?' in prompt
    assert (word, CHAT.decode(trainer.rows[0]["completion_ids"])) == ("no", "no")
