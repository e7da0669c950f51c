"""Files of seed requests as people have them: every form and encoding is read, or refused in one exact line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from superalign.config.sections import DataConfig
from superalign.data.seeds import SeedSet, read_seeds
from superalign.errors import UserError
from tests.inputs.files import (
    BENIGN,
    HARMFUL,
    ROWS,
    as_bytes,
    columns,
    jsonl,
    parquet_bytes,
    table,
    with_labels,
    write,
    zipped,
)

BOTH = {"columns": {"text": "prompt", "kind": "label"}}
MESSAGES = [
    {
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": row["prompt"]}],
        "label": row["label"],
    }
    for row in ROWS
]


class Case(NamedTuple):
    """A file that is read as the twelve requests: its name, content, and what the summary says of it."""

    name: str
    content: str | bytes
    told: str
    settings: dict[str, Any] = {}  # noqa: RUF012


def utf16(text: str, order: str = "le", mark: bool = True) -> bytes:
    return ("\ufeff" * mark + text).encode(f"utf-16-{order}")


READ = {
    "JSON Lines": Case("a.jsonl", jsonl(), "JSON Lines, UTF-8"),
    "the other suffix": Case("a.ndjson", jsonl(), "JSON Lines, UTF-8"),
    "a suffix in capitals": Case("A.JSONL", jsonl(), "JSON Lines, UTF-8"),
    "a byte-order mark": Case("a.jsonl", "\ufeff" + jsonl(), "JSON Lines, UTF-8"),
    "Windows line ends": Case("a.jsonl", jsonl(ends="\r\n"), "JSON Lines, UTF-8"),
    "old Mac line ends": Case("a.jsonl", jsonl(ends="\r"), "JSON Lines, UTF-8"),
    "UTF-16": Case("a.jsonl", utf16(jsonl()), "JSON Lines, UTF-16-LE"),
    "UTF-16, big end first": Case("a.jsonl", utf16(jsonl(), "be"), "JSON Lines, UTF-16-BE"),
    "UTF-16 without a mark": Case("a.jsonl", utf16(jsonl(), "le", False), "JSON Lines, UTF-16-LE"),
    "UTF-16, big end first, without a mark": Case("a.jsonl", utf16(jsonl(), "be", False), "JSON Lines, UTF-16-BE"),
    "UTF-16 joined from two": Case("a.jsonl", utf16(jsonl(ROWS[:6])) + utf16(jsonl(ROWS[6:])), "UTF-16-LE"),
    "UTF-32": Case("a.jsonl", jsonl().encode("utf-32"), "JSON Lines, UTF-32-LE"),
    "gzip": Case("a.jsonl.gz", zipped(jsonl()), "JSON Lines, UTF-8, gzip"),
    "gzip that its name does not tell": Case("a.jsonl", zipped(jsonl()), "JSON Lines, UTF-8"),
    "a name that tells gzip wrongly": Case("a.jsonl.gz", jsonl(), "JSON Lines, UTF-8"),
    "an array": Case("a.json", json.dumps(ROWS), "JSON, UTF-8"),
    "an array over many lines": Case("a.json", json.dumps(ROWS, indent=2), "JSON, UTF-8"),
    "an array in gzip": Case("a.json.gz", zipped(json.dumps(ROWS)), "JSON, UTF-8, gzip"),
    "an array that is called lines": Case("a.jsonl", json.dumps(ROWS, indent=2), "JSON, UTF-8"),
    "lines that are called JSON": Case("a.json", jsonl(), "JSON Lines, UTF-8"),
    "objects over many lines": Case("a.jsonl", "\n".join(json.dumps(r, indent=2) for r in ROWS), "JSON values, UTF-8"),
    "an object with the rows in it": Case("a.json", json.dumps({"version": 1, "data": ROWS}), "JSON, UTF-8"),
    "an object of columns": Case("a.json", json.dumps(columns()), "JSON, UTF-8"),
    "pandas' columns": Case(
        "a.json",
        json.dumps({name: {str(n): cell for n, cell in enumerate(cells)} for name, cells in columns().items()}),
        "JSON, UTF-8",
    ),
    "pandas' split": Case(
        "a.json",
        json.dumps({"columns": list(ROWS[0]), "index": [], "data": [list(r.values()) for r in ROWS]}),
        "JSON, UTF-8",
    ),
    "rows by their names": Case("a.json", json.dumps({f"row {n}": row for n, row in enumerate(ROWS)}), "JSON, UTF-8"),
    "CSV": Case("a.csv", table(), "CSV with commas, UTF-8"),
    "CSV in gzip": Case("a.csv.gz", zipped(table()), "CSV with commas, UTF-8, gzip"),
    "semicolons": Case("a.csv", table(delimiter=";"), "CSV with semicolons, UTF-8"),
    "bars": Case("a.csv", table(delimiter="|"), "CSV with bars, UTF-8"),
    "tabs": Case("a.tsv", table(delimiter="\t"), "CSV with tabs, UTF-8"),
    "tabs that are called commas": Case("a.csv", table(delimiter="\t"), "CSV with tabs, UTF-8"),
    "commas that are called tabs": Case("a.tsv", table(), "CSV with commas, UTF-8"),
    "Excel's line with the separator": Case("a.csv", "sep=;\r\n" + table(delimiter=";", ends="\r\n"), "semicolons"),
    "Excel's Unicode text": Case("a.csv", utf16(table(delimiter="\t")), "CSV with tabs, UTF-16-LE"),
    "CSV with old Mac line ends": Case("a.csv", table(ends="\r"), "CSV with commas, UTF-8"),
    "spaces in the header": Case("a.csv", table(header=" prompt , label "), "CSV with commas, UTF-8"),
    "a header in capitals": Case("a.csv", table(header="PROMPT,Label"), "CSV with commas, UTF-8"),
    "commas at all ends": Case("a.csv", table(ends=",\n"), "CSV with commas, UTF-8"),
    "commas at the ends of rows": Case("a.csv", table(ends=",\n", header="prompt,label"), "CSV with commas, UTF-8"),
    "pandas' index": Case("a.csv", table([{"": n, **r} for n, r in enumerate(ROWS)]), "CSV with commas, UTF-8"),
    "tabs without any quotes": Case(
        "a.tsv",
        "prompt\tlabel\tnote\n" + "".join(f'{r["prompt"]}\t{r["label"]}\t"x" y\n' for r in ROWS),
        "CSV with tabs and no quotes",
    ),
    "objects in columns": Case(
        "a.parquet",
        parquet_bytes([{"asked": {"text": r["prompt"]}, "said": {"harm": r["label"]}} for r in ROWS]),
        "text from asked.text, kind from said.harm",
        {"columns": {"text": "asked.text", "kind": "said.harm"}},
    ),
    "Parquet": Case("a.parquet", parquet_bytes(), "Parquet"),
    "labels 1.0 and 0.0": Case(
        "a.jsonl", jsonl([{**r, "label": float(r["label"] == "harmful")} for r in ROWS]), "", BOTH
    ),
    "labels 1.0 and 0.0 as text": Case(
        "a.csv", table([{**r, "label": float(r["label"] == "harmful")} for r in ROWS]), "", BOTH
    ),
    "truth values": Case("a.parquet", parquet_bytes([{**r, "label": r["label"] == "harmful"} for r in ROWS]), "", BOTH),
    "labels in capitals with spaces": Case(
        "a.jsonl", jsonl([{**r, "label": f" {r['label'].upper()} "} for r in ROWS]), ""
    ),
    "lists of one label": Case("a.jsonl", jsonl([{**r, "label": [r["label"]]} for r in ROWS]), ""),
    "lists of labels that mean one thing": Case(
        "a.jsonl",
        jsonl([{**r, "label": ["unsafe", "harmful"] if r["label"] == "harmful" else ["safe"]} for r in ROWS]),
        "",
    ),
    "lists of labels that the settings know": Case(
        "a.jsonl",
        jsonl([{**r, "label": [r["label"], "x"]} for r in ROWS]),
        "",
        {"harmful_values": ["harmful, x"], "benign_values": ["benign, x"]},
    ),
    "messages": Case("a.jsonl", jsonl(MESSAGES), "system turns dropped: 12"),
    "messages in Parquet": Case("a.parquet", parquet_bytes(MESSAGES), "system turns dropped: 12"),
    "messages as text in CSV": Case(
        "a.csv", table([{**m, "messages": json.dumps(m["messages"])} for m in MESSAGES]), "system turns dropped: 12"
    ),
    "messages with an answer": Case(
        "a.jsonl",
        jsonl([{**m, "messages": [*m["messages"][1:], {"role": "assistant", "content": "ok"}]} for m in MESSAGES]),
        "answers at the end of a dialogue dropped: 12",
    ),
    "prompts as messages": Case(
        "a.jsonl", jsonl([{"prompt": m["messages"][1:], "label": m["label"]} for m in MESSAGES]), "text from prompt"
    ),
    "ShareGPT": Case(
        "a.json",
        json.dumps([{"conversations": [{"from": "human", "value": r["prompt"]}], "label": r["label"]} for r in ROWS]),
        "text from conversations",
    ),
    "content in parts": Case(
        "a.jsonl",
        jsonl(
            [
                {
                    "messages": [{"role": "user", "content": [{"type": "text", "text": r["prompt"]}]}],
                    "label": r["label"],
                }
                for r in ROWS
            ]
        ),
        "text from messages",
    ),
    "transcripts": Case(
        "a.jsonl",
        jsonl([{**r, "prompt": f"\n\nHuman: {r['prompt']}\n\nAssistant:"} for r in ROWS]),
        "text from prompt",
    ),
    "Windows-1252, named": Case("a.csv", table().encode("cp1252"), "", {"encoding": "cp1252"}),
}


def read(path: str, **settings: Any) -> SeedSet:
    return read_seeds(DataConfig(seeds=path, **settings), 0)


@pytest.mark.parametrize("case", READ.values(), ids=READ)
def test_the_twelve_requests_are_read_from(case: Case, tmp_path: Path) -> None:
    found = read(write(tmp_path, case.name, case.content), **case.settings)
    assert [(seed.text, seed.kind) for seed in found.seeds] == [(row["prompt"], row["label"]) for row in ROWS]
    lines = "\n".join(found.summary.lines())
    assert case.told in lines and "12 rows: 6 harmful, 6 benign" in lines
    assert not any(row["prompt"][:12] in lines for row in ROWS), "requests are covered"


LEFT_OUT = {
    "blank rows": ("a.csv", table() + ",\n,\n", "14 rows: 6 harmful, 6 benign; left out: 2 empty"),
    "blank lines": ("a.csv", table() + "\n\n", "14 rows: 6 harmful, 6 benign; left out: 2 empty"),
    "objects of nothing": (
        "a.jsonl",
        jsonl([*ROWS, {}, {"prompt": None, "label": None}]),
        "14 rows: 6 harmful, 6 benign; left out: 2 empty",
    ),
    "empty requests": (
        "a.jsonl",
        jsonl(
            [*ROWS, {"prompt": " ", "label": "harmful"}, {"label": "safe"}, {"prompt": float("nan"), "label": "safe"}]
        ),
        "15 rows: 6 harmful, 6 benign; left out: 3 without a request (the first in line 13)",
    ),
    "rows that come again": (
        "a.jsonl",
        jsonl([*ROWS, ROWS[0], ROWS[7]]),
        "14 rows: 7 harmful, 7 benign; left out: 2 given before",
    ),
    "half an emoji": (
        "a.jsonl",
        jsonl(ROWS[:11]) + '{"prompt": "what does \\ud83d mean?", "label": "benign"}\n',
        "halves of surrogate pairs (cut emoji) that became U+FFFD: 1",
    ),
    "half an emoji in UTF-16": (
        "a.jsonl",
        ("\ufeff" + jsonl([*ROWS[:11], {"prompt": "what does \ud83d mean?", "label": "benign"}])).encode(
            "utf-16-le", "surrogatepass"
        ),
        "halves of surrogate pairs (cut emoji) that became U+FFFD: 1",
    ),
    "numbers that start anew": (
        "a.jsonl",
        jsonl([{**row, "id": n % 6} for n, row in enumerate(ROWS)]),
        "ids that several requests have, to which a hash of the request was added: 6",
    ),
    "a column that comes twice and is not needed": (
        "a.csv",
        table([{**row, "note": 1, "more": 2} for row in ROWS], header="prompt,label,note,note"),
        "two columns are called note, which is not read",
    ),
}


@pytest.mark.parametrize(("name", "content", "line"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_is_left_out_or_changed_is_counted(name: str, content: str | bytes, line: str, tmp_path: Path) -> None:
    found = read(write(tmp_path, name, content))
    assert any(each.strip().removeprefix(f"{tmp_path / name}: ").startswith(line) for each in found.summary.lines())
    assert len(found.seeds) == 12 and len({seed.id for seed in found.seeds}) == 12
    assert not any("\ud800" <= letter <= "\udfff" for seed in found.seeds for letter in seed.text)


def test_cells_of_any_size_with_quotes_and_line_ends_are_read(tmp_path: Path) -> None:
    long = 'first, "quoted"\nand then ' + "a long way " * 20_000
    found = read(write(tmp_path, "a.csv", table([*ROWS, {"prompt": long, "label": "harmful"}], ends="\r\n")))
    assert found.seeds[-1].text == long.strip() and len(found.seeds) == 13


def test_lines_of_text_are_requests_of_the_kind_that_is_given(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "\r\n".join([*BENIGN, "", ""]))
    found = read(path, kind="benign")
    assert [seed.text for seed in found.seeds] == list(BENIGN)
    assert f"data.seeds={path}: a request a line, UTF-8" in found.summary.lines()
    assert [s.text for s in read(write(tmp_path, "b.jsonl", jsonl(HARMFUL)), kind="harmful").seeds] == list(HARMFUL)
    assert len(read(write(tmp_path, "c.json", json.dumps(HARMFUL)), kind="harmful").seeds) == 6


def test_a_folder_is_read_file_by_file_whatever_they_are(tmp_path: Path) -> None:
    write(tmp_path, "one/a.jsonl", jsonl(ROWS[:4]))
    write(tmp_path, "two/b.csv.gz", zipped(table(ROWS[4:8], delimiter=";")))
    write(tmp_path, "c.parquet", parquet_bytes(ROWS[8:]))
    for name in ("README.md", "notes.txt", ".hidden.jsonl", "dataset_info.json"):
        write(tmp_path, name, "nothing to be read")
    found = read(str(tmp_path))
    assert sorted(seed.text for seed in found.seeds) == sorted((*HARMFUL, *BENIGN))
    assert "  not read: README.md, dataset_info.json, notes.txt" in found.summary.lines()


def test_a_dataset_that_save_to_disk_wrote_is_read_by_its_split(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    DatasetDict(test=Dataset.from_list([dict(row) for row in ROWS])).save_to_disk(str(tmp_path / "saved"))
    assert len(read(str(tmp_path / "saved"), hub_split="test").seeds) == 12
    with pytest.raises(UserError, match=r"saved has no split train; set data\.hub_split= to one of test"):
        read(str(tmp_path / "saved"))


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "mac-roman", "cp037", "utf-8", "utf-16", "utf-7"])
def test_the_encoding_of_the_settings_is_for_files_that_do_not_tell_their_own(encoding: str, tmp_path: Path) -> None:
    rows = [*ROWS, {"prompt": "où est le café?", "label": "safe"}]
    given = "cp1252" if encoding.startswith("utf-8") or encoding == "utf-16" else encoding
    found = read(write(tmp_path, "a.csv", as_bytes(table(rows), encoding)), encoding=given)
    assert [seed.text for seed in found.seeds] == [row["prompt"] for row in rows]


def test_a_kind_for_all_rows_that_a_column_contradicts_is_told(tmp_path: Path) -> None:
    found = read(write(tmp_path, "a.jsonl", jsonl()), kind="harmful")
    assert {seed.kind for seed in found.seeds} == {"harmful"}
    assert "  rows whose column of kinds says otherwise than is taken for all: 6" in found.summary.lines()


def test_a_column_of_kinds_that_comes_twice_does_no_harm_where_the_kind_is_given(tmp_path: Path) -> None:
    content = table([{**row, "more": "x"} for row in ROWS], header="prompt,label,label")
    found = read(write(tmp_path, "a.csv", content), kind="benign")
    assert len(found.seeds) == 12


def test_numbers_of_classes_are_read_by_their_names(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset

    data = Dataset.from_list([dict(row) for row in ROWS]).cast_column("label", ClassLabel(names=["harmful", "benign"]))
    data.to_parquet(str(tmp_path / "a.parquet"))
    data.save_to_disk(str(tmp_path / "saved"))
    for name in ("a.parquet", "saved"):
        found = read(str(tmp_path / name), **BOTH)
        assert [seed.kind for seed in found.seeds] == ["harmful"] * 6 + ["benign"] * 6


def test_no_name_at_all_is_refused_and_not_taken_for_this_folder() -> None:
    with pytest.raises(UserError, match=r"data\.seeds= is empty: name testbed, a file, a folder or hub:NAME"):
        read("")


ZSTD = b"\x28\xb5\x2f\xfd\x00\x00"
REFUSED: dict[str, tuple[str, str | bytes | None, dict[str, Any], str]] = {
    "no file": ("a.jsonl", None, {}, "data.seeds={path}: no such file"),
    "labels in other words": (
        "a.jsonl",
        jsonl(with_labels("harmful", "Harm", "jailbreak", "toxic", "", None, ["harmful", "safe"], {"a": 1}, "unknown")),
        {},
        "data.seeds={path}: column 'label' holds values that say neither harmful nor benign: '' (empty) 2, 'Harm' 1, "
        "'an object' 1, 'harmful, safe' 1, 'jailbreak' 1, 'toxic' 1, 'unknown' 1; understood: 'benign' 3, 'harmful' 1; "
        "say what they mean by data.harmful_values=[...] and data.benign_values=[...], or leave their rows out by "
        "data.skip_values=[...]",
    ),
    "a label that is a text": (
        "a.jsonl",
        jsonl(with_labels("a sentence that nobody would want to see in a log")),
        {},
        "data.seeds={path}: column 'label' holds values that say neither harmful nor benign: one of 49 characters 1; "
        "understood: 'benign' 6, 'harmful' 5; say what they mean by data.harmful_values=[...] and "
        "data.benign_values=[...], or leave their rows out by data.skip_values=[...]",
    ),
    "truth values of what is safe": (
        "a.jsonl",
        jsonl([{"prompt": row["prompt"], "is_safe": row["label"] == "benign"} for row in ROWS]),
        {"columns": {"kind": "is_safe"}},
        "data.seeds={path}: column 'is_safe' holds values that say neither harmful nor benign: 'false' 6, 'true' 6 "
        "(nothing says whether false or true is harmful); say what they mean by data.harmful_values=[...] and "
        "data.benign_values=[...], or leave their rows out by data.skip_values=[...]",
    ),
    "two columns of one name": (
        "a.csv",
        table([{"prompt": r["prompt"], "other": "x", "label": r["label"]} for r in ROWS], header="prompt,prompt,label"),
        {},
        "{path}: two columns are called 'prompt': rename one, or set data.columns.text= to another",
    ),
    "two values of one name": (
        "a.jsonl",
        '{"prompt": "one", "prompt": "two", "label": "safe"}\n' * 2,
        {},
        "{path}: two columns are called 'prompt': rename one, or set data.columns.text= to another",
    ),
    "a cell too many": (
        "a.csv",
        table() + "one,harmful,two\n",
        {},
        "{path} line 14: the number of cells is not that of the header (cell 3 of 3 stands below no name; the header "
        "is prompt, label): put quotes around a text that holds the delimiter",
    ),
    "a cell too few": (
        "a.csv",
        table() + "one\n",
        {},
        "{path} line 14: the number of cells is not that of the header (1 cells; label is missing)",
    ),
    "a quote that nobody closes": (
        "a.csv",
        table() + '"one,harmful\ntwo,harmful\n',
        {},
        "{path} line 14 to 15 is not CSV (unexpected end of data)",
    ),
    "no header": (
        "a.csv",
        table(header=f'"{HARMFUL[0]}",harmful'),
        {},
        "{path} line 2: no column 'text' for text; set data.columns.text= to one of a name of 50 characters, harmful",
    ),
    "a line that is cut": (
        "a.jsonl",
        jsonl()[:-20],
        {},
        "{path} line 12 is not JSON (Expecting property name enclosed in double quotes at column 51)",
    ),
    "an array that is cut": (
        "a.json",
        "[\n" + ",\n".join(map(json.dumps, ROWS)),
        {},
        "{path} line 13 is not JSON (Expecting ',' delimiter at column 70)",
    ),
    "a text among objects": ("a.jsonl", jsonl([*ROWS, "one"]), {}, "{path} line 13 is not a JSON object"),
    "several tables": (
        "a.json",
        json.dumps({"train": ROWS, "test": ROWS}),
        {},
        "{path} holds several tables (train, test): save one of them in a file of its own",
    ),
    "a number": ("a.json", "3", {}, "{path} holds one JSON int and no rows"),
    "no file ending": (
        "a",
        jsonl(),
        {},
        "data.seeds={path}: should be testbed, hub:NAME, a folder, or a file ending in .jsonl, .ndjson, .json, .csv, "
        ".tsv, .txt, .parquet (or in one of these and .gz)",
    ),
    "zstd": (
        "a.jsonl.zst",
        ZSTD,
        {},
        "data.seeds={path}: should be testbed, hub:NAME, a folder, or a file ending in .jsonl, .ndjson, .json, .csv, "
        ".tsv, .txt, .parquet (or in one of these and .gz); unpack it first, or compress it by gzip",
    ),
    "zstd that its name does not tell": (
        "a.jsonl",
        ZSTD,
        {},
        "{path} is compressed by zstd: unpack it first, or compress it by gzip",
    ),
    "a workbook that is called CSV": (
        "a.csv",
        b"PK\x03\x04\x14\x00",
        {},
        "{path} is a zip archive or an Excel workbook: save the table as CSV",
    ),
    "a pointer of Git LFS": (
        "a.parquet",
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        {},
        "{path} is a pointer of Git LFS and not the file: fetch it by `git lfs pull`",
    ),
    "a web page": ("a.jsonl", "<!DOCTYPE html>\n", {}, "{path} is a web page: fetch the file itself"),
    "names that differ in case": (
        "a.jsonl",
        jsonl([ROWS[0], {"Prompt": "one", "label": "safe"}]),
        {},
        "{path}: two columns are called 'prompt': rename one, or set data.columns.text= to another",
    ),
    "bytes that are no text": (
        "a.jsonl",
        bytes(range(256)) * 8,
        {},
        "{path} holds bytes that are no text: is it another kind of file than its name says?",
    ),
    "gzip that is cut": (
        "a.jsonl.gz",
        zipped(jsonl())[:-40],
        {},
        "{path} ends before its gzip data do: it was copied in part, fetch it again",
    ),
    "Parquet that is none": ("a.parquet", "text", {}, "{path} is not a readable Parquet file ("),
    "Windows-1252": (
        "a.csv",
        as_bytes(table([*ROWS, {"prompt": "where is the café?", "label": "safe"}]), "cp1252"),
        {},
        "{path} line 14 is not UTF-8 text (byte 0xe9: invalid continuation byte): set data.encoding, for example "
        "cp1252 if a Windows program wrote it, or save the file as UTF-8",
    ),
    "another encoding than the one that is named": (
        "a.csv",
        as_bytes(table([*ROWS, {"prompt": "where is the café?", "label": "safe"}]), "cp1252"),
        {"encoding": "cp932"},
        "{path} line 14 is not CP932 text (byte 0xe9: illegal multibyte sequence): set another data.encoding, or save "
        "the file as UTF-8",
    ),
    "UTF-16 that is cut": (
        "a.jsonl",
        utf16(jsonl())[:-1],
        {},
        "{path} (byte 1767) is not UTF-16-LE text (byte 0x0a: truncated data): it may be cut; save it anew, best as "
        "UTF-8",
    ),
    "lines of text without a kind": (
        "a.txt",
        "\n".join(BENIGN),
        {},
        "{path} line 1: no column 'kind'; set data.kind=harmful or benign for all rows, or data.columns.kind= to one "
        "of text",
    ),
    "requests that are all empty": (
        "a.jsonl",
        jsonl([{"prompt": "", "label": "safe"}] * 3),
        {},
        "data.seeds={path} holds 0 different requests (left out: 3 without a request): at least 2 are needed, to train "
        "and to evaluate on",
    ),
    "messages of nobody": (
        "a.jsonl",
        jsonl([{"messages": [{"role": "narrator", "content": "one"}], "label": "safe"}]),
        {},
        "{path} line 1: a message has the role 'narrator'; known are system, developer, user, human, prompter, "
        "assistant, gpt, model, bot, chatbot",
    ),
    "messages with a picture": (
        "a.jsonl",
        jsonl([{"messages": [{"role": "user", "content": [{"type": "image"}]}], "label": "safe"}]),
        {},
        "{path} line 1: a message holds more than text, which no model here reads",
    ),
    "several columns for the kind": (
        "a.jsonl",
        jsonl(),
        {"columns": {"kind": ["label", "prompt"]}},
        "data.columns.kind=[label,prompt]: this field takes one column",
    ),
}


@pytest.mark.parametrize(("name", "content", "settings", "line"), REFUSED.values(), ids=REFUSED)
def test_refused_in_one_line(
    name: str, content: str | bytes | None, settings: dict[str, Any], line: str, tmp_path: Path
) -> None:
    if content is not None:
        write(tmp_path, name, content)
    with pytest.raises(UserError) as refused:
        read(str(tmp_path / name), **settings)
    told, expected = str(refused.value), line.format(path=tmp_path / name)
    assert told.startswith(expected) and (told == expected or expected.endswith("(")) and "\n" not in told


def test_a_missing_file_is_told_with_the_one_that_is_spelled_alike(tmp_path: Path) -> None:
    write(tmp_path, "prompts.jsonl", jsonl())
    with pytest.raises(UserError, match=r"no such file; did you mean .*prompts\.jsonl\?"):
        read(str(tmp_path / "prompt.jsonl"))


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder without a file ending in"):
        read(str(tmp_path))
