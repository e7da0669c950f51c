"""Items for Label Studio and answers from it: tasks to import with their labelling configuration, and its exports.

    FOLDER/pair.xml     the labelling interface of a project (Settings, Labeling Interface, Code)
    FOLDER/pair.json    the tasks to import into it; the critic's verdict is the prediction
    Export              what an import reads: JSON, or also JSON-MIN, CSV, TSV

One project for points and one for pairs, as each asks one question.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import quoteattr

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
    ANSWERS,
    CRITIC,
    QUESTIONS,
    TITLES,
    WORDS,
    ImportResult,
    by_kind,
    critique,
    record_answers,
    suggestion,
    write_private,
)
from superalign.experts.items import Item
from superalign.experts.queue import ExpertQueue
from superalign.records import JudgementKind

QUESTION: Final = "answer"
SHOWN: Final = "request"


def export_items(queue: ExpertQueue, folder: str | Path) -> int:
    """Write the items that still need answers as `folder`/point.json and /pair.json, with an .xml each.

    Returns how many. Critique and prediction are left out of blind items.

    Raises:
        UserError: a file cannot be written.
    """
    items = queue.items(unanswered=True)
    for kind, rows in by_kind(items).items():
        write_private(Path(folder) / f"{kind}.xml", _configuration(kind))
        tasks = [_task(item) for item in rows]
        write_private(Path(folder) / f"{kind}.json", json.dumps(tasks, ensure_ascii=False, indent=1))
    return len(items)


def import_answers(queue: ExpertQueue, path: str | Path) -> ImportResult:
    """Take the annotations of a project's export: JSON, JSON-MIN, CSV or TSV.

    Skipped ones are left out, bad ones listed. JSON alone tells the propensity, which must be the item's own.

    Raises:
        UserError: the file cannot be read, or all tasks are bad; names file and task.
    """
    given = answers_in(read_rows(path, "task"), _answers)
    return record_answers(queue, given, f"label-studio {path}", over_collected=True)


def _configuration(kind: JudgementKind) -> str:
    # valueType: a text that looks like an address must not be fetched.
    shown = [
        f"  <Header value={quoteattr(title)}/>\n"
        f'  <Text name="{name}" value="${name}" valueType="text" granularity="word"/>\n'
        for name, title in TITLES[kind].items()
    ]
    choices = [
        f'    <Choice value={quoteattr(WORDS[kind][value])} alias="{value}" hotkey="{key}"/>\n'
        for value, key in zip(ANSWERS[kind], "12t", strict=True)
    ]
    question = f'  <Header value={quoteattr(QUESTIONS[kind])}/>\n  <Choices name="{QUESTION}" toName="{SHOWN}" '
    return (
        f'<View>\n{"".join(shown)}{question}choice="single" required="true">\n{"".join(choices)}  </Choices>\n</View>\n'
    )


def _task(item: Item) -> dict[str, Any]:
    a, b = item.shown
    data = {"item_id": item.id, "request": item.query, "a": a, "b": b, "critique": critique(item)}
    if item.kind == "point":
        del data["b"]
    verdict = suggestion(item)
    predictions = []
    if verdict:
        chosen = {"from_name": QUESTION, "to_name": SHOWN, "type": "choices", "value": {"choices": [verdict[0]]}}
        predictions.append({"model_version": CRITIC, "score": verdict[1], "result": [{"id": item.id, **chosen}]})
    meta = {"round": item.round, "category": item.category, "harmful": item.harmful, "pi": item.pi}
    return {"data": data, "meta": meta, "predictions": predictions}


def _answers(task: dict[str, Any], where: str) -> Iterator[Read]:
    if "annotations" not in task and "item_id" in task:
        yield _flat(task, where)
        return
    if "annotations" not in task and "data" not in task:
        raise BadAnswer(f"has neither annotations nor item_id (but {', '.join(map(str, task))[:80]}): it is no task")
    item_id, pi = object_field(task, "data").get("item_id"), object_field(task, "meta").get("pi")
    annotations = task.get("annotations") or []
    if not isinstance(annotations, list):
        raise BadAnswer("annotations should be a list")
    if not annotations:
        yield Unanswered(where)
    for number, annotation in enumerate(annotations, 1):
        place = f"{where}, annotation {number}" if len(annotations) > 1 else where
        if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
            yield Refused(place, "an annotation should be an object with a result")
        elif annotation.get("was_cancelled"):
            yield Unanswered(place)
        else:
            try:
                chosen = _choice(annotation["result"])
            except BadAnswer as error:
                yield Refused(place, str(error))
            else:
                yield ImportedAnswer(place, item_id, _annotator(annotation.get("completed_by")), chosen, pi)


def _flat(row: dict[str, Any], where: str) -> Read:
    """An annotation as JSON-MIN, CSV and TSV have it: the columns of its task, the answer, who gave it."""
    answer = row.get(QUESTION)
    if isinstance(answer, dict):
        answer = answer.get("choices")
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if answer in (None, "", []):
        return Unanswered(where)
    return ImportedAnswer(where, row["item_id"], _annotator(row.get("annotator")), answer)


def _annotator(by: object) -> str:
    """The annotator's e-mail address where the export tells it, else their number in that Label Studio."""
    if isinstance(by, dict):
        by = by.get("email") or by.get("id")
    if isinstance(by, int) or (isinstance(by, str) and by.strip().isdecimal()):
        return f"label-studio {int(by)}"
    return str(by or "")


def _choice(result: list[Any]) -> object:
    """The answer chosen; None where there is none."""
    for region in result:
        if isinstance(region, dict) and region.get("from_name") == QUESTION:
            chosen = object_field(region, "value").get("choices")
            if isinstance(chosen, list) and len(chosen) == 1:
                return chosen[0]
    return None
