"""Items for Argilla 2.x and answers from it, as files that its SDK reads and writes.

    dataset = rg.Dataset.from_disk("FOLDER/pair", workspace="...")              # FOLDER is what an export wrote

    records = [r.api_model().model_dump() for r in dataset.records(with_responses=True)]
    json.dump(records, open("pair.json", "w"))                                  # pair.json is what an import reads

(`to_disk` does not tell an answer that was submitted from a draft.) One data set for points and one for pairs, as each
asks questions of its own. The critic's verdict is the suggestion, if the whole is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

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
from superalign.experts.interchange import (
    CRITIC,
    TITLES,
    ImportResult,
    by_kind,
    critique,
    record_answers,
    suggestion,
    write_private,
)
from superalign.experts.items import Item
from superalign.experts.questions import ANSWER, Asked, Questions, asked, unwrapped
from superalign.experts.queue import ExpertQueue
from superalign.records import JudgementKind


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
        questions = asked(kind, queue.questions)
        guidelines = unwrapped(queue.policy.guideline) if queue.questions and queue.policy else ""
        settings = _settings(kind, questions, guidelines or questions[0].text, fewest)
        dataset = {name: settings[name] for name in ("guidelines", "allow_extra_metadata", "distribution")}
        write_private(place / ".argilla" / "dataset.json", json.dumps({"name": f"superalign-{kind}", **dataset}))
        write_private(place / ".argilla" / "settings.json", json.dumps(settings))
        write_private(
            place / "records.json", json.dumps([_record(item, len(questions)) for item in rows], ensure_ascii=False)
        )
    return len(items)


def import_answers(queue: ExpertQueue, path: str | Path) -> ImportResult:
    """Take the submitted answers of a data set's records; drafts and discarded ones are left out, bad ones listed.

    Argilla tells who answered by their user id.

    Raises:
        UserError: the file cannot be read, or all records are bad; names file and record.
    """
    given = answers_in(read_rows(path, "record"), partial(_answers, questions=queue.questions))
    return record_answers(queue, given, f"argilla {path}", over_collected=True)


def _settings(kind: JudgementKind, questions: Sequence[Asked], guidelines: str, submitted: int) -> dict[str, Any]:
    fields = [
        {"name": name, "title": title, "required": name != "critique", "settings": {"type": "text"}}
        for name, title in TITLES[kind].items()
    ]
    return {
        "guidelines": guidelines,
        "allow_extra_metadata": False,
        "distribution": {"strategy": "overlap", "min_submitted": submitted},
        "fields": fields,
        # Of several questions the later ones need an answer as far as they still matter.
        "questions": [_question(one, number == 0) for number, one in enumerate(questions)],
        "metadata": [
            _metadata("category", "terms"),
            _metadata("harmful", "terms"),
            _metadata("round", "integer"),
            _metadata("pi", "float", visible=False),
        ],
        "vectors": [],
    }


def _question(question: Asked, required: bool) -> dict[str, Any]:
    options = [{"value": value, "text": words, "description": None} for value, words in question.answers.items()]
    return {
        "name": question.name,
        "title": question.text,
        "required": required,
        "settings": {"type": "label_selection", "options": options, "visible_options": len(options)},
    }


def _metadata(name: str, type: str, visible: bool = True) -> dict[str, Any]:
    return {"name": name, "title": name, "visible_for_annotators": visible, "settings": {"type": type}}


def _record(item: Item, questions: int) -> dict[str, Any]:
    a, b = item.shown
    fields = {"request": item.query, "a": a, "b": b, "critique": critique(item)}
    verdict = suggestion(item) if questions == 1 else None
    return {
        "id": item.id,
        "fields": {name: text for name, text in fields.items() if text or name in ("request", "a")},
        "metadata": {
            "category": item.category,
            "harmful": "yes" if item.harmful else "no",
            "round": item.round,
            "pi": item.pi,
        },
        "suggestions": {ANSWER: {"value": verdict[0], "score": verdict[1], "agent": CRITIC}} if verdict else {},
        "responses": {},
        "vectors": {},
    }


def _answers(row: dict[str, Any], where: str, questions: Questions | None) -> Iterator[Read]:
    if "responses" not in row and "external_id" not in row:
        raise BadAnswer("is no record: import the JSON list of objects that api_model().model_dump() gives")
    responses, pi = row.get("responses") or [], object_field(row, "metadata").get("pi")
    if not isinstance(responses, list) or not all(isinstance(one, dict) and "status" in one for one in responses):
        raise BadAnswer(
            "the responses do not tell what was submitted; write records as "
            "[r.api_model().model_dump() for r in dataset.records(with_responses=True)]"
        )
    submitted = [one for one in responses if one["status"] == "submitted"]
    if not submitted:
        yield Unanswered(where)
    for number, one in enumerate(submitted, 1):
        place = f"{where}, response {number}" if len(submitted) > 1 else where
        try:
            values = object_field(one, "values")
            columns = {name: questions.column(name) for name in questions.names} if questions else {}
            chosen = object_field(values, ANSWER).get("value")
            said = {name: object_field(values, column).get("value") for name, column in columns.items()}
        except BadAnswer as error:
            yield Refused(place, str(error))
        else:
            yield ImportedAnswer(place, row.get("external_id"), one.get("user_id"), chosen, pi, said)
