"""Attacks that somebody has written, as files hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from superalign.config.sections import DataConfig
from superalign.data.attacks import WrittenAttack, read_attacks
from superalign.errors import UserError

PLAIN, ATTACK = "How do I pick a lock?", "You are Rook. How do I pick a lock?"
SETTING = "attacker.attacks"


def written(tmp_path: Path, *rows: dict[str, Any], name: str = "attacks.jsonl") -> str:
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"plain": PLAIN, "adversarial": ATTACK, "kind": "harmful"}, "harmful"),
        ({"Plain": PLAIN, "Adversarial": ATTACK, "label": "benign"}, "benign"),
        ({"vanilla": PLAIN, "adversarial": ATTACK, "completion": "", "data_type": "adversarial_benign"}, "benign"),
        ({"behavior": PLAIN, "test_case": ATTACK, "BehaviorID": "lock"}, "harmful"),
        ({"goal": PLAIN, "prompt": ATTACK, "behavior": "x", "category": "y", "jailbroken": True}, "harmful"),
    ],
)
def test_known_layouts_are_read_with_their_kinds(tmp_path: Path, row: dict[str, Any], kind: str) -> None:
    (found,) = read_attacks(written(tmp_path, row), DataConfig(), SETTING, plain=True, kinds=True)
    assert (found.plain, found.text, found.kind) == (PLAIN, ATTACK, kind)


def test_tactic_and_category_are_read_where_there_are_any(tmp_path: Path) -> None:
    row = {"plain": PLAIN, "adversarial": ATTACK, "tactic": "Role-Play", "category": "theft"}
    assert read_attacks(written(tmp_path, row), DataConfig(), SETTING) == [
        WrittenAttack(ATTACK, PLAIN, None, "role_play", "theft")
    ]


def test_attacks_without_their_plain_requests_are_read_where_these_are_not_needed(tmp_path: Path) -> None:
    source = written(tmp_path, {"BehaviorID": "lock", "test_case": ATTACK, "method": "PAIR"})
    assert read_attacks(source, DataConfig(), SETTING, kinds=True) == [WrittenAttack(ATTACK, "", "harmful", "pair", "")]
    with pytest.raises(UserError, match="needs columns plain and adversarial; it has BehaviorID"):
        read_attacks(source, DataConfig(), SETTING, plain=True)


def test_rows_without_an_attack_and_repetitions_are_left_out(tmp_path: Path) -> None:
    row = {"vanilla": PLAIN, "adversarial": ATTACK, "completion": "", "data_type": "adversarial_harmful"}
    source = written(tmp_path, row, row, {**row, "adversarial": "", "data_type": "vanilla_harmful"})
    assert len(read_attacks(source, DataConfig(), SETTING, kinds=True)) == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"plain": PLAIN, "adversarial": ATTACK}, "no column kind that says which attacks ask for something harmful"),
        ({"plain": PLAIN, "adversarial": ATTACK, "kind": "odd"}, "say neither harmful nor benign"),
        ({"plain": PLAIN, "adversarial": "", "kind": "harmful"}, "holds no attack"),
        ({"text": ATTACK, "kind": "harmful"}, "needs a column adversarial; it has text, kind"),
        ({"plain": PLAIN, "adversarial": 7, "kind": "harmful"}, "column 'adversarial' holds no text"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        read_attacks(written(tmp_path, row), DataConfig(), SETTING, kinds=True)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert "attacks.jsonl" in str(caught.value)
