"""Which tactic is told next: rare and promising cells of the archive first."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from superalign.attacks.archive import Archive
from superalign.attacks.tactics import choose_tactics
from superalign.records import Query

TACTICS = ("fiction", "code", "authority")


def archive(**tried: list[float]) -> Archive:
    """Attacks in the category of weapons, by tactic their strengths; `other__fiction` is in another category."""
    made = Archive()
    for name, strengths in tried.items():
        category, _, tactic = name.rpartition("__")
        for number, strength in enumerate(strengths):
            identity = f"{name}{number}"
            query = Query(identity, identity, identity, "harmful", category or "weapons", tactic, "attacker", 1)
            made.add([query], [""], [strength])
    return made


def chosen(known: Archive, count: int = 1, c: float = 0.5, category: str = "weapons", **failed: int) -> list[str]:
    cells = {("weapons", tactic, 1): n for tactic, n in failed.items()}
    return choose_tactics([[category]] * count, TACTICS, known, cells, 1, c)


def test_an_empty_archive_goes_through_the_tactics_in_their_order() -> None:
    assert chosen(Archive(), 6) == [*TACTICS, *TACTICS]


def test_without_exploration_the_tactic_that_worked_best_is_told() -> None:
    assert chosen(archive(fiction=[0.2, 0.2], code=[0.9, 0.9], authority=[0.5]), 3, c=0.0) == ["code"] * 3


def test_a_tactic_that_was_seldom_tried_comes_before_one_that_works_a_little_better() -> None:
    assert chosen(archive(fiction=[0.5] * 30, code=[0.4], authority=[0.5] * 30)) == ["code"]


def test_attempts_that_came_to_nothing_count_as_attempts_without_strength() -> None:
    known = archive(fiction=[0.6], code=[0.5], authority=[0.1])
    assert chosen(known, c=0.0) == ["fiction"]
    assert chosen(known, c=0.0, fiction=5) == ["code"]


def test_a_category_without_attempts_begins_with_what_works_elsewhere() -> None:
    known = archive(other__fiction=[0.1] * 4, other__code=[0.8] * 4, other__authority=[0.1] * 4)
    assert chosen(known) == ["code"]


def test_what_was_chosen_before_in_the_same_call_counts_as_tried() -> None:
    found = Counter(chosen(archive(fiction=[0.5] * 4, code=[0.4] * 4, authority=[0.3] * 4), 60))
    assert set(found) == set(TACTICS)
    assert found["fiction"] > found["code"] > found["authority"]


def test_each_category_has_its_own_cells() -> None:
    known = archive(fiction=[0.9] * 9, code=[0.1] * 9, other__fiction=[0.1] * 9, other__code=[0.9] * 9)
    tactics = ("fiction", "code")
    assert choose_tactics([["weapons"], ["other"]], tactics, known, {}, 1, 0.1) == ["fiction", "code"]


def test_attacks_that_share_a_tactic_get_the_one_that_is_best_for_them_together() -> None:
    known = archive(fiction=[0.9] * 9, code=[0.1] * 9, authority=[0.6] * 9, other__fiction=[0.1] * 9,
                    other__code=[0.9] * 9, other__authority=[0.6] * 9)  # fmt: skip
    groups = [["weapons"], ["other"], ["weapons", "other"]]
    assert choose_tactics(groups, TACTICS, known, {}, 1, 0.0) == ["fiction", "code", "authority"]


def test_the_weight_of_exploration_at_which_the_choice_turns_is_that_of_the_formula() -> None:
    known, of_all = archive(fiction=[0.8] * 3, code=[0.2]), 2.6 / 4
    pooled = [(2.4 + of_all) / 4, (0.2 + of_all) / 2]
    value = [(2.4 + pooled[0]) / 4, (0.2 + pooled[1]) / 2]
    bonus = [math.sqrt(math.log(5) / 4), math.sqrt(math.log(5) / 2)]
    turn = (value[0] - value[1]) / (bonus[1] - bonus[0])
    two = ("fiction", "code")
    assert choose_tactics([["weapons"]], two, known, {}, 1, 0.999 * turn) == ["fiction"]
    assert choose_tactics([["weapons"]], two, known, {}, 1, 1.001 * turn) == ["code"]


def test_after_each_round_an_attempt_counts_half_as_much() -> None:
    """Three successes beside two failures: 3/5 where both are of now, .75/2.75 where the first are two rounds old."""
    known, two = archive(fiction=[1.0] * 3, code=[0.5] * 4), ("fiction", "code")
    for number, tactic in ((1, "fiction"), (3, "code")):
        failed = {("weapons", "fiction", number): 2}
        assert choose_tactics([["weapons"]], two, known, failed, number, 0.0) == [tactic]


@pytest.mark.parametrize("c", [0.0, 0.5])
def test_the_same_state_gives_the_same_tactics(c: float) -> None:
    known = archive(fiction=[0.3, 0.6], code=[0.4])
    again = Archive.from_rows(known.to_rows())
    assert chosen(known, 9, c) == chosen(again, 9, c)
