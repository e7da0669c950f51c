"""A round's seeds: half harmful, half benign, and all of them before any comes again."""

from __future__ import annotations

import pytest

from superalign.data.seeds import draw_seeds
from superalign.records import Seed
from tests.roles.parts import seed


@pytest.fixture
def pool() -> list[Seed]:
    return [seed(f"{kind} {i}", kind) for kind in ("harmful", "benign") for i in range(20)]


def test_a_rounds_seeds_alternate_between_harmful_and_benign(pool: list[Seed]) -> None:
    drawn = draw_seeds(pool, 12, 1, 0)
    assert [s.kind for s in drawn] == ["harmful", "benign"] * 6
    assert len({s.id for s in drawn}) == 12


def test_an_odd_seed_is_a_harmful_one_and_one_seed_is_one(pool: list[Seed]) -> None:
    assert [[s.kind for s in draw_seeds(pool, count, 2, 0)] for count in (1, 3)] == [
        ["harmful"],
        ["harmful", "benign", "harmful"],
    ]


def test_rounds_walk_through_all_seeds_before_any_comes_again(pool: list[Seed]) -> None:
    assert len({s.id for round in range(1, 5) for s in draw_seeds(pool, 10, round, 0)}) == 40
    assert draw_seeds(pool, 10, 5, 0) == draw_seeds(pool, 10, 1, 0) != draw_seeds(pool, 10, 1, 1)


def test_seeds_of_one_kind_fill_the_round_and_a_small_pool_is_not_repeated(pool: list[Seed]) -> None:
    harmful = [s for s in pool if s.kind == "harmful"]
    assert len(draw_seeds(harmful, 12, 1, 0)) == 12
    assert len({s.id for s in draw_seeds(harmful, 50, 1, 0)}) == len(draw_seeds(harmful, 50, 1, 0)) == 20
