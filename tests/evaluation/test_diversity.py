"""How diverse attacks are: novelty, unique successes, cells covered."""

from __future__ import annotations

import pytest

from superalign.attacks.families import TRAINED
from superalign.evaluation.diversity import attack_figures, cell_coverage, dissimilarity, spread
from superalign.records import Query

WORDS = ("a lemon pie for my aunt", "seven drums in the rain", "what a quilt costs today", "green lamps along a river")


def attack(i: int, text: str = "", tactic: str = "fiction", round: int = 2, source: str = "attacker") -> Query:
    return Query(f"q{i}", f"s{i}", text or WORDS[i % 4], "harmful", "spying", tactic, source, round, i / 10)


def test_only_new_attacks_of_the_round_are_counted() -> None:
    old, static = attack(8, round=1), attack(9, source="static")
    found = attack_figures([attack(1), attack(3), old, static], {}, 2, TRAINED, 0, 50)
    assert found["attack_novelty"].value == pytest.approx(0.2)
    assert {e.n for name, e in found.items() if name != "attack_cell_coverage"} == {2}
    assert attack_figures([attack(1), old, static], {}, 2, TRAINED, 0, 50) == {}


def test_two_successes_that_are_alike_are_one_unique_success() -> None:
    own = [attack(0), attack(1), attack(2, WORDS[0] + "!"), attack(3)]
    failures = {"q0": [0.9], "q1": [0.4, 0.8], "q2": [1.0], "q3": [0.2]}
    rate = attack_figures(own, failures, 2, TRAINED, 0, 50)["attack_unique_success_rate"]
    assert rate.value == 0.5
    assert rate.low <= 0.5 <= rate.high


def test_a_cell_is_covered_by_one_success_in_it() -> None:
    own = [attack(0, tactic="code"), attack(1, tactic="code"), attack(2, tactic="roleplay"), attack(3)]
    assert cell_coverage(own, [True, True, True, False], TRAINED).value == pytest.approx(2 / len(TRAINED))
    assert cell_coverage(own, [False] * 4, TRAINED).value == 0
    assert cell_coverage(own, [True] * 4, ("code", "mine.py:Other")).value == pytest.approx(3 / 4)
    invented = [*own, attack(4, tactic="free")]
    assert cell_coverage(invented, [False] * 4 + [True], TRAINED).value == pytest.approx(1 / (len(TRAINED) + 1))


def test_copies_are_neither_dissimilar_nor_spread() -> None:
    same, other = [attack(i, WORDS[0]) for i in range(4)], [attack(i) for i in range(4)]
    assert dissimilarity(same).value == pytest.approx(0, abs=1e-9)
    assert spread(same).value == pytest.approx(0, abs=1e-9)
    assert dissimilarity(other).value > 0.7
    assert spread(other).value > 0.7
