"""Dialogues in one text: what was said by whom is read back."""

from __future__ import annotations

import pytest

from superalign.prompts import multi_turn


@pytest.mark.parametrize("turns", [["one"], ["ask", "answer", "ask again"]])
def test_a_dialogue_is_read_as_it_was_written(turns: list[str]) -> None:
    assert multi_turn.split(multi_turn.carry(turns)) == turns
    assert multi_turn.asked(multi_turn.carry(turns)) == "\n".join(turns[::2])
