"""Multiple-choice questions: every common way to tell the right choice is read, none is guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from superalign.data.choices import Question, read_questions
from superalign.errors import UserError

SETTING = "evaluation.choices.x"


def questions(folder: Path, *rows: dict[str, Any]) -> list[Question]:
    path = folder / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_questions(str(path), "test", SETTING)


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q", "choices": ["a", "b", "c"], "answer": 1},
        {"question": "q", "options": ["a", "b", "c"], "answer": "B"},
        {"Question": "q", "choices": ["a", "b", "c"], "answer": "b"},
        {"question": "q", "choices": {"text": ["a", "b", "c"], "label": ["1", "2", "3"]}, "answerKey": "2"},
        {"ctx": "q", "endings": ["a", "b", "c"], "label": "1"},
    ],
)
def test_the_right_choice_is_told_by_place_letter_text_or_label(tmp_path: Path, row: dict[str, Any]) -> None:
    (found,) = questions(tmp_path, row)
    assert (found.text, found.choices, found.right) == ("q", ("a", "b", "c"), 1)


@pytest.mark.parametrize(
    ("row", "choices"),
    [
        ({"question": "q", "answer": "yes", "random_wrong": "no"}, ("yes", "no")),
        (
            {"question": "q", "distractor1": "b", "distractor2": "c", "correct_answer": "a", "support": "s"},
            ("a", "b", "c"),
        ),
    ],
)
def test_beside_wrong_answers_the_right_one_comes_first(
    tmp_path: Path, row: dict[str, Any], choices: tuple[str, ...]
) -> None:
    (found,) = questions(tmp_path, row)
    assert (found.choices, found.right) == (choices, 0)


def test_numbers_that_are_choices_and_places_at_once_are_no_answer(tmp_path: Path) -> None:
    """Of ["2", "1", "0"] the text "2" is the first choice, and place 2 the last; a number can only be a place."""
    with pytest.raises(UserError, match="could be texts of choices as well as their places"):
        questions(tmp_path, {"question": "q", "choices": ["2", "1", "0"], "answer": "2"})
    (found,) = questions(tmp_path, {"question": "q", "choices": ["2", "1", "0"], "answer": 2})
    assert found.right == 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"question": "q", "choices": ["a", "b"], "answer": 2}], "line 1: the answer in column 'answer' is none of"),
        ([{"question": "q", "choices": "a, b", "answer": 0}], "line 1: column 'choices' holds no list of choices"),
        ([{"question": "q", "choices": ["a"], "answer": 0}], "line 1: a question needs at least two choices"),
        ([{"question": "q", "answer": "yes"}], "no column for the choices"),
        ([{"text": "q", "choices": ["a", "b"], "answer": 0}], "no column for the question"),
        (
            [
                {"question": "q", "choices": ["a", "b"], "answer": "A"},
                {"question": "r", "choices": ["a", "b"], "answer": "Z"},
            ],
            "line 2: the answer",
        ),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(
    tmp_path: Path, rows: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        questions(tmp_path, *rows)


def test_questions_with_equal_choices_are_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = questions(
        tmp_path,
        {"question": "q", "answer": "yes", "random_wrong": "yes"},
        {"question": "r", "answer": "yes", "random_wrong": "no"},
    )
    assert [each.text for each in found] == ["r"] and "1 of 2 questions are left out" in caplog.text
