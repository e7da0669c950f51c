"""Items and answers as JSONL, and what every other format shares with it: files of one's own, what an import takes."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from superalign.errors import UserError
from superalign.experts.answer_files import (
    BadAnswer,
    ImportedAnswer,
    Read,
    Refused,
    Unanswered,
    answers_in,
    object_field,
    read_rows,
)
from superalign.experts.items import Item, LabelRefused
from superalign.experts.questions import Questions
from superalign.experts.queue import ExpertQueue, Given
from superalign.records import JudgementKind

ANSWERS: Final = {"point": {"accept": 1.0, "refuse": 0.0, "tie": 0.5}, "pair": {"a": 1.0, "b": 0.0, "tie": 0.5}}
TITLES: Final = {
    "point": {"request": "Request", "a": "Answer", "critique": "Critique"},
    "pair": {"request": "Request", "a": "Answer A", "b": "Answer B", "critique": "Critique of one of them"},
}
CRITIC: Final = "superalign critic"
OWN_FIELDS: Final = frozenset({"item_id", "round", "kind", "category", "query", "a", "b", "critique", "annotator"})
"""Of an exported row what no column of answers is."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of the answers in a file.

    Attributes:
        new: labels that were not there before.
        surplus: answers that nobody needed any more.
        known: answers that are there already.
        unanswered: items that the file has without an answer.
        refused: what could not be taken, by place, with the reason.
    """

    new: int
    surplus: int = 0
    known: int = field(default=0, compare=False)
    unanswered: int = field(default=0, compare=False)
    refused: tuple[str, ...] = field(default=(), compare=False)

    @property
    def nothing(self) -> str | None:
        """Why the file told nothing, in words; None if it told something."""
        if self.new or self.surplus or self.known:
            return None
        return f"none of its {self.unanswered} items is answered" if self.unanswered else "it holds no rows"


def export_items(queue: ExpertQueue, path: str | Path, round: int | None = None) -> int:
    """Write the items that still need answers, one JSON object a line; "annotator" and "answer" are to be filled in.

    The answers allowed stand in "answers". By a policy of several dimensions "dimensions" is to be filled in instead,
    in words of "questions" and as far as they matter. Neither the critic's score nor anybody's answer is in the file,
    of blind items not the critique either. It holds harmful text, so only its owner may read it. Returns the number of
    lines.

    Raises:
        UserError: the file cannot be written.
    """
    rows = [_item_row(item, queue.questions) for item in queue.items(round, unanswered=True)]
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
    """Read a filled-in export back; lines without any answer are left out.

    The same file twice changes nothing; a corrected answer supersedes the earlier one. JSON Lines, a JSON list of the
    same objects, and a table (CSV, TSV) with columns item_id, annotator and answer, or one a dimension, are read.

    Raises:
        UserError: the file cannot be read, or all of its lines are bad; names file and line.
    """
    read = partial(_answers, questions=queue.questions)
    return record_answers(queue, answers_in(read_rows(path, "row"), read), f"jsonl {path}")


def record_answers(
    queue: ExpertQueue, given: Sequence[Read], source: str, over_collected: bool = False
) -> ImportResult:
    """Put answers from elsewhere on the queue; `source` goes into its log. What is bad is left out and listed.

    Of two answers of one annotator to one item the later counts. Where a tool may have `over_collected`, answers to an
    item that has enough are left out and counted.

    Raises:
        UserError: there are bad answers and no good one; names where the first stands.
    """
    items = {item.id: item for item in queue.items()}
    chosen: dict[tuple[str, str], tuple[str, float, Mapping[str, float]]] = {}
    refused = [one for one in given if isinstance(one, Refused)]
    for one in given:
        if isinstance(one, ImportedAnswer):
            try:
                item, annotator, value, dimensions = _checked(one, items, queue.questions)
            except BadAnswer as error:
                refused.append(Refused(one.where, str(error)))
            else:
                chosen[item.id, annotator] = (one.where, value, dimensions)
    needed = _needed(queue, items.values(), chosen) if over_collected else list(chosen)
    answers = [(*key, *chosen[key][1:]) for key in needed]
    new, failed = _recorded(queue, answers, source)
    refused += [Refused(chosen[needed[index]][0], why) for index, why in failed]
    if refused and len(refused) == sum(not isinstance(one, Unanswered) for one in given):
        others = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise UserError(f"{refused[0]}{others}; nothing was imported")
    places = {one.where: number for number, one in enumerate(given)}
    return ImportResult(
        new,
        surplus=len(chosen) - len(needed),
        known=len(needed) - new - len(failed),
        unanswered=sum(isinstance(one, Unanswered) for one in given),
        refused=tuple(map(str, sorted(refused, key=lambda one: places.get(one.where, 0)))),
    )


def _recorded(queue: ExpertQueue, answers: Sequence[Given], source: str) -> tuple[int, list[tuple[int, str]]]:
    """How many answers were new, and which the queue refused, with its reasons."""
    new, at, failed = 0, 0, list[tuple[int, str]]()
    while at < len(answers):
        end = len(answers)
        try:
            new += queue.record(answers[at:], source)
        except LabelRefused as error:
            end = at + error.index
            failed.append((end, str(error)))
            new += queue.record(answers[at:end], source)
        at = end + 1
    return new, failed


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


def _checked(
    one: ImportedAnswer, items: dict[str, Item], questions: Questions | None
) -> tuple[Item, str, float, dict[str, float]]:
    if not isinstance(one.item_id, str) or one.item_id not in items:
        raise BadAnswer(f"item_id {one.item_id!r} is not in this queue")
    if not isinstance(one.annotator, str) or not one.annotator.strip():
        raise BadAnswer("an answer needs the name of its annotator")
    item = items[one.item_id]
    value, dimensions = _verdict(one, item, questions)
    if one.pi is not None and not (isinstance(one.pi, float | int) and math.isclose(one.pi, item.pi, rel_tol=1e-6)):
        raise BadAnswer(
            f"the propensity of item {item.id} became {one.pi!r}, it was drawn with {item.pi!r} and that cannot change"
        )
    return item, one.annotator.strip(), value, dimensions


def _verdict(one: ImportedAnswer, item: Item, questions: Questions | None) -> tuple[float, dict[str, float]]:
    """The value about what was shown, and the answers by dimension that it is composed of, if it is."""
    dimensions, allowed = dict[str, float](), ANSWERS[item.kind]
    if item.kind == "point" and questions is not None:
        try:
            dimensions = questions.read(one.dimensions)
        except ValueError as error:
            raise BadAnswer(str(error)) from None
        if one.answer in (None, ""):
            if (open_ := questions.next(dimensions)) is not None:
                raise BadAnswer(f"lacks the answer to {open_!r}: {questions.policy.dimensions[open_].question}")
            return questions.verdict(dimensions), dimensions
    if not isinstance(one.answer, str) or one.answer.strip() not in allowed:
        raise BadAnswer(f"answer {one.answer!r} should be one of {', '.join(allowed)}")
    value = allowed[one.answer.strip()]
    if dimensions and questions and (fault := questions.fault(dimensions, value)):
        raise BadAnswer(fault)
    return value, dimensions


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


def _item_row(item: Item, questions: Questions | None) -> dict[str, Any]:
    a, b = item.shown
    row = {
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
    if questions is not None and item.kind == "point":
        words = {name: list(questions.words(name).values()) for name in questions.names}
        texts = {name: questions.policy.dimensions[name].question for name in questions.names}
        row["questions"] = {name: {"question": texts[name], "answers": words[name]} for name in questions.names}
        row["dimensions"] = dict.fromkeys(questions.names)
    return row


def _answers(row: dict[str, Any], where: str, questions: Questions | None) -> Iterator[Read]:
    if "annotations" in row or "annotation_id" in row:
        raise BadAnswer("is of Label Studio: import it with --format label-studio")
    if "responses" in row:
        raise BadAnswer("is of Argilla: import it with --format argilla")
    if "item_id" not in row:
        raise BadAnswer(f"has no item_id (but {', '.join(map(str, row))[:80]}): it is no line of an export")
    said = object_field(row, "dimensions")
    if questions is not None:
        said = {name: row[name] for name in questions.names if name in row and name not in OWN_FIELDS} | said
    if row.get("answer") in (None, "") and all(word in (None, "") for word in said.values()):
        yield Unanswered(where)
    else:
        yield ImportedAnswer(where, row["item_id"], row.get("annotator"), row.get("answer"), dimensions=said)
