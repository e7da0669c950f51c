"""One row of a file or a hub dataset as a task's fields: columns by name, values checked, mistakes with their place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, Final

from superalign.errors import UserError

LABEL_WIDTH: Final = 24


def squeezed(text: str) -> str:
    """The text without case, spaces, underscores and hyphens."""
    return re.sub(r"[\s_-]+", "", text).casefold()


@dataclass(frozen=True)
class TaskRow:
    """One row of a file or a hub dataset.

    Attributes:
        where: file and line, for messages.
        values: by column.
        columns: the column of a task's field, where they differ (`data.columns.FIELD=COLUMN`).
    """

    where: str
    values: Mapping[str, Any]
    columns: Mapping[str, str]

    def named(self, field: str) -> str:
        """The column of a field."""
        return self.columns.get(field, field)

    def has(self, field: str) -> bool:
        """Whether there is a column for the field, or ought to be because the user named it."""
        return field in self.columns or field in self.values

    def optional(self, field: str) -> Any:
        """What the column of a field holds, None where it is empty, NaN or absent.

        Raises:
            UserError: the user named a column for the field and there is none.
        """
        if field in self.columns:
            self._check_column(field)
        value = self.values.get(self.named(field))
        nothing = value is None or (isinstance(value, float) and math.isnan(value)) or not str(value).strip()
        return None if nothing else value

    def value(self, field: str) -> Any:
        """What the column of a field holds.

        Raises:
            UserError: there is no such column, or it is empty or NaN here.
        """
        self._check_column(field)
        value = self.optional(field)
        if value is None:
            raise UserError(f"{self.where}: column {self.named(field)!r} is empty")
        return value

    def text(self, field: str) -> str:
        """The words that the column of a field holds; a number counts as its digits."""
        value = self.value(field)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UserError(f"{self.where}: column {self.named(field)!r} holds no text")
        return str(value).strip()

    def maybe(self, field: str) -> str:
        """The words of a column that may be empty or absent, which gives the empty text."""
        return "" if self.optional(field) is None else self.text(field)

    def label(self, *classes: Set[str]) -> int:
        """The position of the class that the label column names, by any of its words.

        Raises:
            UserError: it names none of them.
        """
        value = self.value("label")
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        words = squeezed(str(value))
        for position, known in enumerate(classes):
            if words in map(squeezed, known):
                return position
        expected = " or ".join("/".join(sorted(known)) for known in classes)
        # A long value is a text and no label; it does not belong into a log.
        shown = repr(str(value)) if len(str(value)) <= LABEL_WIDTH else f"of {len(str(value))} characters"
        raise UserError(f"{self.where}: label {shown} is unknown; it should be {expected}")

    def _check_column(self, field: str) -> None:
        if self.named(field) not in self.values:
            raise UserError(
                f"{self.where}: no column {self.named(field)!r} for {field}; "
                f"set data.columns.{field}= to one of {', '.join(map(str, self.values))}"
            )
