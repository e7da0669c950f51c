"""Public data sets that are known by their columns: where their requests stand, and what they say of them.

A layout says harmful or benign only where the data set does. JailbreakBench and OR-Bench have the same columns in
their harmful and their benign part; there the name of file, configuration or split tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from superalign.data.forms import Table
from superalign.records import Kind

PLAIN: Final = ("text", "prompt", "messages", "conversations")
"""Columns of a request in files of no known layout, the first that is there."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What is known of a data set, columns in lower case.

    Attributes:
        name: of the data set.
        needs: columns by which it is known.
        lacks: columns that it does not have.
        text: columns whose texts make a request, joined.
        first_filled: the first of these that holds something is the request, instead.
        pair: the request is what `chosen` and `rejected` begin with.
        kind: of all its requests.
        kind_by_name: of all its requests by a pattern of the name of file, configuration or split.
        kind_column, words: the column that tells the kind, and what its values mean beside `data.harmful_values`.
        known_types: every value of the column `type` is one of these, or it is another data set.
        by_name_only: the columns are so common that the name has to tell the data set.
        category, id: columns of these.
        lookalikes: its benign requests look harmful on purpose.
    """

    name: str
    needs: frozenset[str]
    text: tuple[str, ...]
    lacks: frozenset[str] = frozenset()
    first_filled: bool = False
    pair: bool = False
    kind: Kind | None = None
    kind_by_name: Mapping[str, Kind] = field(default_factory=dict)
    kind_column: str | None = None
    words: Mapping[str, Kind] = field(default_factory=dict)
    known_types: frozenset[str] = frozenset()
    by_name_only: bool = False
    category: str | None = None
    id: str | None = None
    lookalikes: bool = False

    def fits(self, columns: Mapping[str, str], table: Table, source: str) -> bool:
        """Whether a table is of this data set; `columns` are its own names by those in lower case."""
        if not self.needs <= columns.keys() or self.lacks & columns.keys():
            return False
        if self.by_name_only and self.named(source) is None:
            return False
        types = (str(row.get(columns["type"])) for _, row in table.rows) if self.known_types else ()
        return all(each in self.known_types for each in types)

    def named(self, source: str) -> Kind | None:
        """The kind that a name of file, configuration or split tells, if it tells one."""
        kinds = {kind for pattern, kind in self.kind_by_name.items() if re.search(pattern, source, re.IGNORECASE)}
        return kinds.pop() if len(kinds) == 1 else None


def _columns(words: str) -> frozenset[str]:
    return frozenset(words.split())


XSTEST: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(
        (
            *("homonyms", "figurative_language", "safe_targets", "safe_contexts", "definitions", "historical_events"),
            *("nons_group_real_discr", "real_group_nons_discr", "privacy_public", "privacy_fictional"),
        ),
        "benign",
    ),
    **dict.fromkeys(
        (
            *("contrast_homonyms", "contrast_figurative_language", "contrast_safe_targets", "contrast_safe_contexts"),
            *("contrast_definitions", "contrast_discr", "contrast_historical_events", "contrast_privacy"),
        ),
        "harmful",
    ),
}
"""Types of XSTest (arXiv 2308.01263): those that contrast are unsafe."""
WILDJAILBREAK: Final[Mapping[str, Kind]] = {
    f"{form}_{kind}": kind for form in ("vanilla", "adversarial") for kind in ("harmful", "benign")
}
BY_NAME: Final[Mapping[str, Kind]] = {r"(?<![a-z])benign": "benign", r"(?<![a-z])harmful": "harmful"}
OR_BENCH: Final[Mapping[str, Kind]] = {r"or[-_]?bench.*toxic": "harmful", r"or[-_]?bench.*(hard|80k)": "benign"}

LAYOUTS: Final[Sequence[Layout]] = (
    Layout(
        "HarmBench",
        _columns("behavior functionalcategory contextstring behaviorid"),
        ("contextstring", "behavior"),
        kind="harmful",
        category="semanticcategory",
        id="behaviorid",
    ),
    Layout(
        "HarmBench test cases",
        _columns("test_case behaviorid"),
        ("test_case",),
        kind="harmful",
        id="behaviorid",
    ),
    Layout(
        "JailbreakBench",
        _columns("goal target behavior category"),
        ("goal",),
        kind_by_name=BY_NAME,
        category="category",
        lookalikes=True,
    ),
    Layout(
        "JailbreakBench artifact",
        _columns("goal behavior category jailbroken"),
        ("goal",),
        kind="harmful",
        category="category",
    ),
    Layout("AdvBench", _columns("goal target"), ("goal",), lacks=_columns("label kind"), kind="harmful"),
    Layout(
        "StrongREJECT",
        _columns("forbidden_prompt"),
        ("forbidden_prompt",),
        kind="harmful",
        category="category",
    ),
    Layout(
        "XSTest",
        _columns("prompt type label"),
        ("prompt",),
        known_types=frozenset(XSTEST),
        kind_column="label",
        category="type",
        lookalikes=True,
    ),
    Layout(
        "XSTest, its first edition",
        _columns("prompt type"),
        ("prompt",),
        lacks=_columns("label kind"),
        known_types=frozenset(XSTEST),
        kind_column="type",
        words=XSTEST,
        category="type",
        lookalikes=True,
    ),
    Layout(
        "WildJailbreak",
        _columns("adversarial data_type"),
        ("adversarial", "vanilla"),
        first_filled=True,
        kind_column="data_type",
        words=WILDJAILBREAK,
    ),
    Layout(
        "WildJailbreak, rewritten requests", _columns("plain adversarial"), ("adversarial", "plain"), first_filled=True
    ),
    Layout(
        "WildGuardMix",
        _columns("prompt prompt_harm_label"),
        ("prompt",),
        kind_column="prompt_harm_label",
        category="subcategory",
    ),
    Layout(
        "OR-Bench",
        _columns("prompt category"),
        ("prompt",),
        lacks=_columns("label kind response chosen"),
        kind_by_name=OR_BENCH,
        by_name_only=True,
        category="category",
        lookalikes=True,
    ),
    Layout("Do-Not-Answer", _columns("question risk_area"), ("question",), kind="harmful", category="risk_area"),
    Layout("UltraFeedback", _columns("prompt chosen rejected score_chosen"), ("prompt",)),
    Layout("StackExchange pairs", _columns("question response_j response_k"), ("question",)),
    Layout("preferences (TRL)", _columns("prompt chosen rejected"), ("prompt",)),
    Layout(
        "preferences with an implicit prompt (HH-RLHF, TRL)",
        _columns("chosen rejected"),
        ("chosen", "rejected"),
        pair=True,
        lacks=_columns("prompt question instruction"),
    ),
    Layout("completions (TRL)", _columns("prompt completion"), ("prompt",)),
    Layout("BeaverTails", _columns("prompt response is_safe"), ("prompt",)),
    Layout("Alpaca", _columns("instruction input output"), ("instruction", "input")),
    Layout("Dolly", _columns("instruction context response"), ("instruction", "context")),
    Layout("Alpaca", _columns("instruction output"), ("instruction",)),
)


def recognise(table: Table, source: str) -> Layout | None:
    """The layout of a table, the most special one first; None if none is known."""
    columns = by_lower(table.columns)
    return next((each for each in LAYOUTS if each.fits(columns, table, source)), None)


def by_lower(columns: Iterable[str]) -> dict[str, str]:
    """The names of columns by what they are without case and spaces around; of two that are alike the first."""
    found: dict[str, str] = {}
    for name in columns:
        found.setdefault(name.strip().casefold(), name)
    return found


def find(columns: Iterable[str], name: str) -> str | None:
    """The column of a name: as it is written, or the only one that differs in nothing but case and spaces."""
    columns = list(columns)
    if name in columns:
        return name
    alike = [each for each in columns if each.strip().casefold() == name.strip().casefold()]
    return alike[0] if len(alike) == 1 else None
