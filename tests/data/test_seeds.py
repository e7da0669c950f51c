"""Seed requests from files: read as they are, or refused with the place of the mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from superalign.config.sections import DataConfig
from superalign.data.seeds import load_seeds
from superalign.errors import UserError
from superalign.records import Seed

ROWS = [
    {"id": n, "prompt": f"request {n}", "label": "unsafe" if n % 3 == 0 else "safe", "type": "t", "twin": n % 4 == 0}
    for n in range(40)
]
COLUMNS = {"text": "prompt", "kind": "label", "category": "type", "lookalike": "twin"}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        cells = [list(rows[0]), *[[str(each) for each in row.values()] for row in rows]]
        path.write_text("".join(",".join(line) + "\n" for line in cells))
    else:
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def load(path: Path | str, seed: int = 0, **settings: Any) -> list[Seed]:
    return load_seeds(DataConfig(seeds=str(path), **settings), seed)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_every_format_gives_the_same_seeds_through_the_column_map(suffix: str, tmp_path: Path) -> None:
    seeds = load(write(tmp_path / f"seeds{suffix}", ROWS), columns=COLUMNS)
    assert seeds == load(write(tmp_path / "again.jsonl", ROWS), columns=COLUMNS)
    assert [each.kind for each in seeds[:4]] == ["harmful", "benign", "benign", "harmful"]
    assert [each.lookalike for each in seeds[:5]] == [True, False, False, False, True]
    assert (seeds[1].id, seeds[1].text, seeds[1].category) == ("1", "request 1", "t")


def test_the_split_of_a_request_depends_neither_on_ids_nor_on_the_order_nor_on_the_seed(tmp_path: Path) -> None:
    whole = {s.id: s.split for s in load(write(tmp_path / "a.jsonl", ROWS), columns=COLUMNS)}
    part = {s.id: s.split for s in load(write(tmp_path / "b.jsonl", ROWS[::-1][:30]), seed=9, columns=COLUMNS)}
    assert part.items() <= whole.items()
    renamed = load(write(tmp_path / "c.jsonl", [row | {"id": f"other {row['id']}"} for row in ROWS]), columns=COLUMNS)
    assert [each.split for each in renamed] == list(whole.values())
    unnamed = [{"text": f" {row['prompt']}\n"} for row in ROWS]  # split as the same requests with ids
    assert [each.split for each in load(write(tmp_path / "d.jsonl", unnamed), kind="benign")] == list(whole.values())
    many = load(write(tmp_path / "e.jsonl", [{"text": f"request {n}"} for n in range(400)]), kind="benign")
    assert 0.2 < sum(each.split == "eval" for each in many) / len(many) < 0.4


def test_both_splits_get_a_request_however_few_there_are(tmp_path: Path) -> None:
    for first in range(12):
        rows = [{"text": f"request {first} {n}"} for n in range(2)]
        seeds = load(write(tmp_path / "two.jsonl", rows), kind="harmful")
        assert {each.split for each in seeds} == {"train", "eval"}


def test_one_kind_can_be_set_for_the_whole_file_and_ids_follow_from_the_text(tmp_path: Path) -> None:
    seeds = load(write(tmp_path / "a.jsonl", [{"text": "one"}, {"text": "two"}, {"text": "one"}]), kind="harmful")
    assert [each.text for each in seeds] == ["one", "two"]
    assert len({each.id for each in seeds}) == 2 and {each.category for each in seeds} == {"general"}


def test_a_request_given_again_under_another_id_or_with_spaces_around_counts_once(tmp_path: Path) -> None:
    rows = [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}, {"id": 3, "text": "one\n"}, {"id": 4, "text": " two"}]
    seeds = load(write(tmp_path / "a.jsonl", rows), kind="harmful")
    assert [(each.id, each.text) for each in seeds] == [("1", "one"), ("2", "two")]
    unnamed = [{"text": row["text"]} for row in rows]
    assert [each.text for each in load(write(tmp_path / "b.jsonl", unnamed), kind="harmful")] == ["one", "two"]


def test_a_request_given_as_harmful_and_as_benign_is_left_out_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both = [{"id": n, "prompt": f"request {n % 40}", "label": "safe"} for n in (40, 43, 46)]
    path = write(tmp_path / "a.jsonl", [{key: row[key] for key in ("id", "prompt", "label")} for row in ROWS] + both)
    seeds = load(path, columns={"text": "prompt", "kind": "label"})
    assert len(seeds) == 37 and not {"request 0", "request 3", "request 6"} & {each.text for each in seeds}
    assert caplog.messages == [
        f"data.seeds={path}: 3 of 40 requests are left out, for they are given both as harmful and as benign "
        f"(the first of them at {path} line 41)"
    ]


def test_a_limit_draws_by_the_seed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ROWS)
    draws = [load(path, seed=seed, columns=COLUMNS, limit=10) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2] and {len(draw) for draw in draws} == {10}


def test_blank_lines_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "one"}\n\n{"text": "two"}\n')
    assert len(load(path, kind="benign")) == 2


def test_the_testbed_gives_as_many_as_asked_with_both_kinds() -> None:
    seeds = load("testbed", seed=3, limit=100)
    assert 90 <= len(seeds) <= 100 and {each.kind for each in seeds} == {"harmful", "benign"}


GOOD = '{"text": "one", "kind": "harmful"}\n'
BAD: list[tuple[str, str | bytes | None, dict[str, Any], str]] = [
    ("a.jsonl", None, {}, "no such file"),
    ("a.doc", GOOD, {}, "should be testbed, hub:NAME, a folder, or a file ending in .jsonl, .ndjson, .json, .csv"),
    ("a.jsonl", "", {}, "holds 0 different requests: at least 2 are needed"),
    ("a.jsonl", GOOD + GOOD, {}, "holds 1 different requests"),
    ("a.jsonl", GOOD + '{"text": "two", "kind": "safe"}', {"limit": 1}, "is cut to data.limit=1"),
    ("a.jsonl", GOOD + "{oops\n", {}, "a.jsonl line 2 is not JSON"),
    ("a.jsonl", GOOD + "[1]\n", {}, "a.jsonl line 2 is not a JSON object"),
    ("a.jsonl", GOOD.encode() + b"\xff\n", {}, "a.jsonl line 2 is not UTF-8 text"),
    ("a.jsonl", GOOD + '{"text": " ", "kind": "harmful"}', {}, "holds 1 different requests (left out: 1 without a"),
    ("a.jsonl", GOOD + '{"text": 3, "kind": "harmful"}', {}, "line 2: column 'text' holds no text"),
    ("a.jsonl", '{"body": "one"}\n', {}, "no column 'text' for text; set data.columns.text= to one of body"),
    ("a.jsonl", GOOD, {"columns": {"text": "body"}}, "no column 'body' for text"),
    ("a.jsonl", GOOD, {"columns": {"category": "topic"}}, "no column 'topic' for category"),
    ("a.jsonl", GOOD, {"columns": {"txt": "text"}}, "unknown key data.columns.txt; did you mean text?"),
    ("a.jsonl", '{"text": "one"}\n', {}, "no column 'kind'; set data.kind=harmful or benign"),
    (
        "a.jsonl",
        GOOD.replace("harmful", "evil") + '{"text": "b", "kind": "ok"}',
        {},
        "column 'kind' holds values that say neither harmful nor benign: 'evil' 1, 'ok' 1; say what they mean by",
    ),
    ("a.jsonl", GOOD.replace("harmful", "safe") + '{"text": "b", "kind": "benign"}', {}, "no request is harmful"),
    ("a.csv", "text,kind\none\n", {}, "a.csv line 2: the number of cells is not that of the header"),
    ("a.csv", 'text,kind\n"one,harmful\n', {}, "is not CSV"),
    ("a.csv", b"text,kind\n\xff,harmful\n", {}, "is not UTF-8 text"),
    ("a.parquet", "not parquet", {}, "is not a readable Parquet file"),
]


@pytest.mark.parametrize(("name", "content", "settings", "fragment"), BAD)
def test_bad_seeds_are_refused_in_one_line(
    name: str, content: str | bytes | None, settings: dict[str, Any], fragment: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError) as refused:
        load(tmp_path / name, **settings)
    assert fragment in str(refused.value) and "\n" not in str(refused.value)


def test_a_hub_dataset_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="hub:nobody/nothing") as refused:
        load("hub:nobody/nothing", kind="harmful")
    assert "\n" not in str(refused.value)
