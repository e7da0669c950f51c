"""Argilla: data sets on disk. Where its SDK is installed it reads them, logs them to a server, and writes them back."""

from __future__ import annotations

import importlib.util
import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from superalign.errors import UserError
from superalign.experts.argilla import export_items, import_answers
from superalign.experts.interchange import ImportResult
from superalign.experts.queue import ExpertQueue
from tests.experts.test_queue import answer, item, pair

with_sdk = pytest.mark.skipif(not importlib.util.find_spec("argilla"), reason="needs argilla, which is not installed")
NEW = {"inserted_at": "2026-01-01T00:00:00", "updated_at": "2026-01-01T00:00:00"}
ANN, BOB, CAT = (str(uuid.UUID(int=number)) for number in (1, 2, 3))


@pytest.fixture
def queue(tmp_path: Path) -> ExpertQueue:
    queue = ExpertQueue(tmp_path / "q.sqlite")
    items = [item(1, p=0.9), item(2, double=True), replace(pair(3), p=0.2), replace(pair(4), blind=True, p=0.9)]
    queue.push(items, 1, 5)
    return queue


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def response(who: str, value: str, status: str = "submitted") -> dict[str, Any]:
    return {"values": {"answer": {"value": value}}, "user_id": who, "status": status}


def answered(folder: Path, kind: str, *given: tuple[int, dict[str, Any]]) -> Path:
    """The numbered records of an export with answers, as the SDK's models of records have them."""
    rows = [
        {"id": str(uuid.uuid4()), "external_id": row["id"], "metadata": row["metadata"], "responses": []}
        for row in load(folder / kind / "records.json")
    ]
    for number, one in given:
        rows[number]["responses"].append(one)
    path = folder.parent / f"{kind}.json"
    path.write_text(json.dumps(rows))
    return path


def test_records_carry_the_texts_as_shown_the_verdict_as_a_suggestion_and_the_propensity(
    queue: ExpertQueue, tmp_path: Path
) -> None:
    assert export_items(queue, tmp_path / "out") == 4
    first, second = load(tmp_path / "out/point/records.json")
    assert first["id"] == "item001"
    assert first["fields"] == {"request": "question 1", "a": "answer 1", "critique": "looks fine"}
    assert first["metadata"] == {"category": "gardening", "harmful": "no", "round": 1, "pi": 0.25}
    assert first["suggestions"] == {"answer": {"value": "accept", "score": 0.9, "agent": "superalign critic"}}
    assert second["suggestions"] == {}, "a critic in two minds suggests nothing"
    shown, blind = load(tmp_path / "out/pair/records.json")
    a_is_first = shown["fields"]["a"] == "answer 3"
    assert shown["suggestions"]["answer"]["value"] == ("b" if a_is_first else "a")
    assert shown["fields"]["critique"] == f"About answer {'A' if a_is_first else 'B'}:\nlooks fine"
    assert (blind["suggestions"], "critique" in blind["fields"]) == ({}, False)


def test_files_are_private_and_hold_no_answer(queue: ExpertQueue, tmp_path: Path) -> None:
    answer(queue, "ann")
    export_items(queue, tmp_path / "out")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) == 6
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    assert "item001" not in (tmp_path / "out/point/records.json").read_text()
    assert not any(word in path.read_text() for path in files for word in ('"gold"', '"lane"', '"double"'))


def test_as_many_answers_are_asked_as_the_neediest_least_wants(queue: ExpertQueue, tmp_path: Path) -> None:
    export_items(queue, tmp_path / "out")
    settings = load(tmp_path / "out/point/.argilla/settings.json")
    assert settings["distribution"] == {"strategy": "overlap", "min_submitted": 1}
    queue.push([item(5, 2, votes=3), item(6, 2, votes=2)], 2, 9)
    for number in (1, 2):
        queue.record([(f"item00{number}", "ann", 1.0)])
    queue.record([("item002", "bob", 1.0)])
    export_items(queue, tmp_path / "again")
    settings = load(tmp_path / "again/point/.argilla/settings.json")
    assert settings["distribution"]["min_submitted"] == 2


def test_submitted_answers_come_back_about_first_and_second_and_only_once(queue: ExpertQueue, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_items(queue, out)
    first_is = "a" if load(out / "pair/records.json")[0]["fields"]["a"] == "answer 3" else "b"
    points = answered(
        out, "point", (0, response(ANN, "refuse")), (1, response(ANN, "tie")), (1, response(BOB, "accept"))
    )
    drafts = [(1, response(ANN, "a", status)) for status in ("draft", "discarded")]
    pairs = answered(out, "pair", (0, response(BOB, first_is)), *drafts)
    assert [import_answers(queue, path) for path in (points, pairs, points, pairs)] == [
        ImportResult(3), ImportResult(1), ImportResult(0), ImportResult(0)
    ]  # fmt: skip
    found = {(a.item_id, a.annotator): (a.value, a.item.pi) for a in queue.answers()}
    assert found == {
        ("item001", ANN): (0.0, 0.25),
        ("item002", ANN): (0.5, 0.25),
        ("item002", BOB): (1.0, 0.25),
        ("item003", BOB): (1.0, 0.25),
    }
    assert {e.detail for e in queue.audit() if e.action == "record"} == {f"argilla {points}", f"argilla {pairs}"}


def test_what_argilla_over_collects_is_left_out_in_whatever_order_it_comes(queue: ExpertQueue, tmp_path: Path) -> None:
    export_items(queue, tmp_path / "out")
    given = [(0, response(ANN, "accept")), (0, response(BOB, "refuse"))]
    assert import_answers(queue, answered(tmp_path / "out", "point", *given)) == ImportResult(1, surplus=1)
    assert import_answers(queue, answered(tmp_path / "out", "point", *given[::-1])) == ImportResult(0, surplus=1)
    assert [(a.annotator, a.value) for a in queue.answers()] == [(ANN, 1.0)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"external_id": "nobody"}, "'nobody' is not in this queue"),
        ({"metadata": {"pi": 0.5}}, "the propensity of item item001 became 0.5"),
        ({"metadata": "x"}, "metadata should be an object"),
        ({"responses": [response(ANN, "yes")]}, "one of accept, refuse, tie"),
        ({"responses": [response("", "accept")]}, "name of its annotator"),
        ({"responses": {"answer": [{"value": "accept", "user_id": ANN}]}}, "do not tell what was submitted"),
    ],
)
def test_of_a_wrong_record_among_good_ones_the_others_are_taken_and_it_is_named(
    queue: ExpertQueue, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    export_items(queue, tmp_path / "out")
    path = answered(tmp_path / "out", "point", (0, response(ANN, "accept")), (1, response(ANN, "accept")))
    first, second = load(path)
    path.write_text(json.dumps([second, first | change]))
    found = import_answers(queue, path)
    assert found.new == 1 and [answer.item_id for answer in queue.answers()] == ["item002"]
    (refused,) = found.refused
    assert f"{path} record 2" in refused and message in refused
    path.write_text(json.dumps([first | change]))
    with pytest.raises(UserError, match="nothing was imported"):
        import_answers(queue, path)


def test_what_holds_no_records_is_said(queue: ExpertQueue, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        import_answers(queue, tmp_path / "nowhere.json")
    for text, message in (("{", "not JSON"), ('{"a": 1}', "JSON list of objects")):
        (tmp_path / "records.json").write_text(text)
        with pytest.raises(UserError, match=message):
            import_answers(queue, tmp_path / "records.json")


class Server:
    """What an Argilla server keeps, as far as data sets and records go; it answers with what it was sent."""

    def __init__(self) -> None:
        self.kept: dict[str, list[dict[str, Any]]] = {"workspaces": [{"id": BOB, "name": "w", **NEW}]}

    def __call__(self, request: Any) -> Any:
        import httpx

        path, body = request.url.path, json.loads(request.content or b"{}")
        *_, owner, last = path.rsplit("/", 2)
        if path.endswith("/me"):
            return httpx.Response(200, json={"id": ANN, "username": "owner", "first_name": "o", "role": "owner"})
        if request.method == "GET":
            rows = self.kept.get(last, [])[int(request.url.params.get("offset", 0)) :]
            one = next((row for row in self.kept.get(owner, []) if row["id"] == last), None)
            return httpx.Response(200, json=one or {"items": rows, "total": len(rows)})
        if last == "bulk":
            rows = [{**row, "id": str(uuid.uuid4())} for row in body["items"]]
            self.kept.setdefault("records", []).extend(rows)
            return httpx.Response(200, json={"items": [dict(row) for row in rows]})
        if last == "publish" or request.method == "PATCH":
            return httpx.Response(200, json=self.kept["datasets"][-1])
        row = {**body, "id": str(uuid.uuid4()), **NEW}
        self.kept.setdefault(last, []).append(row)
        return httpx.Response(201, json=row)


@with_sdk
@pytest.mark.parametrize("kind", ["point", "pair"])
def test_the_sdk_logs_an_export_to_a_server_and_its_own_export_comes_back(
    queue: ExpertQueue, tmp_path: Path, kind: str
) -> None:
    import argilla
    import httpx

    out, server = tmp_path / "out", Server()
    export_items(queue, out)
    client = argilla.Argilla("http://argilla.test", "key", mounts={"all://": httpx.MockTransport(server)})
    dataset = argilla.Dataset.from_disk(str(out / kind), workspace="w", client=client)
    assert dataset.settings.distribution.min_submitted == 1
    assert [field["name"] for field in server.kept["fields"]] == list(dataset.settings.fields._properties_by_name)
    logged = {row["external_id"]: row for row in server.kept["records"]}
    exported = load(out / kind / "records.json")
    assert list(logged) == [row["id"] for row in exported]
    for row in exported:
        sent = logged[row["id"]]
        assert (sent["fields"], sent["metadata"]) == (row["fields"], row["metadata"])
        assert [(s["value"], s["score"]) for s in sent["suggestions"]] == [
            (s["value"], s["score"]) for s in row["suggestions"].values()
        ]
    for row in server.kept["records"]:
        row["responses"] = [response(CAT, "tie"), response(ANN, "tie", "draft")]
    records = [record.api_model().model_dump() for record in dataset.records(with_responses=True)]
    (tmp_path / "back.json").write_text(json.dumps(records))
    assert import_answers(queue, tmp_path / "back.json") == ImportResult(2)
    assert {(a.annotator, a.value) for a in queue.answers()} == {(CAT, 0.5)}
