"""Answers whose right verdict people have said: what judges, and the telling of refusals, are checked against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from superalign.data.forms import LONG, is_empty, shown
from superalign.data.tables import read_tables
from superalign.errors import UserError

COLUMNS: Final = {
    "prompt": ("prompt", "query", "question", "request", "instruction"),
    "answer": ("answer", "response", "completion", "output"),
    "acceptable": ("acceptable", "label"),
    "refused": ("refused", "refusal"),
    "complies": ("complies", "complied", "compliance"),
    "harmful": ("harmful", "prompt_harm", "kind"),
}
"""Names under which each field is looked for, the first that a file has."""
_YES, _NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")
VALUES: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "acceptable": (
        frozenset((*_YES, "acceptable", "accept", "accepted", "good", "safe")),
        frozenset((*_NO, "unacceptable", "not acceptable", "reject", "rejected", "bad", "unsafe")),
    ),
    "refused": (frozenset((*_YES, "refusal", "refused")), frozenset((*_NO, "compliance", "complied", "answered"))),
    "complies": (frozenset((*_YES, "compliance", "complied", "answered")), frozenset((*_NO, "refusal", "refused"))),
    "harmful": (
        frozenset((*_YES, "harmful", "unsafe")),
        frozenset((*_NO, "unharmful", "harmless", "not harmful", "benign", "safe")),
    ),
}
"""What means yes and what means no in each of them; nothing else is guessed at."""
SAID: Final = ("acceptable", "refused", "harmful")
"""What an answer was said to be, in the order of `JudgedAnswer`."""


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """An answer to a prompt with what people said of it; None where they did not."""

    prompt: str
    answer: str
    acceptable: bool | None = None
    refused: bool | None = None
    harmful: bool | None = None


def read_judged_answers(source: str, what: str, needed: Sequence[str], either: bool = False) -> list[JudgedAnswer]:
    """The rows of a file in which all that is `needed`, or with `either` any of it, is known.

    A column `complies` tells of refusals, too. Where a file tells of harm and of refusal alone, as WildGuardTest (arXiv
    2406.18495) does, an answer counts as acceptable that refuses what is harmful and does not refuse what is not.

    Args:
        source: as for `read_tables`.
        what: the setting that names it, for messages.
        needed: of `acceptable`, `refused` and `harmful`.
        either: whether one of these is enough.

    Raises:
        UserError: the file cannot be read, a column is missing, a value means neither yes nor no, or no row has all
            that is needed.
    """
    rows = [row for table in read_tables(source, "train", what) for _, row in table.rows]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    found = {field: next((name for name in names if name in columns), None) for field, names in COLUMNS.items()}
    tells = {field for field, name in found.items() if name} | ({"refused"} if found["complies"] else set())
    composed = "acceptable" not in tells and {"refused", "harmful"} <= tells
    tells |= {"acceptable"} if composed else set()
    missing = [field for field in needed if field not in tells]
    if either and len(missing) < len(needed):
        needed, missing = [field for field in needed if field in tells], []
    for field in [field for field in ("prompt", "answer") if field not in tells] + missing:
        names = [*COLUMNS[field], *(COLUMNS["complies"] if field == "refused" else ())]
        also = f", nor for {' or '.join(missing[1:])}" if either and field in missing else ""
        raise UserError(
            f"{what}={source}: no column for {field}{also} (looked for {', '.join(names)}; it has {shown(columns)})"
        )
    wanted = {*needed} | ({"refused", "harmful"} if composed and "acceptable" in needed else set())
    wanted |= {"complies"} if "refused" in wanted else set()
    told = {field: _column(rows, found[field], field, what, field in wanted) for field in VALUES}
    if found["refused"] is None:
        told["refused"] = [None if complies is None else not complies for complies in told["complies"]]
    if composed:
        told["acceptable"] = [
            None if refused is None or harmful is None else refused == harmful
            for refused, harmful in zip(told["refused"], told["harmful"], strict=True)
        ]
    prompts, answers = ([row.get(str(found[field])) for row in rows] for field in ("prompt", "answer"))
    every = [
        JudgedAnswer(str(prompt), str(answer), *said)
        for prompt, answer, *said in zip(prompts, answers, *(told[field] for field in SAID), strict=True)
        if not is_empty(prompt) and not is_empty(answer)
    ]
    enough = any if either else all
    complete = [answer for answer in every if enough(getattr(answer, field) is not None for field in needed)]
    if not complete:
        raise UserError(
            f"{what}={source}: none of its {len(rows)} rows has a prompt, an answer and a label ({', '.join(needed)})"
        )
    return complete


def _column(
    rows: Sequence[Mapping[str, Any]], name: str | None, field: str, what: str, needed: bool
) -> list[bool | None]:
    """What each row says in a column; None where it is empty or, where that is not needed, says something else.

    Raises:
        UserError: a cell that is needed says neither yes nor no.
    """
    yes, no = VALUES[field]
    words = ["" if name is None or is_empty(row.get(name)) else str(row[name]).strip().lower() for row in rows]
    unknown = Counter(word for word in words if word and word not in yes | no)
    if unknown and needed:
        told = ", ".join(f"{word[:LONG]!r} {count} times" for word, count in unknown.most_common(5))
        raise UserError(
            f"{what}: column {name!r} holds {told}, which means neither yes nor no "
            f"(yes: {', '.join(sorted(yes))}; no: {', '.join(sorted(no))})"
        )
    return [True if word in yes else False if word in no else None for word in words]
