"""Files of answers as people and tools write them: every form and encoding, and never nothing in silence."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superalign.commands import main
from superalign.config.schema import Config
from superalign.errors import UserError
from superalign.experts.formats import IMPORTS
from superalign.experts.interchange import ImportResult
from superalign.experts.queue import ExpertQueue
from superalign.store.run_writer import RunWriter
from tests.experts.test_queue import item, pair

Rows = list[dict[str, Any]]
GIVEN: Rows = [
    {"item_id": "item001", "annotator": "zoë", "answer": "accept"},
    {"item_id": "item002", "annotator": "zoë", "answer": "tie"},
]


def lines(rows: Rows) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def listed(rows: Rows) -> str:
    return json.dumps(rows, ensure_ascii=False)


def table(rows: Rows, delimiter: str = ",") -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@pytest.fixture
def queue(tmp_path: Path) -> ExpertQueue:
    queue = ExpertQueue(tmp_path / "q.sqlite")
    queue.push([item(1), pair(2), item(3), item(4)], 1, 9)
    return queue


def standing(queue: ExpertQueue) -> list[tuple[str, str]]:
    return [(answer.item_id, answer.annotator) for answer in queue.answers()]


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: gzip.compress(text.encode()),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: b"\n\n" + text.encode() + b"\n",
    ],
    ids=["byte-order mark", "UTF-16", "UTF-16 without a mark", "gzip", "Windows line ends", "blank lines"],
)
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl", lines),
        ("a.json", listed),
        ("a.csv", table),
        ("a.tsv", lambda rows: table(rows, "\t")),
        ("b.csv", lambda rows: table(rows, ";")),
    ],
)
def test_answers_are_read_in_every_form_and_encoding(
    queue: ExpertQueue, tmp_path: Path, name: str, write: Callable[[Rows], str], encode: Callable[[str], bytes]
) -> None:
    path = tmp_path / name
    path.write_bytes(encode(write(GIVEN)))
    assert IMPORTS["jsonl"](queue, path) == ImportResult(2)
    assert standing(queue) == [("item001", "zoë"), ("item002", "zoë")]


def flat(**more: Any) -> dict[str, Any]:
    """A row of Label Studio's JSON-MIN export (and of its CSV): the task's columns, the answer, who gave it."""
    task = {"id": 1, "item_id": "item001", "request": "question 1", "a": "answer 1", "critique": "", "answer": "refuse"}
    return {**task, "annotator": 1, "annotation_id": 3, "created_at": "2026-01-05T10:00:00Z", "lead_time": 2.5, **more}


@pytest.mark.parametrize("name", ["min.json", "min.csv", "min.tsv"])
def test_the_short_exports_of_label_studio_are_read(queue: ExpertQueue, tmp_path: Path, name: str) -> None:
    rows = [flat(), flat(item_id="item002", answer="b", annotator="bob@x.org"), flat(item_id="item003", answer="")]
    path = tmp_path / name
    path.write_text(listed(rows) if name == "min.json" else table(rows, "\t" if name == "min.tsv" else ","))
    found = IMPORTS["label-studio"](queue, path)
    assert found == ImportResult(2) and found.unanswered == 1
    assert standing(queue) == [("item001", "label-studio 1"), ("item002", "bob@x.org")]


def test_several_choices_of_a_short_export_are_no_answer(queue: ExpertQueue, tmp_path: Path) -> None:
    path = tmp_path / "min.json"
    path.write_text(listed([flat(), flat(item_id="item003", answer={"choices": ["accept", "refuse"]})]))
    (refused,) = IMPORTS["label-studio"](queue, path).refused
    assert "min.json task 2" in refused and "should be one of accept, refuse, tie" in refused


def test_every_bad_annotation_is_listed_in_the_order_of_the_file_and_the_good_ones_are_taken(
    queue: ExpertQueue, tmp_path: Path
) -> None:
    path = tmp_path / "mixed.jsonl"
    bad = [{"item_id": "nobody", "annotator": "ann", "answer": "a"}, {"item_id": "item003", "answer": "accept"}]
    path.write_text(lines([GIVEN[0], bad[0], GIVEN[1], bad[1]]) + "{oops\n")
    found = IMPORTS["jsonl"](queue, path)
    assert found == ImportResult(2)
    assert [line.partition("mixed.jsonl ")[2][:6] for line in found.refused] == ["line 2", "line 4", "line 5"]


def test_what_the_queue_refuses_does_not_keep_the_others_out(queue: ExpertQueue, tmp_path: Path) -> None:
    """item001 needs one answer; its second and third come too late, the two behind them do not."""
    rows = [{"item_id": "item001", "annotator": who, "answer": "accept"} for who in ("ann", "bob", "cid")]
    rows += [{"item_id": f"item00{i}", "annotator": "dee", "answer": "accept"} for i in (3, 4)]
    path = tmp_path / "late.jsonl"
    path.write_text(lines(rows))
    found = IMPORTS["jsonl"](queue, path)
    assert found == ImportResult(3) and len(found.refused) == 2
    assert standing(queue) == [("item001", "ann"), ("item003", "dee"), ("item004", "dee")]
    again = IMPORTS["jsonl"](queue, path)
    assert (again.new, again.known, len(again.refused)) == (0, 3, 2)


@pytest.mark.parametrize(
    ("format", "name", "content", "words"),
    [
        ("jsonl", "a.json", listed([flat()]), "--format label-studio"),
        ("jsonl", "a.json", listed([{"data": {}, "annotations": []}]), "--format label-studio"),
        ("jsonl", "a.json", listed([{"responses": []}]), "--format argilla"),
        ("jsonl", "a.jsonl", lines([{"prompt": "x", "label": 1}]), "has no item_id"),
        ("jsonl", "a.jsonl", lines([{"item_id": "item001", "answer": None}]), "none of its 1 items is answered"),
        ("jsonl", "a.jsonl", "\n\n", "it holds no rows"),
        ("label-studio", "a.json", listed([{"data": {"item_id": "item001"}, "annotations": []}]), "is answered"),
        ("label-studio", "a.json", listed([{"image": "x"}]), "neither annotations nor item_id"),
        ("label-studio", "a.json", "[]", "it holds no rows"),
        ("argilla", "a.json", listed([{"external_id": "item001", "responses": []}]), "is answered"),
        ("argilla", "a.json", listed([{"id": "item001"}]), "is no record"),
        ("jsonl", "a.jsonl", "PK\x03\x04", "zip archive"),
    ],
)
def test_a_file_that_tells_nothing_says_why_and_exits_with_2(
    run_with_queue: Path, capsys: pytest.CaptureFixture[str], format: str, name: str, content: str, words: str
) -> None:
    (run_with_queue / name).write_text(content)
    assert main.main(["experts", "import", "tried", name, "--format", format]) == 2
    said = capsys.readouterr().err
    assert words in said and name in said and said.count("\n") == 1


def test_bad_answers_among_good_ones_are_printed_and_the_exit_code_is_0(
    run_with_queue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_with_queue / "a.jsonl").write_text(lines([*GIVEN, {"item_id": "nobody", "annotator": "a", "answer": "b"}]))
    assert main.main(["experts", "import", "tried", "a.jsonl"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "2 new labels; 1 bad ones were left out:"
    assert out[1].endswith("a.jsonl line 3: item_id 'nobody' is not in this queue")
    assert main.main(["experts", "import", "tried", "a.jsonl"]) == 0
    assert "0 new labels; 2 were there already" in capsys.readouterr().out


def test_a_file_in_another_eight_bit_encoding_is_told_and_the_remedy(queue: ExpertQueue, tmp_path: Path) -> None:
    (tmp_path / "latin.jsonl").write_bytes(lines(GIVEN).encode("latin-1"))
    with pytest.raises(UserError, match=r"latin\.jsonl line 1 .*save the file as UTF-8") as caught:
        IMPORTS["jsonl"](queue, tmp_path / "latin.jsonl")
    assert "data.encoding" not in str(caught.value)


@pytest.fixture
def run_with_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run `tried` whose queue holds four items."""
    with RunWriter.create_or_resume(Config().model_dump(mode="json"), tmp_path / "runs", "tried"):
        pass
    queue = ExpertQueue(tmp_path / "runs" / "tried" / "experts.sqlite")
    queue.push([item(1), pair(2), item(3), item(4)], 1, 9)
    queue.close()
    monkeypatch.chdir(tmp_path)
    return tmp_path
