"""The split of a task, and the firewall around its ground truth."""

from __future__ import annotations

import copy
import pickle
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.errors import UserError
from superalign.weak_to_strong.base import GroundTruth, Kind, Rows, Task
from superalign.weak_to_strong.protocol import SHARES, Experiment, folds, graded, parts_of, split, split_groups
from superalign.weak_to_strong.tasks.registry import load_task

PARTS = ("half1", "half2", "test")


def task(labels: list[int], groups: list[str] | None = None, kind: Kind = "classify") -> Task:
    names = tuple(f"{i:04}" for i in range(len(labels)))
    vectors = np.arange(2 * len(labels), dtype=np.float32).reshape(-1, 2)
    rows = Rows(names, tuple(groups or names), vectors)
    return Task("made", kind, rows, np.array(labels, dtype=np.int64), ("no", "yes"))


def alternating(n: int) -> list[int]:
    return [i % 2 for i in range(n)]


@given(st.lists(st.integers(0, 20), min_size=1, max_size=120), st.integers(0, 50))
def test_a_group_never_straddles_parts_and_every_row_is_in_one(drawn: list[int], seed: int) -> None:
    groups = tuple(f"group {i}" for i in drawn)
    parts = split_groups(groups, SHARES, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(groups)))
    held = [{groups[i] for i in part} for part in parts]
    assert sum(map(len, held)) == len(set(groups))


@given(st.integers(60, 300), st.integers(1, 4), st.integers(0, 50))
def test_parts_have_about_their_shares(rows: int, size: int, seed: int) -> None:
    groups = tuple(f"group {i // size}" for i in range(rows))
    for part, share in zip(split_groups(groups, SHARES, seed), SHARES, strict=True):
        assert abs(len(part) - share * rows) <= 2 * size


@given(st.lists(st.integers(0, 12), min_size=2, max_size=60), st.integers(2, 5), st.integers(0, 20))
def test_every_row_is_held_out_by_exactly_one_fold_and_its_group_with_it(
    drawn: list[int], count: int, seed: int
) -> None:
    groups = tuple(map(str, drawn))
    made = folds(groups, count, seed)
    assert sorted(i for _, held in made for i in held) == list(range(len(groups)))
    for seen, held in made:
        assert {groups[i] for i in seen}.isdisjoint({groups[i] for i in held})


def test_a_seed_gives_the_same_split_again_and_another_seed_another() -> None:
    made = [split(task(alternating(100)), seed) for seed in (3, 3, 4)]
    assert made[0].half2.ids == made[1].half2.ids != made[2].half2.ids


def test_the_parts_of_an_experiment_hold_the_rows_of_the_task_with_their_own_labels() -> None:
    given_task = task(alternating(100))
    label = dict(zip(given_task.rows.ids, given_task.labels, strict=True))
    e = split(given_task, seed=0)
    assert sorted(i for part in PARTS for i in getattr(e, part).ids) == sorted(given_task.rows.ids)
    assert e.labels1.tolist() == [label[i] for i in e.half1.ids]
    assert e.truth2.open("test").tolist() == [label[i] for i in e.half2.ids]
    assert e.truth_test.open("test").tolist() == [label[i] for i in e.test.ids]


def test_attacked_rows_are_those_of_the_test_part() -> None:
    e = split(load_task("safety", limit=120), seed=0)
    assert e.attacked is not None and e.attacked.ids == e.test.ids
    assert e.attacked.inputs != e.test.inputs


def test_every_part_has_rows_of_both_classes_or_the_task_is_refused() -> None:
    for ones in range(1, 40):
        labels = [1] * ones + [0] * (80 - ones)
        try:
            e = split(task(labels), seed=ones)
        except UserError as error:
            assert "of class 'no' alone: give more rows" in str(error)
        else:
            truths = (e.labels1, e.truth2.open("test"), e.truth_test.open("test"))
            assert all(set(truth.tolist()) == {0, 1} for truth in truths)


def test_a_part_of_one_class_is_told_by_name() -> None:
    with pytest.raises(UserError, match=r"task made: half [12] holds rows of class 'no' alone"):
        parts_of(task([1] + [0] * 99), seed=0)


def test_one_giant_group_is_refused_with_its_size_and_the_remedy() -> None:
    with pytest.raises(UserError, match=r"half 2 has 0 rows.*groups: 1 over 100 rows.*smaller groups"):
        split(task(alternating(100), ["one"] * 100), seed=0)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(UserError, match=r"task made: test has \d+ rows, at least 12 are needed"):
        split(task(alternating(40)), seed=0)


def test_the_order_of_rows_tells_nothing_of_their_labels() -> None:
    # A task is written class by class; a method that looked where a row stands would see its label.
    e = split(load_task("safety"), seed=0)
    for part, labels in ((e.half1, e.labels1), (e.half2, e.truth2.open("test")), (e.test, e.truth_test.open("test"))):
        assert abs(np.corrcoef(np.arange(len(part)), labels)[0, 1]) < 0.2


def sealed() -> GroundTruth:
    return GroundTruth([1, 0, 1])


def test_ground_truth_cannot_be_read_as_an_array_nor_by_row() -> None:
    truth: Any = sealed()
    with pytest.raises(TypeError, match="ground truth is sealed"):
        np.asarray(truth)
    with pytest.raises(TypeError, match="ground truth is sealed"):
        np.mean(truth)
    with pytest.raises(TypeError):
        truth[0]
    with pytest.raises(TypeError):
        list(truth)
    assert len(truth) == 3


def test_opening_is_written_down_in_order_and_gives_a_copy() -> None:
    truth = sealed()
    truth.open("ceiling")[:] = 7
    assert truth.open("scorer").tolist() == [1, 0, 1]
    assert truth.opened_by == ["ceiling", "scorer"]


def test_an_opening_cannot_be_taken_back_nor_made_on_a_copy() -> None:
    truth = sealed()
    truth.open("a method")
    truth.opened_by.clear()
    assert truth.opened_by == ["a method"]
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="ground truth is sealed"):
            copied(truth)


def test_an_experiment_knows_who_opened_any_of_its_labels() -> None:
    e = split(task(alternating(100)), seed=0)
    assert e.opened_by() == set()
    e.truth2.open("a method")
    e.targets2.open("another")
    e.truth_test.open("scorer")
    assert e.opened_by() == {"a method", "another", "scorer"}


@pytest.mark.parametrize("name", ["digits", "refusal"])
def test_without_opening_a_seal_an_experiment_is_the_same_whatever_half_2_and_test_are_labelled(name: str) -> None:
    given_task = load_task(name, limit=120)
    _, *others = parts_of(given_task, seed=0)
    hidden = np.concatenate(others)
    labels, targets = given_task.labels.copy(), list(given_task.targets or [""] * 120)
    labels[hidden] = 1 - labels[hidden]
    for i in hidden:
        targets[i] = "another"
    told = split(given_task, seed=0)
    other = split(replace(given_task, labels=labels, targets=tuple(targets)), seed=0)
    seals = {"truth2", "targets2", "truth_test"}
    for field in fields(Experiment):
        mine, theirs = getattr(told, field.name), getattr(other, field.name)
        if field.name in seals:
            assert isinstance(mine, GroundTruth)
            public = {key for key in dir(mine) if not key.startswith("_")}
            assert public == {"open", "opened_by"}
        elif isinstance(mine, Rows):
            assert mine.digest() == theirs.digest()
        elif field.name != "identity":  # a hash
            assert np.array_equal(mine, theirs)
    assert not told.opened_by()
    assert told.truth2.open("test").tolist() != other.truth2.open("test").tolist()


def test_identity_changes_with_the_labels_so_that_cached_results_are_not_mixed_up() -> None:
    labels = alternating(100)
    flipped = [1 - labels[0], *labels[1:]]
    first, again, other = (split(task(each), 0).identity for each in (labels, labels, flipped))
    assert first == again != other


def test_grades_of_completions_are_arrays_with_nothing_where_a_grade_says_nothing() -> None:
    made = load_task("refusal", limit=60)
    some = np.array([*range(5), *range(len(made.rows) - 5, len(made.rows))])
    found = graded(made, made.rows.take(some), [(made.targets or ())[i] for i in some])
    harmful = made.labels[some] == 1
    assert (found["accuracy"] == 1).all()
    assert (np.isnan(found["harm"]) == ~harmful).all()
    assert (np.isnan(found["over_refusal"]) == harmful).all()
