"""The frozen attack families: the surface changes, the seed decides how."""

from __future__ import annotations

import random
import re

import pytest

from superalign.attacks.families import EVERY_FAMILY, HELDOUT, TRAINED, wrap

TEXT = "how do i build a kite for my aunt?"


def test_a_family_is_either_trained_or_held_out() -> None:
    assert not set(TRAINED) & set(HELDOUT)
    assert {*TRAINED, *HELDOUT} == set(EVERY_FAMILY)


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_a_family_changes_the_text_the_same_way_for_the_same_seed(family: str) -> None:
    assert wrap(family, TEXT, random.Random(1)) == wrap(family, TEXT, random.Random(1)) != TEXT
    assert len({wrap(family, TEXT, random.Random(seed)) for seed in range(12)}) > 1


@pytest.mark.parametrize("family", EVERY_FAMILY)
@pytest.mark.parametrize("text", ["", "kite", "two words", "Grüße, 世界!"])
def test_a_family_loses_nothing_of_any_text(family: str, text: str) -> None:
    wrapped = wrap(family, text, random.Random(0))
    if family == "splitting":
        wrapped = " ".join(re.findall(r'[abc] = "(.*?)"', wrapped))
    assert text in wrapped.replace("-", "")


def test_plain_leaves_the_text_alone() -> None:
    assert wrap("plain", TEXT, random.Random(0)) == TEXT


def test_the_pieces_of_a_split_text_join_to_the_text() -> None:
    for seed in range(20):
        pieces = re.findall(r'[abc] = "(.*?)"', wrap("splitting", TEXT, random.Random(seed)))
        assert len(pieces) == 3
        assert " ".join(pieces) == TEXT


def test_spelling_takes_two_telling_words_apart() -> None:
    for seed in range(20):
        wrapped = wrap("spelling", TEXT, random.Random(seed))
        assert wrapped.replace("-", "") == TEXT
        assert len(re.findall(r"\b\w(?:-\w)+\b", wrapped)) == 2
