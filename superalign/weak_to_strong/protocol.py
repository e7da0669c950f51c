"""The protocol: half 1 trains the supervisor, half 2 gets its labels, the test rows are held out; truth is sealed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superalign.errors import UserError
from superalign.records import content_id
from superalign.weak_to_strong.base import Floats, GroundTruth, Ints, Kind, Rows, Task

SHARES = (0.36, 0.36, 0.28)  # half 1, half 2, test
MIN_ROWS = 12  # of each part: fewer say nothing


@dataclass(frozen=True)
class Experiment:
    """One split of a task. Only half 1 comes with its labels; the others' are sealed, the task is the scorer's alone.

    Attributes:
        name, kind, classes: of the task; how many classes it has.
        rows: every row of the task, for representations that need no label.
        identity: a hash of rows and labels, what results are cached under.
        half1: rows that the supervisor is trained on, with `labels1` open, shape (len(half1),), and of generations
            `targets1`.
        half2: rows that the student sees, labelled by the supervisor alone, like all parts in the order of their ids:
            the order that a task was written in tells its labels.
        test: held-out rows; `attacked`, the same under an attack, where the task has one.
        truth2, targets2, truth_test: the sealed labels, and the sealed completions of half 2.
        via: models that method=bootstrap goes through, where the settings name none.
    """

    name: str
    kind: Kind
    classes: int
    seed: int
    rows: Rows
    identity: str
    half1: Rows
    labels1: Ints
    targets1: tuple[str, ...]
    half2: Rows
    test: Rows
    attacked: Rows | None
    truth2: GroundTruth
    targets2: GroundTruth
    truth_test: GroundTruth
    via: tuple[str, ...] = ()

    def opened_by(self) -> set[str]:
        """Who opened sealed labels so far."""
        return set(self.openings())

    def openings(self) -> list[str]:
        """By whom, once for each opening."""
        return [who for truth in (self.truth2, self.targets2, self.truth_test) for who in truth.opened_by]


def split(task: Task, seed: int) -> Experiment:
    """Split the task by groups, at random by `seed`, into half 1, half 2 and test.

    Raises:
        UserError: as `parts_of`.
    """
    where1, where2, where_test = parts_of(task, seed)
    targets = np.array(task.targets or [""] * len(task.rows), dtype=object)
    return Experiment(
        name=task.name,
        kind=task.kind,
        classes=len(task.classes),
        seed=seed,
        rows=task.rows,
        identity=content_id(task.rows.digest(), task.labels.tolist(), task.targets),
        half1=task.rows.take(where1),
        labels1=task.labels[where1],
        targets1=tuple(targets[where1]),
        half2=task.rows.take(where2),
        test=task.rows.take(where_test),
        attacked=None if task.attacked is None else task.attacked.take(where_test),
        truth2=GroundTruth(task.labels[where2]),
        targets2=GroundTruth(targets[where2]),
        truth_test=GroundTruth(task.labels[where_test]),
        via=task.via,
    )


def parts_of(task: Task, seed: int) -> list[Ints]:
    """Row positions of half 1, half 2 and test, each in the order of the rows' ids.

    Raises:
        UserError: the groups are so few or so large that a part stays (nearly) empty or lacks a class.
    """
    parts = split_groups(task.rows.groups, SHARES, seed)
    names = ("half 1", "half 2", "test")
    for name, part in zip(names, parts, strict=True):
        if len(part) < MIN_ROWS:
            raise UserError(
                f"task {task.name}: {name} has {len(part)} rows, at least {MIN_ROWS} are needed "
                f"(groups: {len(set(task.rows.groups))} over {len(task.rows)} rows): give more rows or smaller groups"
            )
        held = np.unique(task.labels[part])
        if task.kind != "generate" and len(held) < 2:
            raise UserError(
                f"task {task.name}: {name} holds rows of class {task.classes[int(held[0])]!r} alone: give more rows"
            )
    return [np.array(sorted(part, key=lambda i: task.rows.ids[i]), dtype=np.int64) for part in parts]


def split_groups(groups: tuple[str, ...], shares: tuple[float, ...], seed: int) -> list[Ints]:
    """Row positions of parts with about the given shares of the rows; a group lies wholly in one part."""
    rows: dict[str, list[int]] = {}
    for position, group in enumerate(groups):
        rows.setdefault(group, []).append(position)
    order = sorted(rows)
    random.Random(f"split/{seed}").shuffle(order)
    parts: list[list[int]] = [[] for _ in shares]
    for group in order:
        # To the part that lacks most of its share, so that large groups do not empty the last one.
        lacking = [share * len(groups) - len(part) for share, part in zip(shares, parts, strict=True)]
        parts[int(np.argmax(lacking))] += rows[group]
    return [np.array(sorted(part), dtype=np.int64) for part in parts]


def folds(groups: tuple[str, ...], count: int, seed: int) -> list[tuple[Ints, Ints]]:
    """(train, held out) positions of `count` folds by group."""
    held = split_groups(groups, (1 / count,) * count, seed)
    every = np.arange(len(groups))
    return [(np.setdiff1d(every, part), part) for part in held if len(part)]


def graded(task: Task, rows: Rows, texts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """The grades of completions by name, shape (n,); NaN where a grade says nothing of a row."""
    assert task.grade is not None
    found = [task.grade(identity, text) for identity, text in zip(rows.ids, texts, strict=True)]
    names = sorted({name for grades in found for name in grades})
    return {name: np.array([grades.get(name, np.nan) for grades in found]) for name in names}


def right(probabilities: Floats, truth: ArrayLike) -> Floats:
    """1 where the likeliest class is the true one, else 0, shape (n,)."""
    return np.asarray(probabilities.argmax(1) == np.asarray(truth), dtype=np.float64)


def one_hot(labels: ArrayLike, classes: int) -> Floats:
    """Certain probabilities of labels, shape (n, classes)."""
    return np.asarray(np.eye(classes)[np.asarray(labels, dtype=np.int64)], dtype=np.float64)
