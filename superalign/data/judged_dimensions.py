"""Answers with people's verdicts by dimension of a policy, as probabilities: how many of those asked agreed counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from superalign.data.forms import LONG, is_empty, shown
from superalign.data.judged_answers import COLUMNS, VALUES
from superalign.data.tables import read_tables
from superalign.errors import UserError
from superalign.prompts.policy import ACCEPTABLE, Policy

CATEGORY: Final = "category"
AGREEMENT, ANNOTATORS = "agreement", "annotators"
PEOPLE: Final = 3
"""How many people an agreement is a count of where no column tells it, as in WildGuardTest (arXiv 2406.18495)."""
REVERSES: Final = {"complies": "refused"}
"""Of which dimension a column tells the opposite."""
_SAFETY: Final = ("harmful", "complies", "sound")
YES, NO = frozenset({"yes", "true"}), frozenset({"no", "false"})

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class JudgedDimensions:
    """An answer to a prompt and what people said of it.

    Attributes:
        p: P(yes) by those dimensions that people told.
        acceptable: P(acceptable) as the file itself tells it; None where it does not.
        category: empty where the file has none.
    """

    prompt: str
    answer: str
    p: Mapping[str, float]
    acceptable: float | None
    category: str


def read_judged_dimensions(source: str, what: str, policy: Policy) -> list[JudgedDimensions]:
    """The rows of a file in which at least one dimension of the policy, or `acceptable`, is known.

    A dimension is a column of its own name, or of one of `judged_answers.COLUMNS`; `complies` is also the reverse of
    `refused`. It says yes or no in the words known of it or the policy's own, or P(yes) as a number from 0 to 1.
    Where a column of the same name with `_agreement` stands beside it, that is the share of people who said so, or how
    many did, of `annotators` (also `NAME_annotators`), or else of three: P(yes) is their share of all. What is
    acceptable is composed as `read_judged_answers` does where a file tells of harm and of compliance alone.

    Raises:
        UserError: the file cannot be read, a column is missing, a value means neither yes nor no, an agreement is no
            majority, or no row has anything.
    """
    rows = [row for table in read_tables(source, "train", what) for _, row in table.rows]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    names = {field: _column(field, columns) for field in ("prompt", "answer")}
    for field, name in names.items():
        if name is None:
            looked = ", ".join(COLUMNS[field])
            raise UserError(f"{what}={source}: no column for {field} (looked for {looked}; it has {shown(columns)})")
    asked = [*policy.dimensions, *(name for name in (ACCEPTABLE, *_SAFETY) if name not in policy.dimensions)]
    told = {name: found for name in asked if (found := _told(rows, columns, name, policy, what)) is not None}
    if ACCEPTABLE not in told and _like_wildguard(told, policy):
        told[ACCEPTABLE] = [
            None if harm is None or given is None else harm * (1 - given) + (1 - harm) * given
            for harm, given in zip(told["harmful"], told["complies"], strict=True)
        ]
    wanted = dict.fromkeys((*policy.dimensions, ACCEPTABLE))
    told = {name: told[name] for name in wanted if name in told}
    if not told:
        raise UserError(
            f"{what}={source}: no column for any of {', '.join(wanted)}, by policy {policy.name} "
            f"(it has {shown(columns)})"
        )
    every = []
    for number, row in enumerate(rows):
        prompt, answer = (row.get(str(name)) for name in names.values())
        said = {name: p for name, each in told.items() if (p := each[number]) is not None}
        if said and not is_empty(prompt) and not is_empty(answer):
            kept = {name: p for name, p in said.items() if name in policy.dimensions}
            category = "" if is_empty(row.get(CATEGORY)) else str(row[CATEGORY]).strip()
            every.append(JudgedDimensions(str(prompt), str(answer), kept, said.get(ACCEPTABLE), category))
    if not every:
        raise UserError(
            f"{what}={source}: none of its {len(rows)} rows has a prompt, an answer and a verdict on one of "
            f"{', '.join(told)}"
        )
    return every


def _like_wildguard(told: Mapping[str, object], policy: Policy) -> bool:
    """Whether harm and compliance are all that a file tells of what the built-in policies ask."""
    return set(policy.dimensions) <= {ACCEPTABLE, *_SAFETY} and {"harmful", "complies"} == set(told)


def _column(field: str, columns: Sequence[str]) -> str | None:
    """The column that holds a field: that of its own name, or one that is known to mean it."""
    return next((name for name in (field, *COLUMNS.get(field, ())) if name in columns), None)


def _told(rows: Rows, columns: Sequence[str], name: str, policy: Policy, what: str) -> list[float | None] | None:
    """P(yes) of a dimension in each row, None where a row does not tell; None if no column does."""
    column = _column(name, columns)
    if column is not None:
        return _probabilities(rows, columns, column, name, policy, what)
    if name in REVERSES and (column := _column(REVERSES[name], columns)) is not None:
        found = _probabilities(rows, columns, column, REVERSES[name], policy, what)
        return [None if p is None else 1 - p for p in found]
    return None


def _probabilities(
    rows: Rows, columns: Sequence[str], column: str, field: str, policy: Policy, what: str
) -> list[float | None]:
    yes, no = VALUES.get(field, (YES, NO))
    if (dimension := policy.dimensions.get(field)) is not None:
        yes, no = (
            yes | {dimension.if_yes.lower(), field.lower()},
            no | {dimension.if_no.lower(), f"not {field.lower()}"},
        )

    def read(value: Any) -> float | None:
        word = str(value).strip().lower()
        number = _number(value)
        return 1.0 if word in yes else 0.0 if word in no else number if number is not None and number <= 1 else None

    found = _cells(
        rows, column, read, what, f"neither yes nor no (yes: {', '.join(sorted(yes))}; no: {', '.join(sorted(no))})"
    )
    beside = next((name for stem in (column, field) if (name := f"{stem}_{AGREEMENT}") in columns), None)
    if beside is None:
        return found
    shares = _shares(rows, columns, column, beside, what)
    return [
        p if p is None or share is None else share * p + (1 - share) * (1 - p)
        for p, share in zip(found, shares, strict=True)
    ]


def _shares(rows: Rows, columns: Sequence[str], column: str, beside: str, what: str) -> list[float | None]:
    """The share of people who said what a column holds, in each row.

    Raises:
        UserError: it is no number, more than all, or less than half.
    """
    agreeing = _cells(rows, beside, _number, what, "no number of people, nor a share of them")
    of, everybody = None, [1.0] * len(rows)
    if any(each is not None and each > 1 for each in agreeing):
        of = next((name for name in (f"{column}_{ANNOTATORS}", ANNOTATORS) if name in columns), None)
        known = [PEOPLE] * len(rows) if of is None else _cells(rows, of, _number, what, "no number of people")
        everybody = [total or float("nan") for total in known]
    found = [None if each is None else each / total for each, total in zip(agreeing, everybody, strict=True)]
    if odd := sum(share is not None and not 0.5 <= share <= 1 for share in found):
        people = f"column {of!r}" if of else f"{PEOPLE}, as no column {ANNOTATORS!r} tells of how many"
        raise UserError(
            f"{what}: column {beside!r} holds {odd} values that are no majority, or more than all "
            f"(counts are of {people})"
        )
    return found


def _cells(rows: Rows, column: str, read: Callable[[Any], float | None], what: str, means: str) -> list[float | None]:
    """What each cell of a column says; None where it is empty.

    Raises:
        UserError: a cell says nothing that can be read.
    """
    cells = [None if is_empty(row.get(column)) else row[column] for row in rows]
    found = [None if cell is None else read(cell) for cell in cells]
    odd = Counter(
        str(cell).strip()[:LONG] for cell, p in zip(cells, found, strict=True) if cell is not None and p is None
    )
    if odd:
        told = ", ".join(f"{word!r} {count} times" for word, count in odd.most_common(5))
        raise UserError(f"{what}: column {column!r} holds {told}, which means {means}")
    return found


def _number(value: Any) -> float | None:
    """A number that is not negative; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < float("inf") else None
