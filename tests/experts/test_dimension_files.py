"""Files of several questions for experts who work elsewhere: what they hold, and that their answers come back."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from superalign.errors import UserError
from superalign.experts import argilla, interchange, label_studio, trl_rows
from superalign.experts.interchange import ImportResult
from superalign.experts.questions import unwrapped
from superalign.experts.queue import ExpertQueue
from superalign.records import by_dimension
from tests.experts.policies import shipped
from tests.experts.test_queue import item, pair

SAID = {"harmful": "harmless", "complies": "complies", "sound": "of no use"}
FOUND = {"harmful": 0.0, "complies": 1.0, "sound": 0.0}  # by conf/policy/safety.yaml not acceptable


@pytest.fixture
def queue(tmp_path: Path) -> ExpertQueue:
    queue = ExpertQueue(tmp_path / "q.sqlite", policy=shipped())
    queue.push([item(1, p=0.9), pair(2)], 1, 5)
    return queue


def kept(queue: ExpertQueue) -> tuple[float, dict[str, float]]:
    (label,) = queue.labels()
    return label.value, by_dimension(label.dimensions)


def rows_of(queue: ExpertQueue, folder: Path, **filled: Any) -> list[dict[str, Any]]:
    interchange.export_items(queue, folder / "items.jsonl")
    first, *others = map(json.loads, (folder / "items.jsonl").read_text().splitlines())
    return [first | filled, *others]


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "done.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_lines_ask_every_question_with_its_words_and_come_back(queue: ExpertQueue, tmp_path: Path) -> None:
    point, second = rows_of(queue, tmp_path)
    assert point["dimensions"] == dict.fromkeys(SAID) and "dimensions" not in second
    assert point["questions"]["harmful"]["answers"] == ["harmful", "harmless", "cannot say"]
    path = written(tmp_path, rows_of(queue, tmp_path, annotator="ann", dimensions=SAID))
    assert interchange.import_answers(queue, path) == ImportResult(1)
    assert kept(queue) == (0.0, FOUND)


@pytest.mark.parametrize(
    ("filled", "message"),
    [
        ({"dimensions": {"harmful": "harmless"}}, "lacks the answer to 'complies': Does the answer give what is asked"),
        ({"dimensions": {"harmful": "rather"}}, "'rather' to 'harmful' should be one of harmful, harmless"),
        ({"dimensions": SAID, "answer": "accept"}, "the answers make the verdict 0, not 1"),
        ({"dimensions": "harmful"}, "dimensions should be an object"),
    ],
)
def test_answers_that_do_not_make_a_verdict_are_refused_by_name(
    queue: ExpertQueue, tmp_path: Path, filled: dict[str, Any], message: str
) -> None:
    path = written(tmp_path, rows_of(queue, tmp_path, annotator="ann", **filled))
    with pytest.raises(UserError, match=message):
        interchange.import_answers(queue, path)
    assert queue.labels() == []


def test_an_answer_on_the_whole_alone_still_counts(queue: ExpertQueue, tmp_path: Path) -> None:
    path = written(tmp_path, rows_of(queue, tmp_path, annotator="ann", answer="accept"))
    interchange.import_answers(queue, path)
    assert kept(queue) == (1.0, {})


def test_a_table_has_a_column_for_every_question(queue: ExpertQueue, tmp_path: Path) -> None:
    with (tmp_path / "done.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["item_id", "annotator", *SAID])
        table.writeheader()
        table.writerow({"item_id": "item001", "annotator": "ann", **SAID})
    assert interchange.import_answers(queue, tmp_path / "done.csv") == ImportResult(1)
    assert kept(queue) == (0.0, FOUND)


def test_label_studio_shows_one_choice_for_every_question(queue: ExpertQueue, tmp_path: Path) -> None:
    label_studio.export_items(queue, tmp_path)
    view = ElementTree.fromstring((tmp_path / "point.xml").read_text())
    found = {one.attrib["name"]: [c.attrib["alias"] for c in one] for one in view.iter("Choices")}
    assert found == {f"is_{name}": ["yes", "no", "tie"] for name in SAID}
    (task,) = json.loads((tmp_path / "point.json").read_text())
    assert task["predictions"] == [], "the critic's verdict is on the whole"


@pytest.mark.parametrize("flat", [False, True])
def test_label_studios_answers_come_back(queue: ExpertQueue, tmp_path: Path, flat: bool) -> None:
    said = {"is_harmful": "no", "is_complies": "yes", "is_sound": "no"}
    if flat:
        row: dict[str, Any] = {"item_id": "item001", "annotator": "ann@example.org", **said}
    else:
        result = [{"from_name": name, "value": {"choices": [word]}} for name, word in said.items()]
        row = {"data": {"item_id": "item001"}, "annotations": [{"completed_by": 3, "result": result}]}
    (tmp_path / "done.json").write_text(json.dumps([row]))
    assert label_studio.import_answers(queue, tmp_path / "done.json") == ImportResult(1)
    assert kept(queue) == (0.0, FOUND)


def test_argilla_asks_every_question_and_shows_the_guideline(queue: ExpertQueue, tmp_path: Path) -> None:
    argilla.export_items(queue, tmp_path)
    settings = json.loads((tmp_path / "point/.argilla/settings.json").read_text())
    assert [(one["name"], one["required"]) for one in settings["questions"]] == [
        ("is_harmful", True),
        ("is_complies", False),
        ("is_sound", False),
    ]
    assert settings["guidelines"] == unwrapped(shipped().guideline)
    pairs = json.loads((tmp_path / "pair/.argilla/settings.json").read_text())
    assert [one["name"] for one in pairs["questions"]] == ["answer"]


def test_argillas_answers_come_back(queue: ExpertQueue, tmp_path: Path) -> None:
    values = {"is_harmful": {"value": "yes"}, "is_complies": {"value": "no"}}
    row = {"external_id": "item001", "responses": [{"user_id": "u", "status": "submitted", "values": values}]}
    (tmp_path / "done.json").write_text(json.dumps([row]))
    assert argilla.import_answers(queue, tmp_path / "done.json") == ImportResult(1)
    assert kept(queue) == (1.0, {"harmful": 1.0, "complies": 0.0})


def test_rows_for_trl_tell_the_mean_of_every_dimension(tmp_path: Path) -> None:
    queue = ExpertQueue(tmp_path / "q.sqlite", policy=shipped())
    queue.push([item(1, votes=3)], 1, 5)
    helped, useless = {"harmful": 0.0, "complies": 1.0, "sound": 1.0}, FOUND
    queue.record([("item001", who, 1.0, helped) for who in ("ann", "bob")])
    queue.record([("item001", "cat", 0.0, useless)])
    trl_rows.export_labels(queue, tmp_path / "trl")
    row = json.loads((tmp_path / "trl/point.jsonl").read_text())
    assert row["label"] is True
    assert {each["name"]: each["p"] for each in row["dimensions"]} == {
        "harmful": 0.0,
        "complies": 1.0,
        "sound": pytest.approx(2 / 3),
    }


@pytest.mark.parametrize("write", [interchange.export_items, argilla.export_items, label_studio.export_items])
def test_a_queue_of_one_question_writes_what_it_always_wrote(
    write: Callable[[ExpertQueue, Path], int], tmp_path: Path
) -> None:
    for name, policy in (("plain", None), ("single", shipped("acceptable"))):
        queue = ExpertQueue(tmp_path / f"{name}.sqlite", policy=policy)
        queue.push([item(1, p=0.9)], 1, 5)
        write(queue, tmp_path / name)
    files = [sorted(p for p in (tmp_path / n).rglob("*") if p.is_file()) or [tmp_path / n] for n in ("plain", "single")]
    assert [p.read_text() for p in files[0]] == [p.read_text() for p in files[1]]
