"""Multiple-choice questions of a file of `evaluation.choices`, whichever way the right choice is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from superalign.data.forms import SourceRow, cell, is_empty, shown
from superalign.data.layouts import by_lower
from superalign.data.tables import read_tables
from superalign.errors import UserError
from superalign.records import content_id

log = logging.getLogger(__name__)
QUESTION: Final = ("question", "query", "prompt", "ctx")
CHOICES: Final = ("choices", "options", "endings")
ANSWER: Final = ("answer", "correct_answer", "answerkey", "answer_key", "label", "target", "gold")
WRONG: Final = ("random_wrong", "distractor", "distractors", "incorrect_answers", "wrong")
"""Names of columns in lower case; of wrong answers also with a number behind, as in SciQ's `distractor1`."""
Way = Callable[[Any, Sequence[str], Sequence[str]], int | None]
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its choices, each different.

    Attributes:
        id: by its content.
        right: place of the right choice.
    """

    id: str
    text: str
    choices: tuple[str, ...]
    right: int


def read_questions(source: str, hub_split: str, what: str) -> list[Question]:
    """The different questions of a file, a folder or the hub.

    Choices are a list (MMLU), texts with labels (ARC), or the right answer and wrong ones in columns of their own
    (SciQ), in which case the right one comes first. The answer is the text of a choice, its letter, or its place from
    0. Questions with two equal choices are left out, which is logged.

    Raises:
        UserError: the source cannot be read, a column is missing, a row has fewer than two choices, or an answer names
            none of them; the message names file and line.
    """
    found: dict[str, Question] = {}
    rows = 0
    for table in read_tables(source, hub_split, what):
        if table.rows:
            made = _questions(table.name, list(table.rows), table.columns, what)
            found |= {each.id: each for each in made if len(set(each.choices)) == len(each.choices)}
            rows += len(made)
    if len(found) < rows:
        log.warning(
            "%s=%s: %d of %d questions are left out: they come twice, or have two equal choices",
            *(what, source, rows - len(found), rows),
        )
    if not found:
        raise UserError(f"{what}={source} holds no question")
    return list(found.values())


def _questions(name: str, rows: Sequence[SourceRow], columns: Sequence[str], what: str) -> list[Question]:
    known = by_lower(columns)

    def column(names: Sequence[str], field: str) -> str:
        if found := next((known[each] for each in names if each in known), None):
            return found
        raise UserError(
            f"{what}={name}: no column for {field} (looked for {', '.join(names)}; it has {shown(columns)})"
        )

    asked, answer = column(QUESTION, "the question"), column(ANSWER, "the answer")
    listed = next((known[each] for each in CHOICES if each in known), None)
    wrong = [own for each, own in known.items() if each.rstrip("0123456789") in WRONG]
    if listed is None and not wrong:
        raise UserError(
            f"{what}={name}: no column for the choices (looked for {', '.join(CHOICES)}, or for wrong answers in "
            f"{', '.join(WRONG)}; it has {shown(columns)})"
        )
    questions = []
    if listed is None:
        for where, row in rows:
            choices = [_text(where, answer, cell(row, answer)), *_wrong(where, row, wrong)]
            questions.append((where, _text(where, asked, cell(row, asked)), choices, 0))
    else:
        every = [_listed(where, listed, cell(row, listed)) for where, row in rows]
        places = _places(rows, every, answer)
        for (where, row), (choices, _), place in zip(rows, every, places, strict=True):
            questions.append((where, _text(where, asked, cell(row, asked)), choices, place))
    return [_question(*each) for each in questions]


def _question(where: str, text: str, choices: Sequence[str], right: int) -> Question:
    if len(choices) < 2:
        raise UserError(f"{where}: a question needs at least two choices")
    return Question(content_id(text, *choices), text, tuple(choices), right)


def _text(where: str, column: str, value: Any) -> str:
    if is_empty(value) or not isinstance(value, str | int | float):
        raise UserError(f"{where}: column {column!r} holds no text")
    return str(value).strip()


def _wrong(where: str, row: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """The wrong answers of a row, whatever columns they stand in; empty ones are left out."""
    found: list[Any] = []
    for column in columns:
        value = cell(row, column)
        found += value if isinstance(value, list) else [value]
    return [_text(where, columns[0], each) for each in found if not is_empty(each)]


def _listed(where: str, column: str, value: Any) -> tuple[list[str], list[str]]:
    """The choices of a row, and their labels where they have some."""
    labels: list[str] = []
    if isinstance(value, Mapping):
        labels = [str(each).strip() for each in value.get("label") or ()]
        value = value.get("text")
    if not isinstance(value, list) or (labels and len(labels) != len(value)):
        raise UserError(f"{where}: column {column!r} holds no list of choices")
    return [_text(where, column, each) for each in value], labels


def _places(rows: Sequence[SourceRow], every: Sequence[tuple[list[str], list[str]]], column: str) -> list[int]:
    """Where the right choice of each row stands: all rows tell it the same way, or the file is refused.

    Raises:
        UserError: an answer names no choice, or answers fit both as texts and as places.
    """
    answers = [cell(row, column) for _, row in rows]
    ways = []
    for way in _ways(every):
        places = [way(answer, *each) for answer, each in zip(answers, every, strict=True)]
        if None not in places:
            ways.append([place for place in places if place is not None])
    if not ways:
        where = _first_unlike(rows, answers, every)
        raise UserError(
            f"{where}: the answer in column {column!r} is none of its choices: give the text of one, its letter (A is "
            "the first) or its place (0 is the first), in all rows alike"
        )
    if any(places != ways[0] for places in ways):
        raise UserError(
            f"{rows[0][0]}: the answers in column {column!r} could be texts of choices as well as their places: give "
            "them as letters"
        )
    return ways[0]


def _first_unlike(
    rows: Sequence[SourceRow], answers: Sequence[Any], every: Sequence[tuple[list[str], list[str]]]
) -> str:
    """Where the first answer stands that cannot be read in any way, or else the first row."""
    for (where, _), answer, each in zip(rows, answers, every, strict=True):
        if all(way(answer, *each) is None for way in _ways(every)):
            return where
    return rows[0][0]


def _ways(every: Sequence[tuple[list[str], list[str]]]) -> Sequence[Way]:
    """How answers can be told: by labels alone where choices have them."""
    return (_by_label,) if any(labels for _, labels in every) else (_by_text, _by_letter, _by_index)


def _by_text(answer: Any, choices: Sequence[str], labels: Sequence[str]) -> int | None:
    text = answer.strip() if isinstance(answer, str) else None
    return choices.index(text) if text in choices else None


def _by_label(answer: Any, choices: Sequence[str], labels: Sequence[str]) -> int | None:
    text = str(answer).strip()
    return labels.index(text) if text in labels else None


def _by_letter(answer: Any, choices: Sequence[str], labels: Sequence[str]) -> int | None:
    letter = answer.strip().upper() if isinstance(answer, str) else ""
    place = LETTERS.find(letter) if len(letter) == 1 else -1
    return place if 0 <= place < len(choices) else None


def _by_index(answer: Any, choices: Sequence[str], labels: Sequence[str]) -> int | None:
    try:
        number = float(answer)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() and 0 <= number < len(choices) else None
