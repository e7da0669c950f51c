"""Items for Argilla 2.x and answers from it: data sets on disk, as its SDK's `to_disk` writes and `from_disk` reads.

    rg.Dataset.from_disk("FOLDER/pair", name="...", workspace="...")    # what an export wrote
    rg.Client.datasets("...").to_disk("DONE")                           # what an import reads

One data set for points and one for pairs, as each asks one question. The critic's verdict is the suggestion.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from superalign.errors import UserError
from superalign.experts.interchange import (
    ANSWERS,
    CRITIC,
    QUESTIONS,
    TITLES,
    WORDS,
    Given,
    Imported,
    by_kind,
    critique,
    part,
    read_list,
    suggestion,
    take,
    write,
)
from superalign.experts.items import Item
from superalign.experts.queue import ExpertQueue
from superalign.records import JudgementKind

QUESTION: Final = "answer"
RECORDS: Final = "records.json"


def export_items(queue: ExpertQueue, folder: str | Path) -> int:
    """Write the items that still need answers as data sets `folder`/point and /pair; returns how many.

    Argilla asks as many annotators of every record as the neediest least: doubles that want more wait for the next
    export. Critique and suggestion are left out of blind items.

    Raises:
        UserError: a file cannot be written.
    """
    answers: dict[str, int] = {}
    for answer in queue.answers():
        answers[answer.item_id] = answers.get(answer.item_id, 0) + 1
    items = queue.items(unanswered=True)
    for kind, rows in by_kind(items).items():
        fewest = min(item.need - answers.get(item.id, 0) for item in rows)
        place = Path(folder) / kind
        settings = _settings(kind, fewest)
        dataset = {name: settings[name] for name in ("guidelines", "allow_extra_metadata", "distribution")}
        write(place / ".argilla" / "dataset.json", json.dumps({"name": f"superalign-{kind}", **dataset}))
        write(place / ".argilla" / "settings.json", json.dumps(settings))
        write(place / RECORDS, json.dumps([_record(item) for item in rows], ensure_ascii=False))
    return len(items)


def import_answers(queue: ExpertQueue, path: str | Path) -> Imported:
    """Take the submitted answers from a data set, or from a folder of data sets, wholly or not at all.

    Drafts and discarded answers are left out. Argilla tells who answered by their user id.

    Raises:
        UserError: a file cannot be read, or a record is none of this queue; names file and record.
    """
    files = [path] if Path(path).is_file() else sorted(Path(path).glob(f"**/{RECORDS}"))
    if not files:
        raise UserError(f"{path}: no {RECORDS} there; give what Dataset.to_disk wrote")
    given = [
        one for file in files for number, row in enumerate(read_list(file), 1) for one in _answers(row, file, number)
    ]
    return take(queue, given, f"argilla {path}", over_collected=True)


def _settings(kind: JudgementKind, submitted: int) -> dict[str, Any]:
    fields = [
        {"name": name, "title": title, "required": name != "critique", "settings": {"type": "text"}}
        for name, title in TITLES[kind].items()
    ]
    options = [{"value": value, "text": WORDS[kind][value], "description": None} for value in ANSWERS[kind]]
    question = {
        "name": QUESTION,
        "title": QUESTIONS[kind],
        "required": True,
        "settings": {"type": "label_selection", "options": options, "visible_options": len(options)},
    }
    return {
        "guidelines": QUESTIONS[kind],
        "allow_extra_metadata": False,
        "distribution": {"strategy": "overlap", "min_submitted": submitted},
        "fields": fields,
        "questions": [question],
        "metadata": [
            _metadata("category", "terms"),
            _metadata("harmful", "terms"),
            _metadata("round", "integer"),
            _metadata("pi", "float", visible=False),
        ],
        "vectors": [],
    }


def _metadata(name: str, type: str, visible: bool = True) -> dict[str, Any]:
    return {"name": name, "title": name, "visible_for_annotators": visible, "settings": {"type": type}}


def _record(item: Item) -> dict[str, Any]:
    a, b = item.shown
    fields = {"request": item.query, "a": a, "b": b, "critique": critique(item)}
    verdict = suggestion(item)
    return {
        "id": item.id,
        "fields": {name: text for name, text in fields.items() if text or name in ("request", "a")},
        "metadata": {
            "category": item.category,
            "harmful": "yes" if item.harmful else "no",
            "round": item.round,
            "pi": item.pi,
        },
        "suggestions": {QUESTION: {"value": verdict[0], "score": verdict[1], "agent": CRITIC}} if verdict else {},
        "responses": {},
        "vectors": {},
    }


def _answers(row: dict[str, Any], file: str | Path, number: int) -> Sequence[Given]:
    where = f"{file} record {number}"
    given = part(row, "responses", where).get(QUESTION) or []
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise UserError(f"{where}: responses.{QUESTION} should be a list of objects; nothing was imported")
    return [
        Given(where, row.get("id"), one.get("user_id"), one.get("value"), part(row, "metadata", where).get("pi"))
        for one in given
        if one.get("status") == "submitted"
    ]
