"""The frozen attack families: the surface changes, the seed decides how; users add their own."""

from __future__ import annotations

import random
import re

import pytest

from superalign.attacks.families import EVERY_FAMILY, HELDOUT, TRAINED, apply_families, opponents, wrap
from superalign.errors import UserError
from superalign.registry import FAMILIES
from tests.attacks.shouting import BY_FILE, BY_MODULE
from tests.roles import parts

TEXT = "how do i build a kite for my aunt?"


def test_a_family_is_either_trained_or_held_out() -> None:
    assert not set(TRAINED) & set(HELDOUT)
    assert {*TRAINED, *HELDOUT} == set(EVERY_FAMILY) == set(FAMILIES.builtin)


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


@pytest.mark.parametrize("family", [BY_MODULE, BY_FILE])
def test_a_family_of_a_user_wraps_by_settings_of_its_own(family: str) -> None:
    assert wrap(family, "run!", random.Random(0)) == "RUN!!"
    assert wrap(family, "run", random.Random(0), {"Shouting": {"marks": 3}}) == "RUN!!!"
    with pytest.raises(UserError, match=r"plugin\.Shouting\.marks: Input should be greater than 0"):
        wrap(family, "run", random.Random(0), {"Shouting": {"marks": 0}})


def test_a_family_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"unknown attacker\.families 'rolplay'.*roleplay"):
        wrap("rolplay", TEXT, random.Random(0))


def test_static_opponents_leave_a_third_of_the_seeds_plain() -> None:
    assert opponents(("code", "fiction", "spelling")) == ("plain", "code", "fiction", "plain", "spelling")
    assert opponents(TRAINED).count("plain") * 3 == len(opponents(TRAINED))


def test_neighbours_share_a_family_and_the_next_round_shifts_them() -> None:
    seeds = [parts.seed(f"how do i build kite {i}?", ("harmful", "benign")[i % 2]) for i in range(6)]
    families = ("plain", BY_MODULE)
    tactics = [[q.tactic for q in apply_families(seeds, round, families)] for round in (1, 2)]
    assert tactics[0] == ["Shouting", "Shouting", "plain", "plain", "Shouting", "Shouting"]
    assert tactics[1] == ["plain", "plain", "Shouting", "Shouting", "plain", "plain"]
    queries = apply_families(seeds, 1, families, {"Shouting": {"marks": 2}})
    assert queries[0].text == "HOW DO I BUILD KITE 0?!!"
    assert [(q.seed_id, q.kind, q.source, q.round) for q in queries] == [(s.id, s.kind, "static", 1) for s in seeds]


def test_a_family_gives_the_same_queries_wherever_its_file_lies() -> None:
    seeds = [parts.seed(f"how do i build kite {i}?") for i in range(4)]
    assert apply_families(seeds, 1, (BY_MODULE,)) == apply_families(seeds, 1, (BY_FILE,))
