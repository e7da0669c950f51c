"""Instructions with reference answers, of a file of `evaluation.texts`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from superalign.data.columns import request_in
from superalign.data.forms import cell, is_empty, shown
from superalign.data.layouts import by_lower
from superalign.data.tables import read_tables
from superalign.errors import UserError
from superalign.records import content_id

PROMPT: Final = ("instruction", "prompt", "question", "query")
INPUT: Final = ("input", "context")
"""What an instruction is about, beside it."""
ANSWER: Final = ("output", "response", "completion", "answer")


@dataclass(frozen=True, slots=True)
class Reference:
    """A prompt and the answer that somebody wrote to it; `id` is by the content of both."""

    id: str
    prompt: str
    answer: str


def read_references(source: str, hub_split: str, what: str) -> list[Reference]:
    """The different prompts with answers of a file, a folder or the hub; rows without either are left out.

    Raises:
        UserError: the source cannot be read, a column is missing, or fewer than two rows have both.
    """
    found: dict[str, Reference] = {}
    for table in read_tables(source, hub_split, what):
        if not table.rows:
            continue
        known = by_lower(table.columns)
        prompt, answer = (next((known[each] for each in names if each in known), None) for names in (PROMPT, ANSWER))
        for field, column, names in (("the prompt", prompt, PROMPT), ("the answer", answer, ANSWER)):
            if column is None:
                raise UserError(
                    f"{what}={table.name}: no column for {field} (looked for {', '.join(names)}; it has "
                    f"{shown(table.columns)})"
                )
        asked = [column for column in (prompt, *(known.get(each) for each in INPUT)) if column]
        for where, row in table.rows:
            text, said = _joined(where, row, asked), cell(row, str(answer))
            if text and isinstance(said, str) and not is_empty(said):
                made = Reference(content_id(text, said), text, said.strip())
                found[made.id] = made
    if len(found) < 2:
        raise UserError(f"{what}={source}: {len(found)} rows have a prompt and an answer, at least 2 are needed")
    return list(found.values())


def _joined(where: str, row: Mapping[str, Any], columns: Sequence[str]) -> str:
    parts = [request_in(where, column, cell(row, column), Counter()) for column in columns]
    return "\n\n".join(part for part in parts if part)
