"""Attacks from a file, a folder or the hub: an adversarial text each, with the plain request that it asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from superalign.config.sections import DataConfig
from superalign.data.columns import KINDS, once, request_in
from superalign.data.forms import Table, cell, is_empty, shown
from superalign.data.labels import Labels, written
from superalign.data.layouts import Layout, by_lower, recognise
from superalign.data.tables import read_tables
from superalign.errors import UserError
from superalign.records import Kind

PAIRS: Final = (("plain", "adversarial"), ("vanilla", "adversarial"), ("behavior", "test_case"), ("goal", "prompt"))
"""Columns of the plain request and of the attack, where both are known."""
ALONE: Final = ("adversarial", "test_case")
"""Columns of attacks without their plain requests."""
TACTICS: Final = ("tactic", "method")


@dataclass(frozen=True, slots=True)
class WrittenAttack:
    """An attack that somebody has written.

    Attributes:
        text: of the attack.
        plain: the request that it asks for, empty where the source does not say.
        kind: whether it asks for something harmful; None where that was not asked for.
        tactic, category: empty where the source does not say.
    """

    text: str
    plain: str
    kind: Kind | None
    tactic: str
    category: str


@dataclass(frozen=True, slots=True)
class _Columns:
    text: str
    plain: str | None
    tactic: str | None
    category: str | None
    kind: Kind | None
    labels: Labels | None

    @classmethod
    def of(cls, table: Table, data: DataConfig, setting: str, plain: bool, kinds: bool) -> _Columns:
        columns = by_lower(table.columns)
        pair = next((names for names in PAIRS if columns.keys() >= set(names)), None)
        alone = next((name for name in ALONE if name in columns), None)
        if pair is None and (plain or alone is None):
            wanted = "columns plain and adversarial" if plain else "a column adversarial"
            raise UserError(f"{setting}={table.name}: needs {wanted}; it has {shown(table.columns)}")
        text, request = (columns[pair[1]], columns[pair[0]]) if pair else (columns[str(alone)], None)
        tactic = next((columns[name] for name in TACTICS if name in columns), None)
        used = tuple(name for name in (text, request, tactic) if name)
        once(table, used, "text")
        known = recognise(table, Path(table.name).name)
        kind = (known.kind or known.named(Path(table.name).name)) if known else None
        labels = _labels(table, data, setting, known) if kinds and kind is None else None
        return cls(text, request, tactic, columns.get("category"), kind if kinds else None, labels)

    def attack(self, where: str, row: Mapping[str, Any]) -> WrittenAttack | None:
        """The attack of a row; None where it holds none."""
        text = request_in(where, self.text, cell(row, self.text), Counter())
        plain = request_in(where, self.plain, cell(row, self.plain), Counter()) if self.plain else ""
        if not text or (self.plain and not plain):
            return None
        kind: Kind | None = self.kind
        if self.labels is not None:
            meaning = self.labels.meaning(cell(row, self.labels.column))
            if meaning is None or meaning == "skip":
                return None
            kind = meaning
        tactic, category = (_word(row, column) for column in (self.tactic, self.category))
        return WrittenAttack(text, plain, kind, tactic.lower().replace("-", "_").replace(" ", "_"), category)


def read_attacks(
    source: str, data: DataConfig, setting: str, plain: bool = False, kinds: bool = False
) -> list[WrittenAttack]:
    """The different attacks of a source, in its order; rows without one are left out.

    Columns are `plain` and `adversarial`, those of WildJailbreak (`vanilla`, `adversarial`, `data_type`), of
    HarmBench's test cases, or of JailbreakBench's artifacts; beside them `tactic` (or `method`), `category`, and for
    the kind what the layout says, or `kind` or `label`, whose words are those of `data`.

    Args:
        source: as `read_tables` takes it.
        data: encoding, hub split and the words of kinds.
        setting: names the source in messages.
        plain: whether plain requests are needed.
        kinds: whether kinds are.

    Raises:
        UserError: the source cannot be read, a column is missing, a kind is not understood, or there is no attack.
    """
    found: dict[tuple[str, str], WrittenAttack] = {}
    for table in read_tables(source, data.hub_split, setting, data.encoding):
        if not table.rows:
            continue
        columns = _Columns.of(table, data, setting, plain, kinds)
        for where, row in table.rows:
            if attack := columns.attack(where, row):
                found.setdefault((attack.plain, attack.text), attack)
        if columns.labels and (refusal := columns.labels.refusal()):
            raise UserError(f"{setting}={table.name}: {refusal}")
    if not found:
        raise UserError(f"{setting}={source} holds no attack")
    return list(found.values())


def _labels(table: Table, data: DataConfig, setting: str, known: Layout | None) -> Labels:
    """What understands the column of kinds."""
    columns = by_lower(table.columns)
    names = (known.kind_column, *KINDS) if known and known.kind_column else KINDS
    name = next((each for each in names if each in columns), None)
    if name is None:
        raise UserError(
            f"{setting}={table.name}: no column kind that says which attacks ask for something harmful; it has "
            f"{shown(table.columns)}"
        )
    column = once(table, (columns[name],), "kind")[0]
    return Labels(data, column, name == "kind", known.words if known and name == known.kind_column else {})


def _word(row: Mapping[str, Any], column: str | None) -> str:
    value = cell(row, column) if column else None
    return "" if is_empty(value) else written(value)
