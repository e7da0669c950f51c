"""Label Studio: tasks with predictions, a configuration, and its JSON export; its SDK checks them where installed."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from superalign.errors import UserError
from superalign.experts.interchange import ImportResult
from superalign.experts.label_studio import export_items, import_answers
from superalign.experts.queue import ExpertQueue
from tests.experts.test_queue import item, pair

with_sdk = pytest.mark.skipif(
    not importlib.util.find_spec("label_studio_sdk"), reason="needs label-studio-sdk, which is not installed"
)


@pytest.fixture
def queue(tmp_path: Path) -> ExpertQueue:
    queue = ExpertQueue(tmp_path / "q.sqlite")
    items = [item(1, p=0.9), item(2, double=True), replace(pair(3), p=0.2), replace(pair(4), blind=True, p=0.9)]
    queue.push(items, 1, 5)
    return queue


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def annotation(by: object, word: str, **more: Any) -> dict[str, Any]:
    """An annotation as Label Studio's JSON export has it."""
    chosen = {"from_name": "answer", "to_name": "request", "type": "choices", "value": {"choices": [word]}}
    return {"id": 7, "completed_by": by, "was_cancelled": False, "lead_time": 4.2, "result": [chosen], **more}


def answered(folder: Path, kind: str, *given: tuple[int, dict[str, Any]]) -> Path:
    """The tasks of an export with annotations, as the project's own export has them."""
    tasks = [{**task, "id": number, "annotations": []} for number, task in enumerate(load(folder / f"{kind}.json"))]
    for number, one in given:
        tasks[number]["annotations"].append(one)
    path = folder / f"{kind}-done.json"
    path.write_text(json.dumps(tasks))
    return path


def test_a_task_carries_the_texts_as_shown_the_verdict_as_a_prediction_and_the_propensity(
    queue: ExpertQueue, tmp_path: Path
) -> None:
    assert export_items(queue, tmp_path) == 4
    first, second = load(tmp_path / "point.json")
    texts = {"item_id": "item001", "request": "question 1", "a": "answer 1", "critique": "looks fine"}
    assert first["data"] == texts
    assert first["meta"] == {"round": 1, "category": "gardening", "harmful": False, "pi": 0.25}
    (prediction,) = first["predictions"]
    assert (prediction["score"], prediction["result"][0]["value"]) == (0.9, {"choices": ["accept"]})
    assert second["predictions"] == [], "a critic in two minds predicts nothing"
    shown, blind = load(tmp_path / "pair.json")
    better = "b" if shown["data"]["a"] == "answer 3" else "a"
    assert shown["predictions"][0]["result"][0]["value"] == {"choices": [better]}
    about = "A" if shown["data"]["a"] == "answer 3" else "B"
    assert shown["data"]["critique"] == f"About answer {about}:\nlooks fine"
    assert (blind["predictions"], blind["data"]["critique"]) == ([], "")


def test_files_are_private_and_hold_nothing_else(queue: ExpertQueue, tmp_path: Path) -> None:
    export_items(queue, tmp_path / "out")
    files = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in files] == ["pair.json", "pair.xml", "point.json", "point.xml"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    assert not any(word in path.read_text() for path in files for word in ("gold", "lane", "double"))


@pytest.mark.parametrize("kind", ["point", "pair"])
def test_the_configuration_shows_every_text_as_text_and_asks_one_question(
    queue: ExpertQueue, tmp_path: Path, kind: str
) -> None:
    export_items(queue, tmp_path)
    view = ElementTree.parse(tmp_path / f"{kind}.xml").getroot()
    shown = {tag.get("value"): tag for tag in view.iter("Text")}
    assert set(shown) == {f"${name}" for name in load(tmp_path / f"{kind}.json")[0]["data"] if name != "item_id"}
    assert all(tag.get("valueType") == "text" for tag in shown.values()), "an address in a text is not fetched"
    (question,) = view.iter("Choices")
    assert question.get("toName") in {tag.get("name") for tag in shown.values()}
    answers = {"point": ["accept", "refuse", "tie"], "pair": ["a", "b", "tie"]}
    assert [choice.get("alias") for choice in question] == answers[kind]


def test_annotations_come_back_about_first_and_second_and_only_once(queue: ExpertQueue, tmp_path: Path) -> None:
    export_items(queue, tmp_path)
    first_is = "a" if load(tmp_path / "pair.json")[0]["data"]["a"] == "answer 3" else "b"
    skipped = annotation(5, "b", was_cancelled=True)
    points = answered(tmp_path, "point", (0, annotation({"id": 4, "email": "ann@x.org"}, "refuse")))
    pairs = answered(tmp_path, "pair", (0, annotation(4, first_is)), (1, skipped))
    assert [import_answers(queue, path).new for path in (points, pairs, points, pairs)] == [1, 1, 0, 0]
    found = {a.item_id: (a.annotator, a.value, a.item.pi) for a in queue.answers()}
    assert found == {"item001": ("ann@x.org", 0.0, 0.25), "item003": ("label-studio 4", 1.0, 0.25)}
    assert {e.detail for e in queue.audit() if e.action == "record"} == {f"label-studio {p}" for p in (points, pairs)}


def test_annotations_beyond_what_an_item_needs_are_left_out(queue: ExpertQueue, tmp_path: Path) -> None:
    export_items(queue, tmp_path)
    given = [(0, annotation(by, "accept")) for by in (1, 2, 3)]
    assert import_answers(queue, answered(tmp_path, "point", *given)) == ImportResult(1, surplus=2)
    assert import_answers(queue, answered(tmp_path, "point", *given[::-1])) == ImportResult(0, surplus=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"item_id": "nobody"}}, "'nobody' is not in this queue"),
        ({"data": None}, "None is not in this queue"),
        ({"meta": {"pi": 0.5}}, "the propensity of item item001 became 0.5"),
        ({"annotations": {"a": 1}}, "annotations should be a list"),
        ({"annotations": [1]}, "an annotation should be an object"),
        ({"annotations": [annotation(1, "yes")]}, "one of accept, refuse, tie"),
        ({"annotations": [annotation(1, "accept", result=[])]}, "answer None should be"),
        ({"annotations": [annotation(None, "accept")]}, "name of its annotator"),
    ],
)
def test_of_a_wrong_task_among_good_ones_the_others_are_taken_and_it_is_named(
    queue: ExpertQueue, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    export_items(queue, tmp_path)
    path = answered(tmp_path, "point", (0, annotation(1, "accept")), (1, annotation(1, "accept")))
    first, second = load(path)
    path.write_text(json.dumps([second, first | change]))
    found = import_answers(queue, path)
    assert found.new == 1 and [answer.item_id for answer in queue.answers()] == ["item002"]
    (refused,) = found.refused
    assert f"{path} task 2" in refused and message in refused
    path.write_text(json.dumps([first | change]))
    with pytest.raises(UserError, match="nothing was imported"):
        import_answers(queue, path)


@with_sdk
@pytest.mark.parametrize("kind", ["point", "pair"])
def test_the_sdk_finds_configuration_tasks_predictions_and_annotations_valid(
    queue: ExpertQueue, tmp_path: Path, kind: str
) -> None:
    from label_studio_sdk.label_interface import LabelInterface
    from label_studio_sdk.label_interface.objects import AnnotationValue, PredictionValue

    export_items(queue, tmp_path)
    interface = LabelInterface((tmp_path / f"{kind}.xml").read_text())
    interface.validate()
    tasks = load(tmp_path / f"{kind}.json")
    for task in tasks:
        assert interface.validate_task({"data": task["data"]})
        for prediction in task["predictions"]:
            assert interface.validate_prediction(prediction, return_errors=True) == []
            PredictionValue(**prediction)
    (control,) = interface.controls
    regions = interface.create_regions({"answer": "tie"})
    by_the_sdk = AnnotationValue(completed_by=9, result=regions, was_cancelled=False).model_dump()
    assert interface.validate_annotation(by_the_sdk)
    assert control.labels == ["accept", "refuse", "tie"] if kind == "point" else ["a", "b", "tie"]
    path = answered(tmp_path, kind, *((number, by_the_sdk) for number in range(len(tasks))))
    assert import_answers(queue, path) == ImportResult(2)
    assert {(a.annotator, a.value) for a in queue.answers()} == {("label-studio 9", 0.5)}
