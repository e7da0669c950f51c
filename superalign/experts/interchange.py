"""Items and answers as JSONL, and what every other format shares with it: files of one's own, imports whole or none."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from superalign.errors import UserError
from superalign.experts.items import Item, LabelRefused
from superalign.experts.queue import ExpertQueue
from superalign.records import JudgementKind

ANSWERS: Final = {"point": {"accept": 1.0, "refuse": 0.0, "tie": 0.5}, "pair": {"a": 1.0, "b": 0.0, "tie": 0.5}}
QUESTIONS: Final = {"point": "Is this answer acceptable?", "pair": "Which answer is better?"}
WORDS: Final = {
    "point": {"accept": "acceptable", "refuse": "not acceptable", "tie": "cannot tell"},
    "pair": {"a": "A is better", "b": "B is better", "tie": "equally good"},
}
TITLES: Final = {
    "point": {"request": "Request", "a": "Answer", "critique": "Critique"},
    "pair": {"request": "Request", "a": "Answer A", "b": "Answer B", "critique": "Critique of one of them"},
}
CRITIC: Final = "superalign critic"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """How many labels were new, and how many answers nobody needed any more."""

    new: int
    surplus: int = 0


@dataclass(frozen=True, slots=True)
class ImportedAnswer:
    """An answer in a file: where it stands, its item, who gave it and its word; the propensity if the file tells it."""

    where: str
    item_id: object
    annotator: object
    answer: object
    pi: object = None


def export_items(queue: ExpertQueue, path: str | Path, round: int | None = None) -> int:
    """Write the items that still need answers, one JSON object a line; "annotator" and "answer" are to be filled in.

    The answers allowed stand in "answers". Neither the critic's score nor anybody's answer is in the file, of blind
    items not the critique either. It holds harmful text, so only its owner may read it. Returns the number of lines.

    Raises:
        UserError: the file cannot be written.
    """
    rows = [_item_row(item) for item in queue.items(round, unanswered=True)]
    write_private(path, to_jsonl(rows))
    return len(rows)


def export_labels(queue: ExpertQueue, path: str | Path) -> int:
    """Write all standing labels, one JSON object a line (the fields of ExpertLabel); returns the number of lines.

    Raises:
        UserError: the file cannot be written.
    """
    rows = [label.to_row() for label in queue.labels()]
    write_private(path, to_jsonl(rows))
    return len(rows)


def import_answers(queue: ExpertQueue, path: str | Path) -> ImportResult:
    """Read a filled-in export back, wholly or not at all; lines whose "answer" is null or absent are left out.

    The same file twice changes nothing; a corrected answer supersedes the earlier one.

    Raises:
        UserError: the file cannot be read, or a line is not what an export makes of it; names file and line.
    """
    given = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip() and (answer := _answer(line, f"{path} line {number}")):
            given.append(answer)
    return record_answers(queue, given, f"jsonl {path}")


def record_answers(
    queue: ExpertQueue, given: Sequence[ImportedAnswer], source: str, over_collected: bool = False
) -> ImportResult:
    """Put answers from elsewhere on the queue, all or none; `source` goes into its log.

    Of two answers of one annotator to one item the later counts. Where a tool may have `over_collected`, answers to an
    item that has enough are left out and counted.

    Raises:
        UserError: an answer is none to an item of this queue, or it cannot be taken; names where it stands.
    """
    items = {item.id: item for item in queue.items()}
    chosen: dict[tuple[str, str], tuple[str, float]] = {}
    for one in given:
        item, annotator, value = _checked(one, items)
        chosen[item.id, annotator] = (one.where, value)
    needed = _needed(queue, items.values(), chosen) if over_collected else list(chosen)
    try:
        new = queue.record([(*key, chosen[key][1]) for key in needed], source)
    except LabelRefused as error:
        raise UserError(f"{chosen[needed[error.index]][0]}: {error}; nothing was imported") from None
    return ImportResult(new, len(chosen) - len(needed))


def _needed(queue: ExpertQueue, items: Iterable[Item], chosen: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The answers (item, annotator) without those that their item does not need; who has answered it stays."""
    standing = {(answer.item_id, answer.annotator) for answer in queue.answers()}
    room = {item.id: item.need for item in items}
    taken = Counter(item_id for item_id, _ in standing)
    kept = []
    for item_id, annotator in chosen:
        if (item_id, annotator) in standing or taken[item_id] < room[item_id]:
            taken[item_id] += (item_id, annotator) not in standing
            kept.append((item_id, annotator))
    return kept


def _checked(one: ImportedAnswer, items: dict[str, Item]) -> tuple[Item, str, float]:
    if not isinstance(one.item_id, str) or one.item_id not in items:
        raise UserError(f"{one.where}: item_id {one.item_id!r} is not in this queue; nothing was imported")
    if not isinstance(one.annotator, str) or not one.annotator.strip():
        raise UserError(f"{one.where}: an answer needs the name of its annotator; nothing was imported")
    item = items[one.item_id]
    allowed = ANSWERS[item.kind]
    if not isinstance(one.answer, str) or one.answer not in allowed:
        words = ", ".join(allowed)
        raise UserError(f"{one.where}: answer {one.answer!r} should be one of {words}; nothing was imported")
    if one.pi is not None and not (isinstance(one.pi, float | int) and math.isclose(one.pi, item.pi, rel_tol=1e-6)):
        raise UserError(
            f"{one.where}: the propensity of item {item.id} became {one.pi!r}, it was drawn with {item.pi!r} "
            "and that cannot change; nothing was imported"
        )
    return item, one.annotator.strip(), allowed[one.answer]


def suggestion(item: Item) -> tuple[str, float] | None:
    """What the critic says of what is SHOWN, and its probability; None of blind items, and of a critic in two minds."""
    p = item.as_shown(item.p)
    if item.blind or p == 0.5:
        return None
    yes, no, _ = ANSWERS[item.kind]
    return (yes, p) if p > 0.5 else (no, 1 - p)


def critique(item: Item) -> str:
    """The critique as far as it may be seen before answering: none of blind items; of pairs it says of which answer."""
    if item.blind or not item.critique:
        return ""
    return f"About answer {'AB'[item.about - 1]}:\n{item.critique}" if item.about else item.critique


def by_kind(items: Iterable[Item]) -> dict[JudgementKind, list[Item]]:
    """The items apart by kind, without kinds that none is of: tools ask one question of a whole data set."""
    found: dict[JudgementKind, list[Item]] = {"point": [], "pair": []}
    for item in items:
        found[item.kind].append(item)
    return {kind: rows for kind, rows in found.items() if rows}


def to_jsonl(rows: Iterable[dict[str, Any]]) -> str:
    """The rows as JSONL."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def read_text(path: str | Path) -> str:
    """The text of a file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None


def read_list(path: str | Path) -> list[dict[str, Any]]:
    """The objects of a file that is one JSON list of them.

    Raises:
        UserError: it cannot be read or is none.
    """
    try:
        rows = json.loads(read_text(path))
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}; nothing was imported") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} should be a JSON list of objects; nothing was imported")
    return rows


def object_field(row: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    """The object that a field of a row holds; empty if it is absent or null.

    Raises:
        UserError: the field holds something else.
    """
    found = row.get(name) or {}
    if not isinstance(found, dict):
        raise UserError(f"{where}: {name} should be an object; nothing was imported")
    return found


def write_private(path: str | Path, text: str) -> None:
    """Write a file that only its owner may read: it was created closed to others, as the queue itself is.

    Raises:
        UserError: it cannot be written.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error}") from None


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
        "critique": critique(item),
        "answers": list(ANSWERS[item.kind]),
        "annotator": None,
        "answer": None,
    }


def _answer(line: str, where: str) -> ImportedAnswer | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where} is not JSON ({error.msg}); nothing was imported") from None
    if not isinstance(row, dict):
        raise UserError(f"{where} is not a JSON object; nothing was imported")
    if row.get("answer") is None:
        return None
    return ImportedAnswer(where, row.get("item_id"), row.get("annotator"), row["answer"])
