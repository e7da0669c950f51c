"""Labelled answers: which columns are known, and that no value is guessed at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from superalign.data.judged_answers import JudgedAnswer, read_judged_answers
from superalign.errors import UserError


def file(folder: Path, *rows: dict[str, Any]) -> str:
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("row", "acceptable"),
    [
        ({"prompt": "q", "answer": "a", "acceptable": True}, True),
        ({"query": "q", "response": "a", "label": "unsafe"}, False),
        ({"question": "q", "completion": "a", "acceptable": 0}, False),
        ({"prompt": "q", "response": "a", "prompt_harm": "harmful", "refusal": "refusal"}, True),
        ({"prompt": "q", "response": "a", "prompt_harm": "harmful", "refusal": "compliance"}, False),
        ({"prompt": "q", "response": "a", "prompt_harm": "unharmful", "refusal": "refusal"}, False),
        ({"prompt": "q", "response": "a", "prompt_harm": "unharmful", "refusal": "compliance"}, True),
    ],
)
def test_an_answer_is_acceptable_as_people_say_or_as_harm_and_refusal_tell(
    tmp_path: Path, row: dict[str, Any], acceptable: bool
) -> None:
    (found,) = read_judged_answers(file(tmp_path, row), "--labels", ("acceptable",))
    assert (found.prompt, found.answer, found.acceptable) == ("q", "a", acceptable)


def test_rows_of_which_people_say_nothing_are_left_out(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "response": "a", "refusal": said, "prompt_harm": None} for said in ("refusal", None, "")]
    assert read_judged_answers(file(tmp_path, *rows), "--labels", ("refused",)) == [
        JudgedAnswer("q", "a", None, True, None)
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "q", "answer": "a", "label": "perhaps"}, "'label' holds 'perhaps' 1 times, .* neither yes nor no"),
        ({"prompt": "q", "answer": "a"}, r"no column for acceptable \(looked for acceptable, label; it has prompt"),
        ({"prompt": "q", "label": 1}, "no column for answer"),
        ({"prompt": "q", "answer": "a", "label": None}, "none of its 1 rows has a prompt, an answer and a label"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_judged_answers(file(tmp_path, row), "evaluation.labels", ("acceptable",))


@pytest.mark.parametrize(("said", "refused"), [(True, False), ("compliance", False), ("refused", True), (0, True)])
def test_a_column_of_compliance_tells_of_refusals(tmp_path: Path, said: Any, refused: bool) -> None:
    row = {"prompt": "q", "answer": "a", "complies": said}
    assert read_judged_answers(file(tmp_path, row), "--labels", ("refused",)) == [JudgedAnswer("q", "a", None, refused)]


def test_either_of_two_labels_is_enough_where_that_is_asked(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "answer": "a", "refused": True}, {"prompt": "q", "answer": "b", "refused": None}]
    both = ("acceptable", "refused")
    assert [row.answer for row in read_judged_answers(file(tmp_path, *rows), "--labels", both, either=True)] == ["a"]
    with pytest.raises(UserError, match="no column for acceptable, nor for refused"):
        read_judged_answers(file(tmp_path, {"prompt": "q", "answer": "a"}), "--labels", both, either=True)
