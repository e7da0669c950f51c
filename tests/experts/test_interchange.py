"""JSONL out and in: what is bad is left out and named."""

import json
from pathlib import Path
from typing import Any

import pytest

from superalign.errors import UserError
from superalign.experts.interchange import ImportResult, export_items, export_labels, import_answers
from superalign.experts.queue import ExpertQueue
from superalign.records import ExpertLabel
from tests.experts.test_queue import answer, item, pair


@pytest.fixture
def queue(tmp_path: Path) -> ExpertQueue:
    queue = ExpertQueue(tmp_path / "q.sqlite")
    queue.push([item(1), pair(2), pair(3), pair(4)], 1, 4)
    return queue


def exported(queue: ExpertQueue, path: Path) -> list[dict[str, Any]]:
    export_items(queue, path)
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_filled_in_export_comes_back_as_labels_about_first_and_second(queue: ExpertQueue, tmp_path: Path) -> None:
    rows = exported(queue, tmp_path / "items.jsonl")
    for row in rows:
        better = "a" if row["a"].startswith("answer") else "b"
        row |= {"annotator": "ann", "answer": "accept" if row["kind"] == "point" else better}
    path = write(tmp_path / "done.jsonl", rows)
    assert import_answers(queue, path) == ImportResult(4)
    assert [label.value for label in queue.labels()] == [1.0] * 4
    assert import_answers(queue, path) == ImportResult(0)


def test_an_export_is_private_and_shows_neither_scores_nor_answers(queue: ExpertQueue, tmp_path: Path) -> None:
    answer(queue, "ann")
    rows = exported(queue, tmp_path / "items.jsonl")
    assert [row["item_id"] for row in rows] == ["item002", "item003", "item004"]
    assert not {"p", "pi", "lane", "value"} & set(rows[0])
    assert (tmp_path / "items.jsonl").stat().st_mode & 0o077 == 0


def test_the_critique_of_a_pair_says_which_of_the_shown_answers_it_is_of(queue: ExpertQueue, tmp_path: Path) -> None:
    point, *pairs = exported(queue, tmp_path / "items.jsonl")
    assert point["critique"] == "looks fine"
    first = ["A" if row["a"].startswith("answer") else "B" for row in pairs]  # a critique is of the first response
    assert set(first) == {"A", "B"}
    assert [row["critique"] for row in pairs] == [f"About answer {name}:\nlooks fine" for name in first]


def test_unanswered_lines_are_left_out(queue: ExpertQueue, tmp_path: Path) -> None:
    assert import_answers(
        queue, write(tmp_path / "x.jsonl", exported(queue, tmp_path / "items.jsonl"))
    ) == ImportResult(0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"item_id": "nobody", "annotator": "ann", "answer": "a"}', "nobody"),
        ('{"item_id": "item002", "annotator": "", "answer": "a"}', "annotator"),
        ('{"item_id": "item002", "annotator": "ann", "answer": "accept"}', "one of a, b, tie"),
        ('{"item_id": "item002", "annotator": "ann", "answer": 1}', "one of a, b, tie"),
        ('{"item_id": "item001", "annotator": "bob", "answer": "accept"}', "all the answers"),
    ],
)
def test_of_a_wrong_line_among_good_ones_the_others_are_taken_and_it_is_named(
    queue: ExpertQueue, tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "answers.jsonl"
    good = '{"item_id": "item001", "annotator": "ann", "answer": "accept"}'
    path.write_text(f"{good}\n\n{line}\n")
    found = import_answers(queue, path)
    assert found == ImportResult(1) and [label.item_id for label in queue.labels()] == ["item001"]
    (refused,) = found.refused
    assert "answers.jsonl line 3" in refused and message in refused and "\n" not in refused


def test_labels_are_written_as_their_records(queue: ExpertQueue, tmp_path: Path) -> None:
    answer(queue, "ann")
    assert export_labels(queue, tmp_path / "labels.jsonl") == 1
    assert ExpertLabel.from_row(json.loads((tmp_path / "labels.jsonl").read_text())) == queue.labels()[0]


def test_files_that_cannot_be_read_or_written_are_named(queue: ExpertQueue, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing\.jsonl"):
        import_answers(queue, tmp_path / "missing.jsonl")
    with pytest.raises(UserError, match="cannot write"):
        export_labels(queue, tmp_path)
    (tmp_path / "latin.jsonl").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UserError, match=r"latin\.jsonl"):
        import_answers(queue, tmp_path / "latin.jsonl")


def test_of_two_answers_of_one_annotator_in_a_file_the_later_counts_however_often_it_is_read(
    queue: ExpertQueue, tmp_path: Path
) -> None:
    rows = [{"item_id": "item001", "annotator": "ann", "answer": answer} for answer in ("accept", "refuse")]
    path = write(tmp_path / "twice.jsonl", rows)
    assert [import_answers(queue, path).new for _ in range(3)] == [1, 0, 0]
    assert [label.value for label in queue.labels()] == [0.0]


def test_where_an_answer_came_from_stands_in_the_log(queue: ExpertQueue, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"item_id": "item001", "annotator": "ann", "answer": "accept"}])
    import_answers(queue, path)
    assert [(e.actor, e.detail) for e in queue.audit() if e.action == "record"] == [("ann", f"jsonl {path}")]
    assert queue.verify() == []


def test_blind_items_and_traps_look_like_all_others_but_for_the_critique(tmp_path: Path) -> None:
    queue = ExpertQueue(tmp_path / "blind.sqlite")
    queue.push([item(1), item(2, blind=True), item(3, blind=True, gold=1.0, p=0.9)], 1, 5)
    rows = exported(queue, tmp_path / "items.jsonl")
    assert [row["critique"] for row in rows] == ["looks fine", "", ""]
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
