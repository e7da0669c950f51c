"""The attacker that its prompts tell a tactic and show it, and that never learns."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superalign.config.compose import load
from superalign.errors import UserError
from superalign.prompts import multi_turn
from superalign.roles.attacker import FewShotAttacker, TrainedAttacker, make_attacker
from superalign.roles.protocols import AttackFeedback, CountsUnread
from tests.roles.parts import CHAT, RecordingTrainer, Scripted, config, seed

SEEDS = [seed(f"how do i build a number {word} kite?", category="toys") for word in ("one", "two", "three", "four")]
PROMPTS = """
based_on: testbed
attack: {{system: "By {{tactic}}: {{description}}", pattern: '(?P<text>.*)', unreadable: '^no'}}
refine: {{system: 'Again by {{tactic}}. "{{query}}" got: {{answer}}', opening: ""}}
tactics:
{tactics}
"""
TACTIC = "  {0}: {{description: like {0}, demonstrations: [{{user: plain {0}, assistant: made {0}}}]}}"

Says = Callable[[str, str], str]


def settings(tmp_path: Path, *tactics: str, kind: str = "few_shot", **attacker: Any) -> Any:
    path = tmp_path / "mine.yaml"
    path.write_text(PROMPTS.format(tactics="\n".join(map(TACTIC.format, tactics or ("fiction", "code")))))
    chosen = {"current": 1.0, "past": 0.0, "candidates": 2, **attacker}
    return load([f"attacker.kind={kind}" if kind == "trained" else f"attacker={kind}", f"prompts={path}",
                 *(f"attacker.{key}={json.dumps(value)}" for key, value in chosen.items())])  # fmt: skip


def told(prompt: str) -> str:
    return next(name for name in ("fiction", "code", "drama") if f"y {name}" in prompt)


def asked(prompt: str) -> str:
    return next(s.text for s in SEEDS if s.text in prompt)


def faithful(role: str, prompt: str) -> str:
    return "no more." if role == "learner" else f"{told(prompt)} tale {len(prompt)}: {asked(prompt)}"


def made(given: Any, says: Says = faithful) -> tuple[FewShotAttacker, Scripted]:
    generator: Any = Scripted(says=says)
    role = make_attacker(given, generator, RecordingTrainer() if given.attacker.kind == "trained" else None)
    assert isinstance(role, FewShotAttacker)
    return role, generator


def test_a_tactic_is_told_with_its_description_and_shown_and_is_the_tactic_of_the_query(tmp_path: Path) -> None:
    role, generator = made(settings(tmp_path, "fiction"))
    found = role.rewrite(SEEDS[:1], 1, 0)
    assert {q.tactic for q in found} == {"fiction"}
    assert "By fiction: like fiction" in generator.asked[0][1]
    assert "plain fiction" in generator.asked[0][1] and "made fiction" in generator.asked[0][1]


def test_each_two_rewritings_of_a_seed_and_its_neighbour_are_told_the_same_tactic(tmp_path: Path) -> None:
    role, generator = made(settings(tmp_path, "fiction", "code", "drama", candidates=4))
    role.rewrite(SEEDS, 1, 0)
    tactics = [told(prompt) for _, prompt in generator.asked]
    assert tactics[::2] == tactics[1::2]
    assert tactics[:4] == tactics[4:8] and tactics[8:12] == tactics[12:]
    assert set(tactics) == {"fiction", "code", "drama"}
    assert max(Counter(tactics).values()) <= 8


def test_the_next_tactics_are_those_that_worked(tmp_path: Path) -> None:
    role, generator = made(settings(tmp_path, exploration=0.0))
    queries = role.rewrite(SEEDS, 1, 0)
    role.learn(AttackFeedback({q.id: [0.9 if q.tactic == "code" else 0.1] for q in queries}), 0)
    generator.asked.clear()
    role.rewrite(SEEDS, 2, 0)
    assert {told(prompt) for _, prompt in generator.asked} == {"code"}


def test_a_tactic_that_the_model_cannot_write_is_tried_less_and_that_is_kept_with_the_round(tmp_path: Path) -> None:
    def says(role: str, prompt: str) -> str:
        return "no, i will not" if told(prompt) == "fiction" else faithful(role, prompt)

    given = settings(tmp_path, exploration=0.0)
    role, _ = made(given, says)
    queries = role.rewrite(SEEDS, 1, 0)
    role.learn(AttackFeedback({q.id: [0.1] for q in queries}), 0)
    again, generator = made(given, says)
    again.restore(json.loads(json.dumps(role.state())))
    assert again.state() == role.state()
    again.rewrite(SEEDS, 2, 0)
    assert {told(prompt) for _, prompt in generator.asked} == {"code"}


def test_what_cannot_be_read_is_counted_and_not_asked(tmp_path: Path) -> None:
    role, _ = made(settings(tmp_path, "fiction"), lambda role, prompt: "no, i will not")
    assert isinstance(role, CountsUnread)
    assert role.rewrite(SEEDS, 1, 0) == []
    assert role.unread() == {"attack": (8, 8)}
    assert role.unread() == {}


def test_a_rewriting_that_cannot_be_read_is_the_rejected_side_of_a_pair(tmp_path: Path) -> None:
    turns = iter(range(99))

    def says(role: str, prompt: str) -> str:
        return faithful(role, prompt) if next(turns) % 2 else "no, i will not"

    role, _ = made(settings(tmp_path, "fiction", kind="trained"), says)
    assert isinstance(role, TrainedAttacker) and isinstance(role.trainer, RecordingTrainer)
    queries = role.rewrite(SEEDS, 1, 0)
    found = role.learn(AttackFeedback({q.id: [0.9] for q in queries}), 0)
    assert (found["faithful"], found["pairs"]) == (0.5, 4.0)
    assert {CHAT.decode(row["rejected_ids"]) for row in role.trainer.rows} == {"no, i will not"}


def test_only_rewritings_by_one_tactic_are_compared(tmp_path: Path) -> None:
    role, _ = made(settings(tmp_path, kind="trained", candidates=4))
    assert isinstance(role, TrainedAttacker) and isinstance(role.trainer, RecordingTrainer)
    queries = role.rewrite(SEEDS, 1, 0)
    role.learn(AttackFeedback({q.id: [0.9 if q.tactic == "code" else 0.1] for q in queries}), 0)
    for row in role.trainer.rows:
        assert CHAT.decode(row["chosen_ids"])[:4] == CHAT.decode(row["rejected_ids"])[:4]


def test_a_turn_that_cannot_be_read_ends_the_dialogue_with_what_was_asked_before(tmp_path: Path) -> None:
    def says(role: str, prompt: str) -> str:
        return "no, i will not" if "Again by" in prompt else faithful(role, prompt)

    role, generator = made(settings(tmp_path, "fiction", turns=3, candidates=1), says)
    (query,) = role.rewrite(SEEDS[:1], 1, 0)
    assert multi_turn.split(query.text) == [faithful("attacker", generator.asked[0][1])]
    assert role.unread() == {"attack": (1, 2)}


def test_the_tactic_is_told_in_every_turn(tmp_path: Path) -> None:
    role, generator = made(settings(tmp_path, "fiction", turns=2, candidates=1))
    (query,) = role.rewrite(SEEDS[:1], 1, 0)
    assert len(multi_turn.split(query.text)) == 3
    assert "Again by fiction" in generator.asked[-1][1]


def test_what_is_put_into_its_mouth_can_name_the_tactic(tmp_path: Path) -> None:
    given = settings(tmp_path, "fiction", candidates=1)
    path = Path(given.prompts)
    path.write_text(path.read_text().replace("unreadable: '^no'", 'opening: "[{tactic}] "'))
    role, generator = made(given, lambda role, prompt: asked(prompt))
    (query,) = role.rewrite(SEEDS[:1], 1, 0)
    assert generator.asked[0][1].endswith("[fiction] ")
    assert query.text == f"[fiction] {SEEDS[0].text}"


def test_it_needs_no_trainer_and_only_remembers(tmp_path: Path) -> None:
    role, _ = made(settings(tmp_path))
    queries = role.attack(SEEDS, 1, 0)
    assert role.learn(AttackFeedback({q.id: [0.5] for q in queries}), 0) == {"faithful": 1.0}
    assert {row["id"] for row in role.state()["archive"]} == {q.id for q in queries if q.source == "attacker"}


def test_settings_of_training_are_refused_where_nothing_is_trained() -> None:
    with pytest.raises(UserError, match=r"attacker\.learning_rate is no setting of attacker=few_shot: trained has it"):
        load(["attacker=few_shot", "attacker.learning_rate=1"])


def test_without_tactics_every_rewriting_is_asked_for_alike() -> None:
    generator: Any = Scripted()
    role = make_attacker(config(attacker={"candidates": 2}), generator, None)
    role.rewrite(SEEDS[:1], 1, 0)
    assert len({prompt for _, prompt in generator.asked}) == 1
