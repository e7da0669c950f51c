"""Items for Label Studio and answers from it: tasks to import with their labelling configuration, and its exports.

    FOLDER/pair.xml     the labelling interface of a project (Settings, Labeling Interface, Code)
    FOLDER/pair.json    the tasks to import into it; the critic's verdict is the prediction
    Export              what an import reads: JSON, or also JSON-MIN, CSV, TSV

One project for points and one for pairs, as each asks questions of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
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
from superalign.experts.questions import ANSWER, Asked, Questions, asked
from superalign.experts.queue import ExpertQueue
from superalign.records import JudgementKind

SHOWN: Final = "request"


def export_items(queue: ExpertQueue, folder: str | Path) -> int:
    """Write the items that still need answers as `folder`/point.json and /pair.json, with an .xml each.

    Returns how many. Critique and prediction are left out of blind items, the prediction where there are several
    questions, too: the critic's verdict is on the whole.

    Raises:
        UserError: a file cannot be written.
    """
    items = queue.items(unanswered=True)
    for kind, rows in by_kind(items).items():
        write_private(Path(folder) / f"{kind}.xml", _configuration(kind, asked(kind, queue.questions)))
        tasks = [_task(item, asked(kind, queue.questions)) for item in rows]
        write_private(Path(folder) / f"{kind}.json", json.dumps(tasks, ensure_ascii=False, indent=1))
    return len(items)


def import_answers(queue: ExpertQueue, path: str | Path) -> ImportResult:
    """Take the annotations of a project's export: JSON, JSON-MIN, CSV or TSV.

    Skipped ones are left out, bad ones listed. JSON alone tells the propensity, which must be the item's own.

    Raises:
        UserError: the file cannot be read, or all tasks are bad; names file and task.
    """
    given = answers_in(read_rows(path, "task"), partial(_answers, questions=queue.questions))
    return record_answers(queue, given, f"label-studio {path}", over_collected=True)


def _configuration(kind: JudgementKind, questions: Sequence[Asked]) -> str:
    # valueType: a text that looks like an address must not be fetched.
    shown = [
        f"  <Header value={quoteattr(title)}/>\n"
        f'  <Text name="{name}" value="${name}" valueType="text" granularity="word"/>\n'
        for name, title in TITLES[kind].items()
    ]
    return f"<View>\n{''.join(shown)}{''.join(_choices(one, len(questions) == 1) for one in questions)}</View>\n"


def _choices(question: Asked, alone: bool) -> str:
    """A question of the interface; of several some need no answer, and no key can be shared."""
    choices = [
        f'    <Choice value={quoteattr(words)} alias="{value}"{f" hotkey={quoteattr(key)}" if alone else ""}/>\n'
        for (value, words), key in zip(question.answers.items(), "12t", strict=True)
    ]
    needed = "true" if alone else "false"
    return (
        f'  <Header value={quoteattr(question.text)}/>\n  <Choices name="{question.name}" toName="{SHOWN}" '
        f'choice="single" required="{needed}">\n{"".join(choices)}  </Choices>\n'
    )


def _task(item: Item, questions: Sequence[Asked]) -> dict[str, Any]:
    a, b = item.shown
    data = {"item_id": item.id, "request": item.query, "a": a, "b": b, "critique": critique(item)}
    if item.kind == "point":
        del data["b"]
    verdict = suggestion(item)
    predictions = []
    if verdict and len(questions) == 1:
        chosen = {"from_name": ANSWER, "to_name": SHOWN, "type": "choices", "value": {"choices": [verdict[0]]}}
        predictions.append({"model_version": CRITIC, "score": verdict[1], "result": [{"id": item.id, **chosen}]})
    meta = {"round": item.round, "category": item.category, "harmful": item.harmful, "pi": item.pi}
    return {"data": data, "meta": meta, "predictions": predictions}


def _answers(task: dict[str, Any], where: str, questions: Questions | None) -> Iterator[Read]:
    names = {ANSWER: ANSWER} | ({questions.column(name): name for name in questions.names} if questions else {})
    if "annotations" not in task and "item_id" in task:
        yield _flat(task, where, names)
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
                said = _choice(annotation["result"], names)
            except BadAnswer as error:
                yield Refused(place, str(error))
            else:
                chosen = said.pop(ANSWER, None)
                yield ImportedAnswer(place, item_id, _annotator(annotation.get("completed_by")), chosen, pi, said)


def _flat(row: dict[str, Any], where: str, names: Mapping[str, str]) -> Read:
    """An annotation as JSON-MIN, CSV and TSV have it: the columns of its task, the answers, who gave them."""
    said = {
        name: answer for column, name in names.items() if (answer := _chosen(row.get(column))) not in (None, "", [])
    }
    if not said:
        return Unanswered(where)
    whole = said.pop(ANSWER, None)
    return ImportedAnswer(where, row["item_id"], _annotator(row.get("annotator")), whole, dimensions=said)


def _chosen(answer: Any) -> Any:
    """What was chosen, out of the objects and lists that it comes in."""
    if isinstance(answer, dict):
        answer = answer.get("choices")
    return answer[0] if isinstance(answer, list) and len(answer) == 1 else answer


def _annotator(by: object) -> str:
    """The annotator's e-mail address where the export tells it, else their number in that Label Studio."""
    if isinstance(by, dict):
        by = by.get("email") or by.get("id")
    if isinstance(by, int) or (isinstance(by, str) and by.strip().isdecimal()):
        return f"label-studio {int(by)}"
    return str(by or "")


def _choice(result: list[Any], names: Mapping[str, str]) -> dict[str, object]:
    """The answers chosen, by question."""
    found: dict[str, object] = {}
    for region in result:
        name = names.get(str(region.get("from_name"))) if isinstance(region, dict) else None
        if name is not None:
            chosen = object_field(region, "value").get("choices")
            if isinstance(chosen, list) and len(chosen) == 1:
                found.setdefault(name, chosen[0])
    return found
