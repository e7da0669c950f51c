"""What the attacker remembers: novelty by category, elites of the cells, the league of past selves."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from superalign.attacks.archive import Archive
from superalign.records import Query

GARDEN = [f"please tell me how to grow {x} in a small garden" for x in ("beans", "roses", "kale", "mint", "peas")]
OTHER = "translate the national anthem into ancient greek verse"


def query(i: int, category: str = "c", tactic: str = "plain") -> Query:
    return Query(f"q{i}", f"s{i}", f"{GARDEN[i % 5]} number {i}", "benign", category, tactic, "attacker", 1)


def test_a_cell_is_rarer_the_fewer_attacks_it_holds() -> None:
    archive = Archive()
    archive.add([query(i, tactic="fiction") for i in range(3)], [""] * 3, [0.5] * 3)
    assert archive.rarity(["c", "c"], ["fiction", "plain"]) == pytest.approx([0.5, 1.0])


def test_novelty_is_measured_within_the_category() -> None:
    archive = Archive()
    archive.add([query(0, "garden")], ["gives unsafe advice"], [1.0])
    same, other = archive.novelty([query(0).text] * 2, ["garden", "kitchen"])
    assert same == pytest.approx(0, abs=1e-6)
    assert other == 1.0
    assert archive.behaviour_novelty(["gives unsafe advice", ""], ["garden"] * 2) == pytest.approx([0, 0], abs=1e-6)


def test_adding_the_same_queries_again_changes_nothing() -> None:
    archive = Archive()
    for _ in range(2):
        archive.add([query(i) for i in range(4)], [""] * 4, [0.1] * 4)
    assert len(archive) == 4
    assert archive.cells["c", "plain"] == 4


def test_an_archive_survives_json_and_goes_on_the_same() -> None:
    archive = Archive()
    archive.add(
        [query(i, f"c{i % 2}") for i in range(6)], [f"weakness {i}" for i in range(6)], np.linspace(0, 1, 6).tolist()
    )
    restored = Archive.from_rows(json.loads(json.dumps(archive.to_rows())))
    assert restored.to_rows() == archive.to_rows()
    assert restored.sample(3, 1) == archive.sample(3, 1)
    assert restored.novelty([OTHER], ["c1"]).tolist() == archive.novelty([OTHER], ["c1"]).tolist()


def test_the_archive_sees_what_was_added_after_it_was_first_asked() -> None:
    archive = Archive()
    assert archive.duplicates([query(1).text], 0.99).tolist() == [False]
    archive.add([query(1)], [""], [0.0])
    assert archive.duplicates([query(1).text], 0.99).tolist() == [True]


def test_past_opponents_are_distinct_and_strong_ones_come_more_often() -> None:
    archive = Archive()
    archive.add([query(i) for i in range(20)], [""] * 20, [0.0] * 10 + [1.0] * 10)
    drawn = [q.id for seed in range(50) for q in archive.sample(5, seed)]
    assert sum(int(i[1:]) >= 10 for i in drawn) > 0.75 * len(drawn)
    assert len({q.id for q in archive.sample(20, 0)}) == 20
    assert Archive().sample(3, 0) == []


def filled(strengths: list[float], tactics: tuple[str, ...] = ("plain",)) -> Archive:
    archive = Archive()
    queries = [query(i, tactic=tactics[i % len(tactics)]) for i in range(len(strengths))]
    archive.add(queries, [""] * len(strengths), strengths)
    return archive


def test_a_cell_keeps_its_strongest_as_elites_and_the_archive_keeps_all() -> None:
    archive = filled([0.1, 0.9, 0.5, 0.2, 0.9, 0.3], ("code", "fiction"))
    assert archive.elites(2) == {("c", "code"): [4, 2], ("c", "fiction"): [1, 5]}
    assert len(archive) == 6
    assert sum(archive.cells.values()) == 6


def test_the_league_prefers_those_that_the_learner_still_fails_and_forgets_none() -> None:
    archive = filled([0.0, 0.3, 0.9])
    drawn = Counter(q.id for seed in range(600) for q in archive.league(1, 9, seed))
    chances = np.array([0.0, 0.09, 0.81]) + 0.01
    for i, chance in enumerate(chances / chances.sum()):
        assert drawn[f"q{i}"] / 600 == pytest.approx(chance, abs=0.06)
    assert drawn["q0"] > 0


def test_an_attack_that_the_learner_has_learned_to_withstand_leaves_the_league() -> None:
    archive = filled([0.9, 0.8])
    for _ in range(6):
        archive.seen_again({"q0": 0.0, "unknown": 1.0})
    assert archive.strengths == [pytest.approx(0.9 / 64), 0.8]
    assert archive.elites(1) == {("c", "plain"): [1]}
    drawn = Counter(q.id for seed in range(200) for q in archive.league(1, 9, seed))
    assert drawn["q1"] > 180


def test_the_league_draws_none_twice_and_the_same_for_the_same_seed() -> None:
    archive = filled([i / 30 for i in range(30)], ("code", "fiction", "plain"))
    drawn = archive.league(9, 4, 1)
    assert len({q.id for q in drawn}) == 9
    assert drawn == archive.league(9, 4, 1) != archive.league(9, 4, 2)
    assert len(archive.league(50, 4, 1)) == 12
    assert Archive().league(3, 4, 0) == []
