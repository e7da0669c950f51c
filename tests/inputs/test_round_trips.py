"""Random tables, written in every form and encoding, are read back as they were."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superalign.data.tables import read_rows
from tests.inputs.files import Row, as_bytes, columns, jsonl, parquet_bytes, table, write, zipped

# No control characters but those of white space, nothing unassigned; surrogates and byte-order marks have tests of
# their own.
LETTERS: Final = st.one_of(
    st.characters(exclude_categories=("Cc", "Cn", "Co", "Cs"), exclude_characters="\ufeff"),
    st.sampled_from("\t\n\r\"',;|\\{}[]:\u2028\u0085"),
)
TEXTS: Final = st.text(LETTERS, min_size=1, max_size=40).filter(lambda text: bool(text.strip()))
TABLES: Final = st.lists(
    st.fixed_dictionaries({"prompt": TEXTS, "label": st.sampled_from(["harmful", "benign", "1", "null", "NA"])}),
    min_size=1,
    max_size=6,
)
FORMS: Final[dict[str, Callable[[Sequence[Row]], str]]] = {
    "a.jsonl": jsonl,
    "b.jsonl": lambda rows: jsonl(rows, "\r\n"),
    "escaped.jsonl": lambda rows: "\n".join(map(json.dumps, rows)),
    "a.json": lambda rows: json.dumps(rows, ensure_ascii=False),
    "indented.json": lambda rows: json.dumps(rows, indent=1),
    "columns.json": lambda rows: json.dumps(columns(rows), ensure_ascii=False),
    "a.csv": table,
    "excel.csv": lambda rows: table(rows, ends="\r\n"),
    "semicolons.csv": lambda rows: table(rows, ";"),
    "bars.csv": lambda rows: table(rows, "|"),
    "a.tsv": lambda rows: table(rows, "\t"),
}
ENCODINGS: Final = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le")


def read_back(folder: Path, name: str, content: bytes) -> list[dict[str, Any]]:
    return [dict(row) for _, row in read_rows(write(folder, name, content), "train", "data.seeds")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


QUICK = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@QUICK
@given(rows=TABLES, form=st.sampled_from(sorted(FORMS)), encoding=st.sampled_from(ENCODINGS), packed=st.booleans())
def test_a_table_is_read_as_it_was_written(
    folder: Path, rows: list[Row], form: str, encoding: str, packed: bool
) -> None:
    content = as_bytes(FORMS[form](rows), encoding)
    found = read_back(folder, f"{form}.gz" if packed else form, zipped(content) if packed else content)
    assert found == rows


@QUICK
@given(rows=TABLES)
def test_parquet_is_read_as_it_was_written(folder: Path, rows: list[Row]) -> None:
    assert read_back(folder, "a.parquet", parquet_bytes(rows)) == rows


@QUICK
@given(texts=st.lists(TEXTS.map(lambda text: " ".join(text.splitlines())).filter(str.strip), min_size=1, max_size=6))
def test_lines_of_text_are_read_as_they_were_written(folder: Path, texts: list[str]) -> None:
    assert [row["text"] for row in read_back(folder, "a.txt", as_bytes("\n".join(texts)))] == texts
