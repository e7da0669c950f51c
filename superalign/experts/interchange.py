"""Items and answers as JSONL, for experts who work elsewhere."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from superalign.errors import UserError
from superalign.experts.items import Item, LabelRefused
from superalign.experts.queue import ExpertQueue

ANSWERS = {"point": {"accept": 1.0, "refuse": 0.0, "tie": 0.5}, "pair": {"a": 1.0, "b": 0.0, "tie": 0.5}}


def export_items(queue: ExpertQueue, path: str | Path, round: int | None = None) -> int:
    """Write the items that still need answers, one JSON object a line; "annotator" and "answer" are to be filled in.

    The answers allowed stand in "answers". Neither the critic's score nor anybody's answer is in the file. It holds
    harmful text, so only its owner may read it. Returns the number of lines.

    Raises:
        UserError: the file cannot be written.
    """
    return _write(path, [_item_row(item) for item in queue.items(round, unanswered=True)])


def export_labels(queue: ExpertQueue, path: str | Path) -> int:
    """Write all standing labels, one JSON object a line (the fields of ExpertLabel); returns the number of lines.

    Raises:
        UserError: the file cannot be written.
    """
    return _write(path, [label.to_row() for label in queue.labels()])


def import_answers(queue: ExpertQueue, path: str | Path) -> int:
    """Read a filled-in export back, wholly or not at all; lines whose "answer" is null or absent are left out.

    The same file twice changes nothing; a corrected answer supersedes the earlier one. Returns the number of new
    labels.

    Raises:
        UserError: the file cannot be read, or a line is not what an export makes of it; names file and line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    kinds = {item.id: item.kind for item in queue.items()}
    answers, numbers = [], []
    for number, line in enumerate(lines, start=1):
        if line.strip() and (answer := _answer(line, kinds, f"{path} line {number}")):
            answers.append(answer)
            numbers.append(number)
    try:
        return queue.record(answers)
    except LabelRefused as error:
        raise UserError(f"{path} line {numbers[error.index]}: {error}; nothing was imported") from None


def _item_row(item: Item) -> dict[str, Any]:
    a, b = item.shown
    return {
        "item_id": item.id,
        "round": item.round,
        "kind": item.kind,
        "category": item.category,
        "query": item.query,
        "a": a,
        "b": b or None,
        "critique": item.critique,
        "answers": list(ANSWERS[item.kind]),
        "annotator": None,
        "answer": None,
    }


def _answer(line: str, kinds: dict[str, Any], where: str) -> tuple[str, str, float] | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where} is not JSON ({error.msg}); nothing was imported") from None
    if not isinstance(row, dict):
        raise UserError(f"{where} is not a JSON object; nothing was imported")
    if row.get("answer") is None:
        return None
    item_id, annotator, answer = row.get("item_id"), row.get("annotator"), row["answer"]
    if not isinstance(item_id, str) or item_id not in kinds:
        raise UserError(f"{where}: item_id {item_id!r} is not in this queue; nothing was imported")
    if not isinstance(annotator, str) or not annotator.strip():
        raise UserError(f"{where}: an answer needs the name of its annotator; nothing was imported")
    allowed = ANSWERS[kinds[item_id]]
    if not isinstance(answer, str) or answer not in allowed:
        raise UserError(f"{where}: answer {answer!r} should be one of {', '.join(allowed)}; nothing was imported")
    return item_id, annotator.strip(), allowed[answer]


def _write(path: str | Path, rows: list[dict[str, Any]]) -> int:
    try:
        # Created closed to others, as the queue itself is.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error}") from None
    return len(rows)
