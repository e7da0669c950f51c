"""Which column of a table holds what: as the settings say, as its layout is known, or by its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from superalign.config.sections import DataConfig
from superalign.data.dialogues import carried, prompt_of, turns_of
from superalign.data.forms import Table, cell, is_empty, shown
from superalign.data.labels import Labels
from superalign.data.layouts import PLAIN, Layout, by_lower, find, recognise
from superalign.data.tables import HUB
from superalign.errors import UserError, nearest
from superalign.records import Kind

FIELDS: Final = ("id", "text", "kind", "category", "lookalike")
KINDS: Final = ("kind", "label")
"""Columns of the kind in files of no known layout."""


def known_fields(columns: Collection[str], fields: Sequence[str]) -> None:
    """Refuse settings of columns for fields that do not exist.

    Raises:
        UserError: one does not.
    """
    for name in columns:
        if name not in fields:
            raise UserError(f"unknown key data.columns.{name}{nearest(name, fields)} (fields: {', '.join(fields)})")


def one_column_each(columns: Mapping[str, str | tuple[str, ...]]) -> dict[str, str]:
    """The columns of fields that take one each.

    Raises:
        UserError: a field has several.
    """
    found = {name: column if isinstance(column, str) else ",".join(column) for name, column in columns.items()}
    for name, column in columns.items():
        if not isinstance(column, str) and len(column) != 1:
            raise UserError(f"data.columns.{name}=[{found[name]}]: this field takes one column")
    return found


def told_columns(table: Table, given: str | tuple[str, ...], what: str) -> tuple[str, ...]:
    """The columns that the settings name for a field.

    Raises:
        UserError: one is not there, or is there twice.
    """
    found = []
    for name in (given,) if isinstance(given, str) else given:
        column = find(table.columns, name)
        if column is None:
            raise UserError(missing_column(table, name, what))
        if column in table.twice:
            raise UserError(_twice(table, column, what))
        found.append(column)
    return tuple(found)


def once(table: Table, columns: tuple[str, ...], what: str) -> tuple[str, ...]:
    """The columns, each of which must be there once.

    Raises:
        UserError: two have the name of one of them, or names that differ from it in case alone.
    """
    names = [name.strip().casefold() for name in table.columns]
    for column in columns:
        if column in table.twice or names.count(column.strip().casefold()) > 1:
            raise UserError(_twice(table, column, what))
    return columns


def _twice(table: Table, column: str, what: str) -> str:
    return f"{table.name}: two columns are called {column!r}: rename one, or set data.columns.{what}= to another"


def missing_column(table: Table, name: str, what: str) -> str:
    """What to say where a column is missing."""
    where = table.rows[0][0] if table.rows else table.name
    return f"{where}: no column {name!r} for {what}; set data.columns.{what}= to one of {shown(table.columns)}"


@dataclass(frozen=True, slots=True)
class SeedColumns:
    """Where the fields of seed requests stand in one table.

    Attributes:
        text: columns whose texts are joined to a request.
        first_filled: the first of them that holds something is the request, instead.
        pair: the request is what the two of them begin with.
        kind: of all rows.
        labels: understands the kind column, if there is one; where `data.kind` is given it is only compared.
        layout: how the table was understood, for people.
        lookalikes: whether benign requests look harmful on purpose.
    """

    text: tuple[str, ...]
    first_filled: bool
    pair: bool
    kind: Kind | None
    kind_column: str | None
    labels: Labels | None
    id: str | None
    category: str | None
    lookalike: str | None
    lookalikes: bool
    layout: str

    @classmethod
    def of(cls, config: DataConfig, table: Table) -> SeedColumns:
        """The columns of a table.

        Raises:
            UserError: there is none for the text or the kind, a named one is missing, or one is there twice.
        """
        hub = table.name.startswith(HUB)
        name = f"{table.name} {config.hub_split}" if hub else Path(table.name).name
        known = recognise(table, name)
        told, columns = config.columns, by_lower(table.columns)

        def column(field: str, plain: Sequence[str] = (), of_layout: str | None = None) -> str | None:
            if field in told:
                given = one_column_each({field: told[field]})[field]
                return told_columns(table, given, field)[0]
            found = next((columns[each] for each in (of_layout, *plain) if each in columns), None)
            return found and once(table, (found,), field)[0]

        if "text" in told:
            text = told_columns(table, told["text"], "text")
        elif known:
            text = once(table, tuple(columns[each] for each in known.text if each in columns), "text")
        elif plain := next((columns[each] for each in PLAIN if each in columns), None):
            text = once(table, (plain,), "text")
        else:
            raise UserError(missing_column(table, "text", "text"))
        kind = config.kind
        if kind is None and "kind" not in told and known:
            kind = known.kind or known.named(name)
        labels = None
        # Beside the columns of a known data set a `label` is of something else: TRL's tells wanted answers.
        plain_kinds: tuple[str, ...] = KINDS if known is None else KINDS[:1]
        if kind is not None:  # what is only compared need not be there once
            plain_kinds = tuple(each for each in plain_kinds if columns.get(each) not in table.twice)
        kind_column = column("kind", plain_kinds, known.kind_column if known else None)
        if kind is None and kind_column is None:
            raise UserError(_no_kind(table, known))
        if kind_column is not None:
            words = known.words if known and kind_column == columns.get(known.kind_column or "") else {}
            labels = Labels(config, kind_column, "kind" in told or kind_column.casefold() == "kind", words)
        return cls(
            text=text,
            first_filled=bool(known and known.first_filled and "text" not in told),
            pair=bool(known and known.pair and "text" not in told),
            kind=kind,
            kind_column=kind_column,
            labels=labels,
            id=column("id", ("id",), known.id if known else None),
            category=column("category", ("category",), known.category if known else None),
            lookalike=column("lookalike", ("lookalike",)),
            lookalikes=bool(known and known.lookalikes and "lookalike" not in told),
            layout=_told(known, text, kind, kind_column),
        )

    def request(self, where: str, row: Mapping[str, Any], notes: Counter[str]) -> str:
        """The request of a row, empty where it has none; what was dropped of a dialogue is counted.

        Raises:
            UserError: a column holds neither text nor a dialogue.
        """
        if self.pair:
            chosen, rejected = (cell(row, column) for column in self.text)
            return prompt_of(where, chosen, rejected, notes)
        parts = []
        for column in self.text:
            if part := request_in(where, column, cell(row, column), notes):
                parts.append(part)
                if self.first_filled:
                    break
        return "\n\n".join(parts)


def request_in(where: str, column: str, value: Any, notes: Counter[str]) -> str:
    """The request in one cell: a text, or what a dialogue asks last with the turns before it.

    Raises:
        UserError: it is neither.
    """
    if is_empty(value):
        return ""
    turns = turns_of(where, value)
    if turns is None:
        if not isinstance(value, str):
            raise UserError(f"{where}: column {column!r} holds no text")
        return value.strip()
    return carried(turns, notes)


def _no_kind(table: Table, known: Layout | None) -> str:
    where = table.rows[0][0] if table.rows else table.name
    why = f"its layout ({known.name}) does not say which requests are harmful" if known else "no column 'kind'"
    return (
        f"{where}: {why}; set data.kind=harmful or benign for all rows, or data.columns.kind= to one of "
        f"{shown(table.columns)}"
    )


def _told(known: Layout | None, text: Sequence[str], kind: Kind | None, kind_column: str | None) -> str:
    layout = f"known as {known.name}" if known else "no known layout"
    meaning = f"all {kind}" if kind else f"kind from {kind_column}"
    return f"{layout}: text from {' and '.join(text)}, {meaning}"
