"""Items for Label Studio and answers from it: tasks to import with their labelling configuration, and its JSON export.

    FOLDER/pair.xml     the labelling interface of a project (Settings, Labeling Interface, Code)
    FOLDER/pair.json    the tasks to import into it; the critic's verdict is the prediction
    Export, JSON        the file that an import reads

One project for points and one for pairs, as each asks one question.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from superalign.errors import UserError
from superalign.experts.interchange import (
    ANSWERS,
    CRITIC,
    QUESTIONS,
    TITLES,
    WORDS,
    ImportedAnswer,
    ImportResult,
    by_kind,
    critique,
    object_field,
    read_list,
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
    """Take the annotations of a project's JSON export, wholly or not at all; skipped ones are left out.

    Raises:
        UserError: the file cannot be read, or a task is none of this queue; names file and task.
    """
    given = [one for number, task in enumerate(read_list(path), 1) for one in _answers(task, f"{path} task {number}")]
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


def _answers(task: dict[str, Any], where: str) -> Iterator[ImportedAnswer]:
    item_id, pi = object_field(task, "data", where).get("item_id"), object_field(task, "meta", where).get("pi")
    annotations = task.get("annotations") or []
    if not isinstance(annotations, list):
        raise UserError(f"{where}: annotations should be a list; nothing was imported")
    for annotation in annotations:
        if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
            raise UserError(f"{where}: an annotation should be an object with a result; nothing was imported")
        if not annotation.get("was_cancelled"):
            yield ImportedAnswer(where, item_id, _annotator(annotation), _choice(annotation["result"], where), pi)


def _annotator(annotation: dict[str, Any]) -> str:
    """The annotator's e-mail address where the export tells it, else their number in that Label Studio."""
    by = annotation.get("completed_by")
    if isinstance(by, dict):
        by = by.get("email") or by.get("id")
    return f"label-studio {by}" if isinstance(by, int) else str(by or "")


def _choice(result: list[Any], where: str) -> object:
    """The answer chosen; None where there is none."""
    for region in result:
        if isinstance(region, dict) and region.get("from_name") == QUESTION:
            chosen = object_field(region, "value", where).get("choices")
            if isinstance(chosen, list) and len(chosen) == 1:
                return chosen[0]
    return None
