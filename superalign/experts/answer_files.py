"""The rows of a file of answers, in whatever form and encoding; what cannot be read of it is told by its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from superalign.data.delimited import delimited_table
from superalign.data.encodings import decode, read_bytes
from superalign.errors import UserError

LINES: Final = re.compile(r"\r\n|\n|\r")  # no others: a JSON text may hold U+2028 as it is


class BadAnswer(Exception):
    """Something in a row is not what it should be; the text says what."""


@dataclass(frozen=True, slots=True)
class ImportedAnswer:
    """An answer in a file: where it stands, its item, who gave it and its word; the propensity if the file tells it.

    `dimensions` are the words by question where there are several.
    """

    where: str
    item_id: object
    annotator: object
    answer: object
    pi: object = None
    dimensions: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """What cannot be taken, by its place, and why."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}{' ' if self.why.startswith(('is ', 'has ')) else ': '}{self.why}"


@dataclass(frozen=True, slots=True)
class Unanswered:
    """What nobody has answered: empty, skipped, or a draft."""

    where: str


Read = ImportedAnswer | Refused | Unanswered
Row = dict[str, Any]


def read_rows(path: str | Path, noun: str) -> Iterator[tuple[str, Row] | Refused]:
    """The rows of JSON Lines, of a JSON list (its rows are called `noun`), or of a table (CSV, TSV), by place.

    Files may be packed by gzip; a byte-order mark or the zero bytes of UTF-16 and UTF-32 tell their encoding.

    Raises:
        UserError: the file cannot be read, or is none of these.
    """
    file, text = Path(path), read_text(path)
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if ".csv" in suffixes or ".tsv" in suffixes:
        yield from ((where, dict(row)) for where, row in delimited_table(file, text, ".tsv" in suffixes).rows)
    elif (found := _list(text)) is not None:
        yield from (_object(row, f"{path} {noun} {number}") for number, row in enumerate(found, 1))
    else:
        yield from _lines(path, text)


def answers_in(rows: Iterable[tuple[str, Row] | Refused], read: Callable[[Row, str], Iterable[Read]]) -> list[Read]:
    """What `read` finds in every row; a row that is `BadAnswer` is refused."""
    found: list[Read] = []
    for one in rows:
        if isinstance(one, Refused):
            found.append(one)
            continue
        where, row = one
        try:
            found.extend(read(row, where))
        except BadAnswer as error:
            found.append(Refused(where, str(error)))
    return found


def read_text(path: str | Path) -> str:
    """The text of a file.

    Raises:
        UserError: it cannot be read, or is no text.
    """
    try:
        Path(path).stat()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        return decode(Path(path), read_bytes(Path(path)), None)[0]
    except UserError as error:
        what, setting, _ = str(error).partition(": set data.encoding")
        raise UserError(f"{what}: save the file as UTF-8" if setting else what) from None


def object_field(row: Row, name: str) -> Row:
    """The object that a field of a row holds; empty if it is absent or null.

    Raises:
        BadAnswer: the field holds something else.
    """
    found = row.get(name) or {}
    if not isinstance(found, dict):
        raise BadAnswer(f"{name} should be an object")
    return found


def _list(text: str) -> list[Any] | None:
    """The JSON list that a text is; None if it is none."""
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    several = len(LINES.split(text.strip())) > 1 or any(isinstance(row, dict) for row in found)
    return found if several or not found else None


def _lines(path: str | Path, text: str) -> Iterator[tuple[str, Row] | Refused]:
    for number, line in enumerate(LINES.split(text), 1):
        where = f"{path} line {number}"
        if not line.strip():
            continue
        try:
            yield _object(json.loads(line), where)
        except (ValueError, RecursionError) as error:
            yield Refused(where, f"is not JSON ({getattr(error, 'msg', error)})")


def _object(row: Any, where: str) -> tuple[str, Row] | Refused:
    return (where, row) if isinstance(row, dict) else Refused(where, "is not a JSON object")
