"""Rows of tables on their way to requests: what is taken, what is left out, and what is said of either."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from superalign.config.sections import DataConfig
from superalign.data.columns import FIELDS, SeedColumns, known_fields
from superalign.data.forms import Table, cell, is_empty
from superalign.data.labels import written
from superalign.errors import UserError
from superalign.records import Kind, Seed, content_id

log = logging.getLogger(__name__)
SETTING: Final = "data.seeds"
TRUE: Final = frozenset({"1", "true", "yes"})
NO_REQUEST: Final = "without a request"
OTHERWISE: Final = "rows whose column of kinds says otherwise than is taken for all"
BOTH_KINDS: Final = "requests given as harmful and as benign"


@dataclass
class Reading:
    """Rows of all tables on their way to seeds."""

    config: DataConfig
    setting: str = SETTING
    found: dict[str, Seed] = field(default_factory=dict)  # by text
    ids: dict[str, set[str]] = field(default_factory=dict)  # the texts of an id
    disputed: dict[str, str] = field(default_factory=dict)  # where the other kind of a text stands
    kinds: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    places: dict[str, str] = field(default_factory=dict)
    changes: Counter[str] = field(default_factory=Counter)
    layouts: dict[str, None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    labelled: bool = False

    @classmethod
    def of(cls, config: DataConfig, tables: Sequence[Table], setting: str = SETTING) -> Self:
        """All rows of the tables that `setting` names.

        Raises:
            UserError: a row is malformed, a column is missing, or a value of the kind column is not understood.
        """
        known_fields(config.columns, FIELDS)
        reading = cls(config, setting)
        for table in tables:
            if table.rows:
                columns = SeedColumns.of(config, table)
                reading.layouts[columns.layout] = None
                for where, row in table.rows:
                    reading.take(columns, where, row)
                if columns.kind is None and columns.labels and (refusal := columns.labels.refusal()):
                    raise UserError(f"{setting}={table.name}: {refusal}")
        reading.left_out["empty"] += sum(table.empty for table in tables)
        return reading

    def take(self, columns: SeedColumns, where: str, row: Mapping[str, Any]) -> None:
        """One row."""
        text = columns.request(where, row, self.changes)
        if not text:
            self.left_out[NO_REQUEST] += 1
            self.places.setdefault(NO_REQUEST, where)
            return
        kind: Kind | None = columns.kind
        meaning = columns.labels.meaning(cell(row, columns.kind_column or "")) if columns.labels else None
        if kind is not None:
            self.changes[OTHERWISE] += meaning not in (None, "skip", kind)
        else:
            self.labelled = True
            if meaning == "skip":
                self.left_out["by data.skip_values"] += 1
            if meaning is None or meaning == "skip":  # what is not understood is told when all rows were seen
                return
            kind = meaning
        assert kind is not None
        self.kinds[kind] += 1
        name = _id(cell(row, columns.id)) if columns.id else None
        lookalike = columns.lookalikes and kind == "benign"
        if columns.lookalike:
            lookalike = written(cell(row, columns.lookalike)).casefold() in TRUE
        category = cell(row, columns.category) if columns.category else None
        made = Seed(
            id=name or content_id(text),
            text=text,
            kind=kind,
            category=written(category) or "general",
            split="train",  # until all requests are known
            lookalike=lookalike,
        )
        if text in self.found:
            self.left_out["given before"] += 1
            if self.found[text].kind != kind:
                self.disputed.setdefault(text, where)
        else:
            self.found[text] = made
            self.ids.setdefault(made.id, set()).add(text)

    def undisputed(self) -> list[Seed]:
        """The requests, each once, without those of both kinds, with an id of its own."""
        config = self.config
        if self.disputed:
            log.warning(
                "%s=%s: %d of %d requests are left out, for they are given both as harmful and as benign "
                "(the first of them at %s)",
                *(self.setting, config.seeds, len(self.disputed), len(self.found)),
                next(iter(self.disputed.values())),
            )
            self.left_out[BOTH_KINDS] = len(self.disputed)
            self.places[BOTH_KINDS] = next(iter(self.disputed.values()))
        kept = [each for text, each in self.found.items() if text not in self.disputed]
        return [self._with_own_id(each) for each in kept]

    def kept(self) -> list[Seed]:
        """The requests of `undisputed`.

        Raises:
            UserError: there are fewer than two, or none is harmful though a column tells the kind.
        """
        config, kept = self.config, self.undisputed()
        if min(len(kept), config.limit or 2) < 2:
            held = f"holds {len(kept)} different requests" if len(kept) < 2 else "is cut to data.limit=1"
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items() if count)
            why = f" (left out: {reasons})" if reasons and len(kept) < 2 else ""
            raise UserError(
                f"data.seeds={config.seeds} {held}{why}: at least 2 are needed, to train and to evaluate on"
            )
        if self.labelled and not any(each.kind == "harmful" for each in kept):
            raise UserError(
                f"data.seeds={config.seeds}: no request is harmful by its column of kinds; set data.harmful_values to "
                "the values that mean harmful, or data.kind=benign"
            )
        return kept

    def told(self) -> list[str]:
        """What was done to rows that were taken."""
        notes = [f"{what}: {count:,}" for what, count in self.changes.items() if count]
        if shared := sum(len(texts) > 1 for texts in self.ids.values()):
            notes.append(f"ids that several requests have, to which a hash of the request was added: {shared:,}")
        return notes

    def _with_own_id(self, each: Seed) -> Seed:
        if len(self.ids[each.id]) == 1:
            return each
        return replace(each, id=f"{each.id}-{content_id(each.text)[:8]}")


def _id(value: Any) -> str | None:
    """An id as text, numbers without a fraction that pandas added; None where there is none."""
    if is_empty(value) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    return str(value).strip()
