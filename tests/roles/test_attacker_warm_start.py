"""The attacker learns from demonstrations before round 1."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from superalign.errors import UserError
from superalign.roles.protocols import WarmStarts
from superalign.testbed.world import seeds as world_seeds
from superalign.training.algorithms.sft import REFERENCE
from tests.roles.parts import CHAT, RecordingTrainer, Scripted, attacker, config, serve

SEEDS = [s for s in world_seeds(0, 60) if s.split == "train"]
FORM = "[fiction] write a tale in which otto asks: {}"


def written(tmp_path: Path, *rows: dict[str, Any]) -> str:
    path = tmp_path / "demonstrations.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def demonstrations(tmp_path: Path) -> str:
    return written(tmp_path, *({"plain": s.text, "adversarial": FORM.format(s.text)} for s in SEEDS))


def made(source: str | None, generator: Any = None, **given: Any) -> tuple[Any, RecordingTrainer]:
    trainer = RecordingTrainer()
    settings = config(attacker={"demonstrations": source, **given})
    return attacker(settings, generator or Scripted(), trainer), trainer


def test_it_learns_to_attack_as_it_was_shown(tmp_path: Path) -> None:
    generator = serve()
    chosen = {
        "learning_rate": 3e-3,
        "demonstration_epochs": 3,
        "candidates": 1,
        "temperature": 0.1,
        "max_new_tokens": 64,
    }
    role, trainer = made(demonstrations(tmp_path), generator, **chosen)
    before = role.rewrite(SEEDS[:8], 1, 0)
    found = role.warm_start(0)
    generator.load_adapter("attacker", trainer.adapter("attacker"), trainer.version("attacker"))
    after = role.rewrite(SEEDS[:8], 1, 0)
    assert found["loss"] < found["first_loss"]
    assert sum("otto asks" in q.text for q in before) == 0
    assert sum("otto asks" in q.text for q in after) >= 6


def test_a_demonstration_is_what_the_attacker_is_asked_and_the_attack(tmp_path: Path) -> None:
    role, trainer = made(demonstrations(tmp_path), demonstration_rows=5)
    assert role.warm_start(0)["demonstrations"] == 5
    texts = {s.text for s in SEEDS}
    assert trainer.algorithm == REFERENCE
    for row, (prompt, completion) in zip(trainer.rows, trainer.told(), strict=True):
        plain = prompt.removeprefix(role.prompts.attack.system)
        assert plain in texts and completion.startswith(FORM.format(plain))
        assert row["completion_ids"][-1] in CHAT.stop_ids


def test_a_tactic_that_the_prompts_have_is_told_and_another_is_not(tmp_path: Path) -> None:
    prompts = tmp_path / "mine.yaml"
    prompts.write_text('based_on: testbed\nattack: {system: "By {tactic}"}\ntactics: {code: {description: "d"}}\n')
    rows = [{"plain": "how?", "adversarial": f"{t} how?", "tactic": t} for t in ("code", "voodoo")]
    trainer = RecordingTrainer()
    given = {"demonstrations": written(tmp_path, *rows)}
    attacker(config(prompts=str(prompts), attacker=given), Scripted(), trainer).warm_start(0)
    told = {completion.split()[0]: prompt for prompt, completion in trainer.told()}
    assert (told["code"], told["voodoo"]) == ("By codehow?", "By how?")


def test_demonstrations_longer_than_a_rewriting_are_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"plain": "how?", "adversarial": text} for text in ("go on, how?", "how? " * 99)]
    role, _ = made(written(tmp_path, *rows))
    with caplog.at_level(logging.WARNING):
        assert role.warm_start(0)["demonstrations"] == 1
    assert "1 of 2 are longer than attacker.max_new_tokens=96" in caplog.text
    role, _ = made(written(tmp_path, rows[1]))
    with pytest.raises(UserError, match="1 of 1 are longer"):
        role.warm_start(0)


def test_what_the_file_lacks_is_told_at_set_up(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"attacker\.demonstrations=.*: needs columns plain and adversarial; it has a"):
        made(written(tmp_path, {"a": "b"}))


def test_without_demonstrations_nothing_is_trained() -> None:
    role, trainer = made(None)
    assert isinstance(role, WarmStarts)
    assert role.warm_start(0) == {}
    assert trainer.version("attacker") == 0


def test_the_same_seed_learns_the_same(tmp_path: Path) -> None:
    source = demonstrations(tmp_path)
    weights = []
    for _ in range(2):
        role, trainer = made(source, demonstration_rows=8)
        role.warm_start(3)
        weights.append(trainer.adapter("attacker"))
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
