"""Examples of a task before they are its rows: told apart, balanced, limited."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from superalign.errors import UserError
from superalign.records import content_id
from superalign.weak_to_strong.base import Kind, Rows, Task, Text

MIN_ROWS: Final = 40
MAX_SHARE: Final = 0.55  # of the larger of two classes, as in arXiv 2312.09390 A.1


@dataclass(frozen=True, slots=True)
class Example:
    """One row with its ground truth.

    Attributes:
        group: examples of one group never straddle a split.
        text: what is read; of pairs, the first response to the prompt.
        label: position of its class; of generations, of its category.
        second: of pairs, the second response.
        target: of generations, the completion that a supervisor is trained on.
        attacked: the text under an attack, where the task has one.
    """

    group: str
    text: Text
    label: int
    second: Text | None = None
    target: str = ""
    attacked: Text | None = None

    @property
    def id(self) -> str:
        """An identity by content; the order of a pair does not matter."""
        texts = [self.text] if self.second is None else sorted((self.text, self.second), key=lambda t: t.response)
        return content_id(*(part for text in texts for part in (text.prompt, text.response)))


Grade = Callable[[Example, str], dict[str, float]]


@dataclass(frozen=True)
class Draft:
    """The examples of a task; `grade` says how good a completion of one is, grades in [0, 1] by name."""

    classes: tuple[str, ...]
    examples: Sequence[Example]
    grade: Grade | None = None


def assemble(name: str, kind: Kind, draft: Draft, source: str, limit: int | None, seed: int) -> Task:
    """The task of a draft: each text once, two classes balanced, `limit` rows drawn in whole groups.

    Raises:
        UserError: fewer than `MIN_ROWS` rows remain, or all are of one class.
    """
    examples = list({example.id: example for example in reversed(draft.examples)}.values())[::-1]
    _check_count(examples, f"data.source={source}: task {name}")
    if kind == "classify":
        _check_classes(name, draft.classes, examples, source)
    if len(draft.classes) == 2 and kind != "pairs":
        examples = balanced(examples, seed)
        _check_count(examples, f"data.source={source}: task {name}, its larger class cut to the size of the smaller,")
    if limit is not None:
        examples = limited(examples, limit, seed, MAX_SHARE if len(draft.classes) == 2 else 1.0)
        _check_count(examples, f"data.limit={limit}: task {name}, its groups kept whole,")
    rows = Rows(
        tuple(example.id for example in examples),
        tuple(example.group for example in examples),
        tuple(example.text for example in examples),
        tuple(example.second for example in examples if example.second is not None) or None,
    )
    attacked = tuple(example.attacked for example in examples if example.attacked is not None)
    known = {example.id: example for example in examples}
    return Task(
        name=name,
        kind=kind,
        rows=rows,
        labels=np.array([example.label for example in examples], dtype=np.int64),
        classes=draft.classes,
        targets=tuple(example.target for example in examples) if kind == "generate" else None,
        grade=None if draft.grade is None else partial(_graded, known, draft.grade),
        attacked=replace(rows, inputs=attacked) if attacked else None,
    )


def balanced(examples: Sequence[Example], seed: int) -> list[Example]:
    """As many examples of class 0 as of class 1, if one has more than `MAX_SHARE`; which ones go is drawn by seed.

    Groups of the larger class alone go first, and whole; only then do other groups lose rows.
    """
    counts = Counter(example.label for example in examples)
    larger = max(counts, key=lambda label: counts[label])
    if counts[larger] <= MAX_SHARE * len(examples):
        return list(examples)
    excess = 2 * counts[larger] - len(examples)
    groups: dict[str, list[int]] = {}
    for position, example in enumerate(examples):
        groups.setdefault(example.group, []).append(position)
    mixed = {group for group, members in groups.items() if any(examples[i].label != larger for i in members)}
    order = sorted(groups)
    random.Random(f"balance/{seed}").shuffle(order)
    order.sort(key=lambda group: group in mixed)
    dropped: set[int] = set()
    for group in order:
        members = [i for i in groups[group] if examples[i].label == larger]
        dropped.update(members[: excess - len(dropped)])
    return [example for position, example in enumerate(examples) if position not in dropped]


def limited(examples: Sequence[Example], limit: int, seed: int, most: float = 1.0) -> list[Example]:
    """At most `limit` examples: whole groups, drawn by seed, each that still fits; in the order they had.

    No class gets more than the share `most` of `limit`.
    """
    groups: dict[str, Counter[int]] = {}
    for example in examples:
        groups.setdefault(example.group, Counter())[example.label] += 1
    order = sorted(groups)
    random.Random(f"limit/{seed}").shuffle(order)
    held: Counter[int] = Counter()
    chosen = set()
    for group in order:
        grown = held + groups[group]
        if grown.total() <= limit and max(grown.values()) <= most * limit:
            held = grown
            chosen.add(group)
    return [example for example in examples if example.group in chosen]


def _check_count(examples: Sequence[Example], what: str) -> None:
    if len(examples) < MIN_ROWS:
        raise UserError(f"{what} has {len(examples) or 'no'} rows that differ: at least {MIN_ROWS} are needed")


def _check_classes(name: str, classes: tuple[str, ...], examples: Sequence[Example], source: str) -> None:
    held = {example.label for example in examples}
    if len(held) < 2:
        raise UserError(
            f"data.source={source}: every row is of class {classes[held.pop()]!r}: "
            f"task {name} needs rows of at least two classes"
        )
    if len(classes) > len(examples) // 4:
        raise UserError(
            f"data.source={source}: the label has {len(classes)} values over {len(examples)} rows; "
            "set data.columns.label= to the column of the class"
        )


def _graded(known: dict[str, Example], grade: Grade, identity: str, completion: str) -> dict[str, float]:
    return grade(known[identity], completion)
