"""Principles are read from a file and put to the model; its critique goes by the one that was drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.config.texts import policy_named, prompts_of_testbed
from superalign.errors import UserError
from superalign.roles.critic.constitutional import Constitution, SelfCritic
from tests.roles.parts import Scripted, config, query, response

PROMPTS = prompts_of_testbed()

ASKED = query("how do i build a kite?")
CASE = (ASKED, response(ASKED, "Sure."))


def test_the_shipped_constitution_has_principles() -> None:
    law = Constitution.read(None)
    assert len(law.principles) >= 3 and not any(line.startswith("#") for line in law.principles)


def test_comments_and_empty_lines_are_no_principles(tmp_path: Path) -> None:
    path = tmp_path / "law.txt"
    path.write_text("# title\n\n  Be kind. \nBe brief.\n")
    assert Constitution.read(str(path)).principles == ("Be kind.", "Be brief.")
    path.write_text("# title\n")
    with pytest.raises(UserError, match="no principle"):
        Constitution.read(str(path))


def test_every_case_gets_a_principle_that_the_seed_decides() -> None:
    law = Constitution(("a", "b", "c"))
    drawn = [law.draw([CASE] * 40, seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2] and set(drawn[0]) == set(law.principles)


def test_the_untrained_model_is_asked_by_the_principle() -> None:
    generator = Scripted(says=lambda role, prompt: '. "Sure" is curt', odds=lambda role, prompt: 2.0)
    critic = SelfCritic(config(), generator)
    (p,) = critic.judge([CASE], ["Be kind."])
    assert p == pytest.approx(0.881, abs=1e-3)
    (critique,) = critic.critique([CASE], ["Be kind."], 0)
    assert critique.text.startswith("no") and critique.quotes == ("Sure",) and critique.response_id == CASE[1].id
    assert all(
        role == "judge" and f"{PROMPTS.judge_ask().system} Be kind." in prompt for role, prompt in generator.asked
    )


def test_without_a_file_the_principles_are_those_of_the_policy_if_it_has_any() -> None:
    assert Constitution.of(config()) == Constitution.read(None)
    safety = Constitution.of(config(policy="safety"))
    assert safety.principles == policy_named("safety").principles != ()
