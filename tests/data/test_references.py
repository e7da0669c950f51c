"""Instructions with reference answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from superalign.data.references import read_references
from superalign.errors import UserError


def read(folder: Path, *rows: dict[str, Any]) -> list[tuple[str, str]]:
    path = folder / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return [(each.prompt, each.answer) for each in read_references(str(path), "train", "evaluation.texts.x")]


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"instruction": "add", "input": "1 and 2", "output": "3"}, "add\n\n1 and 2"),
        ({"instruction": "add", "context": "", "response": "3"}, "add"),
        ({"prompt": "add", "completion": "3"}, "add"),
    ],
)
def test_the_usual_columns_are_known_and_empty_rows_left_out(tmp_path: Path, row: dict[str, Any], prompt: str) -> None:
    answer = next(name for name in ("output", "response", "completion") if name in row)
    assert read(tmp_path, row, row | {answer: ""}, row | {answer: "4"}) == [(prompt, "3"), (prompt, "4")]


@pytest.mark.parametrize(
    ("row", "message"),
    [({"prompt": "add"}, "no column for the answer"), ({"prompt": "add", "output": "3"}, "1 rows have a prompt and")],
)
def test_a_file_without_answers_is_refused(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, row)
