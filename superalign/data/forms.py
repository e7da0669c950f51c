"""The rows in the text of a file: JSON and JSON Lines in their variants, lines of text, Parquet."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from superalign.data.encodings import sound
from superalign.errors import UserError

SourceRow = tuple[str, Mapping[str, Any]]  # where it stands, for messages; its columns
LINES: Final = re.compile(r"\r\n|\n|\r")  # no others: a JSON text may hold U+2028 as it is
TEXT: Final = "text"  # column of rows that are nothing but a text
LONG: Final = 32  # characters of a column's name from which on it may be a request


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one file.

    Attributes:
        name: the file.
        form: what it is, for people.
        rows: that hold something.
        empty: how many rows hold nothing.
        replaced: how many halves of surrogate pairs became U+FFFD.
        twice: names that more than one column has; a row holds the first of them.
    """

    name: str
    form: str
    rows: Sequence[SourceRow]
    empty: int = 0
    replaced: int = 0
    twice: frozenset[str] = frozenset()

    @property
    def columns(self) -> list[str]:
        """The names of all columns in the order in which they come, those inside an object as `column.name`."""
        found: dict[str, None] = {}
        for _, row in self.rows:
            for name, value in row.items():
                found[name] = None
                if isinstance(value, Mapping):
                    found |= {f"{name}.{inner}": None for inner in value}
        return list(found)


def cell(row: Mapping[str, Any], column: str) -> Any:
    """What a column holds in a row; `a.b` is what stands under `b` in the object that `a` holds."""
    if column in row:
        return row[column]
    outer, dot, inner = column.partition(".")
    held = row.get(outer)
    return cell(held, inner) if dot and isinstance(held, Mapping) else None


def is_empty(value: Any) -> bool:
    """Whether a cell holds nothing: null, NaN, or only spaces."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (
        isinstance(value, str | list | Mapping) and not (value.strip() if isinstance(value, str) else value)
    )


def shown(columns: Iterable[str], most: int = 12) -> str:
    """Names of columns for a message, without those that may be a request in a file without a header."""
    names = [name if len(name) <= LONG else f"a name of {len(name)} characters" for name in columns]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def json_table(path: Path, text: str, lines_first: bool) -> Table:
    """Rows of JSON Lines, of one JSON value, or of several after each other, whatever the file's name ends in.

    One value may be a list of rows, a table by columns, or an object that holds one list of rows.

    Raises:
        UserError: it is none of these; the message names the line.
    """
    reader = _JsonReader(path)
    lines = [(number, line) for number, line in enumerate(LINES.split(text), 1) if line.strip()]
    if not lines:
        return Table(str(path), "JSON", [])
    try:
        first = reader.parse(lines[0][1])
        alone = len(lines) == 1 and not (isinstance(first, dict) and _rows_inside(path, first) == [first])
        by_line = isinstance(first, dict | str) and not alone
    except ValueError:
        by_line = False
    whole: Exception | None = None
    if not (by_line and lines_first):
        try:
            return reader.table("JSON", _of_value(path, reader.parse(text)))
        except ValueError as error:
            whole = error
    if by_line and (lines_first or getattr(whole, "msg", "") == "Extra data"):
        return reader.table("JSON Lines", _of_lines(reader, lines))
    if (rows := _of_stream(reader, text)) is not None:
        return reader.table("JSON values", rows)
    if lines_first and len(lines) > 1:
        return reader.table("JSON Lines", _of_lines(reader, lines))  # which names the line
    raise UserError(f"{path} {_told(whole, 0)}")


class _JsonReader:
    """Parses JSON, remembering the names that an object has twice."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.twice: set[str] = set()
        self.decoder = json.JSONDecoder(object_pairs_hook=self._pairs)

    def parse(self, text: str) -> Any:
        try:
            return self.decoder.decode(text)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None

    def table(self, form: str, rows: Iterable[tuple[str, Any]]) -> Table:
        """The rows that hold something, all of them objects or all of them texts."""
        found, kept, replaced = list(rows), list[SourceRow](), 0
        texts = bool(found) and isinstance(found[0][1], str)
        for where, value in found:
            if not isinstance(value, str if texts else dict):
                raise UserError(f"{where} is not a JSON {'text, as those before it' if texts else 'object'}")
            row, halves = _sound_row({TEXT: value} if isinstance(value, str) else value)
            replaced += halves
            if not all(map(is_empty, row.values())):
                kept.append((where, row))
        form = f"{form}, a text each" if texts else form
        return Table(str(self.path), form, kept, len(found) - len(kept), replaced, frozenset(self.twice))

    def _pairs(self, found: list[tuple[str, Any]]) -> dict[str, Any]:
        row = dict(found)
        if len(row) < len(found):
            names = [name for name, _ in found]
            self.twice |= {name for name in row if names.count(name) > 1}
        return row


def _of_lines(reader: _JsonReader, lines: Sequence[tuple[int, str]]) -> Iterator[tuple[str, Any]]:
    for number, line in lines:
        try:
            yield f"{reader.path} line {number}", reader.parse(line)
        except ValueError as error:
            raise UserError(f"{reader.path} {_told(error, number)}") from None


def _of_stream(reader: _JsonReader, text: str) -> list[tuple[str, Any]] | None:
    """Objects after each other that may take several lines each, as jq writes them; None if it is not that."""
    found, at = list[tuple[str, Any]](), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        try:
            value, end = reader.decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        found.append((f"{reader.path} line {len(LINES.findall(text, 0, at)) + 1}", value))
        at = end
    return found


def _of_value(path: Path, value: Any) -> Iterator[tuple[str, Any]]:
    """The rows that one JSON value holds."""
    if isinstance(value, dict):
        value = _rows_inside(path, value)
    if not isinstance(value, list):
        raise UserError(f"{path} holds one JSON {type(value).__name__} and no rows")
    yield from ((f"{path} row {number}", row) for number, row in enumerate(value, 1))


def _rows_inside(path: Path, value: Mapping[str, Any]) -> list[Any]:
    """Of an object: the one list of rows in it, a table by columns (as pandas writes it), or the object as one row."""
    if isinstance(names := value.get("columns"), list) and isinstance(cells := value.get("data"), list):
        return [dict(zip(names, row, strict=False)) for row in cells]  # pandas, orient="split"
    tables = [name for name, inner in value.items() if _is_rows(inner)]
    if len(tables) > 1:
        raise UserError(f"{path} holds several tables ({shown(tables)}): save one of them in a file of its own")
    if tables:
        return list(value[tables[0]])
    inner = list(value.values())
    if inner and all(isinstance(each, list) and not any(map(_is_message, each)) for each in inner):
        if len({len(each) for each in inner}) > 1:
            raise UserError(f"{path}: the columns ({shown(value)}) are not of one length")
        return [dict(zip(value, cells, strict=True)) for cells in zip(*inner, strict=True)]
    if inner and all(isinstance(each, dict) for each in inner):
        keys = list(inner[0])
        if keys and all(key.isdigit() for each in inner for key in each):  # pandas' own: by columns, then by rows
            return [{name: column.get(key) for name, column in value.items()} for key in keys]
        return [{"id": key, **row} for key, row in value.items()]
    return [dict(value)]


def _is_rows(value: Any) -> bool:
    """Whether a value is a list of rows, and not the messages of one."""
    rows = isinstance(value, list) and value and all(isinstance(each, dict) for each in value)
    return bool(rows) and not _is_message(value[0])


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and bool({"content", "value"} & value.keys())


def _told(error: Exception | None, line: int) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {line or error.lineno} is not JSON ({error.msg} at column {error.colno})"
    return f"line {line} is not JSON ({error})" if line else f"is not JSON ({error})"


def _sound_row(row: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """A row without halves of surrogate pairs, wherever they are in it."""
    count = 0

    def visit(value: Any) -> Any:
        nonlocal count
        if isinstance(value, str):
            value, found = sound(value)
            count += found
        elif isinstance(value, list):
            return [visit(each) for each in value]
        elif isinstance(value, dict):
            return {visit(name): visit(each) for name, each in value.items()}
        return value

    return visit(dict(row)), count


def text_table(path: Path, text: str) -> Table:
    """A text a line."""
    lines = LINES.split(text)
    rows = [(f"{path} line {number}", {TEXT: line}) for number, line in enumerate(lines, 1) if line.strip()]
    ends = bool(lines) and not lines[-1]
    return Table(str(path), "a request a line", rows, len(lines) - len(rows) - ends)


def with_words(row: Mapping[str, Any], words: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A row with the names of classes in place of their numbers, which the hub's data sets hold: 0 may be `harmful`."""
    found = dict(row)
    for column, names in words.items():
        number = found.get(column)
        if isinstance(number, int) and 0 <= number < len(names):
            found[column] = names[number]
    return found


def _class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, Sequence[str]]:
    """The names of classes by column, as `datasets` writes them into a Parquet file."""
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        return {name: each["names"] for name, each in features.items() if each.get("_type") == "ClassLabel"}
    except (ValueError, AttributeError, KeyError, TypeError):  # somebody else's
        return {}


def parquet_table(path: Path, data: bytes, class_names: bool) -> Table:
    """The rows of a Parquet file; see `read_tables` for `class_names`.

    Raises:
        UserError: it is none.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(pyarrow.BufferReader(data))
        names = table.column_names
        table = table.select([number for number, name in enumerate(names) if names.index(name) == number])
        words = _class_names(table.schema.metadata) if class_names else {}
        found = [with_words(row, words) for row in table.to_pylist()]
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a readable Parquet file ({str(error).splitlines()[0]})") from None
    rows = [(f"{path} row {n}", row) for n, row in enumerate(found, 1) if not all(map(is_empty, row.values()))]
    twice = frozenset(name for name in names if names.count(name) > 1)
    return Table(str(path), "Parquet", rows, len(found) - len(rows), 0, twice)
