"""Tables whose cells a delimiter divides: CSV with commas, semicolons, tabs or bars.

The csv module of the standard library reads them, and not pandas: that fills rows which are too short, renames columns
that come twice, takes words such as "NA" or "null" for nothing, and tells no line of a mistake.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from superalign.data.forms import SourceRow, Table, shown
from superalign.errors import UserError

DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
DECLARED: Final = re.compile(r'"?sep=(.)"?(?:\r\n|\n|\r)')  # Excel's first line
SNIFFED: Final = 50  # rows by which a delimiter is found
Cells = tuple[int, list[str]]  # the line where a row begins; what it holds


def delimited_table(path: Path, text: str, tabs: bool) -> Table:
    """The rows of a CSV or TSV file with a header.

    Args:
        path: the file.
        text: of it.
        tabs: whether its name says that tabs divide the cells; others are tried as well.

    Raises:
        UserError: a row has more or fewer cells than the header, or is malformed; the message names the line.
    """
    declared = DECLARED.match(text)
    delimiter = declared[1] if declared else _delimiter(text, "\t" if tabs else ",")
    if declared:
        text = text[declared.end() :]
    first = 1 + bool(declared)
    try:
        return _read(path, text, delimiter, first, quoted=True)
    except UserError:
        if delimiter != "\t":
            raise
        with suppress(UserError):  # programs that write tabs often put no quotes around anything
            return _read(path, text, delimiter, first, quoted=False)
        raise


def _read(path: Path, text: str, delimiter: str, first: int, quoted: bool) -> Table:
    """The rows of a text whose first line is the `first` of the file."""
    rows, empty = list[SourceRow](), 0
    header: list[str] | None = None
    try:
        for line, cells in _cells(text, delimiter, quoted=quoted):
            where = f"{path} line {line + first - 1}"
            if not any(cell.strip() for cell in cells):
                empty += header is not None
            elif header is None:
                header = [cell.strip() for cell in cells]
            else:
                rows.append((where, _row(where, header, cells)))
    except csv.Error as error:
        raise UserError(f"{path} {error}") from None
    names = [name for name in header or [] if name]
    plain = "" if quoted else " and no quotes"
    form = f"CSV with {DELIMITERS.get(delimiter, repr(delimiter))}{plain}"
    return Table(str(path), form, rows, empty, 0, frozenset(each for each in names if names.count(each) > 1))


def _row(where: str, header: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """A row by its columns; of a name that comes twice the first. Cells below no name must be empty.

    The first column may go without a name: it is the index that pandas writes.
    """
    row: dict[str, str] = {}
    for number, cell in enumerate(cells):
        name = header[number] if number < len(header) else ""
        if name:
            row.setdefault(name, cell)
        elif number and cell.strip():
            raise UserError(
                f"{where}: the number of cells is not that of the header (cell {number + 1} of {len(cells)} stands "
                f"below no name; the header is {shown(header)}): put quotes around a text that holds the delimiter"
            )
    if missing := [name for name in header[len(cells) :] if name]:
        raise UserError(
            f"{where}: the number of cells is not that of the header ({len(cells)} cells; {shown(missing)} is missing)"
        )
    return row


def _cells(text: str, delimiter: str, most: int | None = None, quoted: bool = True) -> Iterator[Cells]:
    """The rows of cells with the lines where they begin.

    Raises:
        csv.Error: a row is malformed; its text says where and how.
    """
    spaced = re.match(rf"[^\r\n]*{re.escape(delimiter)} ", text) is not None and delimiter != " "
    lines = io.StringIO(text, newline="")
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=spaced, quoting=quoting)
    number = 0
    with _large_cells():
        while most is None or number < most:
            begins, number = reader.line_num + 1, number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                end = f" to {reader.line_num}" if reader.line_num > begins else ""
                raise csv.Error(f"line {begins}{end} is not CSV ({error})") from None
            yield begins, cells


@contextmanager
def _large_cells() -> Iterator[None]:
    """Cells of any size: the csv module refuses those above 128 KiB."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _delimiter(text: str, expected: str) -> str:
    """The delimiter by which most rows have as many cells as the header, which has at least two."""
    best, found = (-1.0, False, 0), expected
    for delimiter in DELIMITERS:
        rows = list[list[str]]()
        with suppress(csv.Error):
            for _, cells in _cells(text, delimiter, SNIFFED):
                if any(map(str.strip, cells)):
                    rows.append(cells)
        if not rows or len(rows[0]) < 2:
            continue
        width = len(rows[0])
        fits = sum(len(cells) == width for cells in rows) / len(rows)
        best, found = max((best, found), ((fits, delimiter == expected, width), delimiter))
    return found
