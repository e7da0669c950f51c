"""What can be read from an expert queue without changing it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Row, func, select

from superalign.experts import audit, tables
from superalign.experts.audit import AuditEntry
from superalign.experts.database import Database
from superalign.experts.items import ExpertAnswer, Flag, Item, LeasedItem
from superalign.experts.questions import Questions
from superalign.prompts.policy import Policy
from superalign.records import DimensionValue, ExpertLabel, dimension_values

ALL = 2**31 - 1  # a cursor beyond every label


class Queries:
    """The reading half of `ExpertQueue`."""

    def __init__(
        self,
        store: str | Path,
        clock: Callable[[], float] = time.time,
        space: str = "",
        policy: Policy | None = None,
    ) -> None:
        """Open or create the queue at `store`; see `Database`. `clock` gives seconds.

        `policy` tells what experts are asked; None: about the whole alone.
        """
        self.database, self.clock, self.policy = Database(store, space), clock, policy
        self.questions = Questions.of(policy)

    @classmethod
    def of_run(cls, path: Path, store: str | None, policy: Policy | None = None) -> Self:
        """The queue of a run: at `expert.store` in a space of the run's name, or the file `path` in its folder."""
        return cls(store or path, space=path.parent.resolve().name, policy=policy)

    def close(self) -> None:
        """Close the store; what was acknowledged is on disk already."""
        self.database.close()

    def labels(self, since: int = 0, until: int | None = None, gold_items: bool = False) -> list[ExpertLabel]:
        """The labels that stood at cursor `until` (default now) and were given after cursor `since`.

        With `gold_items` the labels on gold items alone, which no training reads; else all others.

        In the order of rounds, items and annotators, whatever the order of answering. A label taken back later
        still stands at an earlier cursor, so a repeated round reads the same labels.
        """
        return [label for _, label in self.labelled(since, until, gold_items)]

    def labelled(
        self, since: int = 0, until: int | None = None, gold_items: bool = False
    ) -> list[tuple[Item, ExpertLabel]]:
        """The labels of `labels`, each with its item."""
        bind = {"since": since, "until": ALL if until is None else until, "gold": gold_items}
        rows = [(item_of(row.payload), row._mapping) for row in self.database.query(tables.LABELS, bind)]
        return [(item, label_of(item, row)) for item, row in rows]

    def answers(self) -> list[ExpertAnswer]:
        """Every standing label with its item, gold items included: what statistics read."""
        rows = [row._asdict() for row in self.database.query(tables.ANSWERS)]
        return [
            ExpertAnswer(
                item=item_of(row.pop("payload")),
                simulated=bool(row.pop("simulated")),
                dimensions=dimensions_of(row.pop("dimensions")),
                **row,
            )
            for row in rows
        ]

    def cursor(self) -> int:
        """The number of the last row of labels: what a committed round keeps to know what it has seen."""
        return int(self.database.query(select(func.coalesce(func.max(tables.label.c.seq), 0)))[0][0])

    def items(self, round: int | None = None, unanswered: bool = False) -> list[Item]:
        """The items of a round (default all) in order; with `unanswered` those that still need answers."""
        t = tables.item.c
        query = select(t.payload).order_by(t.round, t.position)
        if round is not None:
            query = query.where(t.round == round)
        if unanswered:
            query = query.where(t.answers < t.need)
        return [item_of(row.payload) for row in self.database.query(query)]

    def held(self, annotator: str, token: str | None = None) -> LeasedItem | None:
        """What this annotator still holds by the lease `token`, else the item held longest; None if there is none."""
        bind = {"who": storable(annotator), "now": self.clock()}
        if token is None:
            rows = self.database.query(tables.HELD, bind)
        else:
            rows = self.database.query(tables.HELD_BY, bind | {"token": storable(token)})
        return leased_of(annotator, rows[0]) if rows else None

    def pending(self, round: int) -> int:
        """How many labels of a round are still to come: answers needed, at most what is left of the budget."""
        rows = self.database.query(tables.PROGRESS, {"round": round})
        return int(max(0, min(rows[0].need, rows[0].cap) - rows[0].used)) if rows else 0

    def stats(self) -> dict[str, Any]:
        """Budget, labels and items per round; labels per annotator; agreement of items with two answers.

        `agreement` is the share of such pairs with the same value, None before the first.
        """
        with self.database.read() as db:
            rounds = [dict(row) for row in db.execute(tables.ROUNDS, {"now": self.clock()}).mappings()]
            people = {row.annotator: row.labels for row in db.execute(tables.PEOPLE)}
            pairs = db.execute(tables.DOUBLES).one()
        return {
            "rounds": rounds,
            "annotators": people,
            "doubles": pairs.doubles,
            "agreement": int(pairs.agreed) / pairs.doubles if pairs.doubles else None,
        }

    def flags(self) -> list[Flag]:
        """What annotators flagged, oldest first, for adjudicators."""
        return [
            Flag(e.subject.removeprefix("item "), e.actor, e.detail, e.at) for e in self.audit() if e.action == "flag"
        ]

    def audit(self) -> list[AuditEntry]:
        """The log of every action, oldest first."""
        with self.database.read() as db:
            return list(audit.entries(db))

    def verify(self) -> list[str]:
        """One line for each row of log, items, labels, budgets and users that was tampered with or is missing."""
        with self.database.read() as db:
            return audit.verify(db)


def storable(text: str) -> str:
    """The text with what no database takes (NUL, half characters) replaced."""
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


def item_of(payload: str) -> Item:
    """The item that was stored as JSON."""
    return Item.from_row(json.loads(payload))


def leased_of(annotator: str, row: Row[Any]) -> LeasedItem:
    """What an annotator holds by the row of a lease with its item."""
    item = item_of(row.payload)
    alone = None if row.alone is None else item.as_shown(row.alone)
    said = dimensions_of(row.dimensions)
    return LeasedItem(row.token, item, annotator, row.claimed_at, row.expires_at, alone, said)


def dimensions_of(column: str | None) -> tuple[DimensionValue, ...]:
    """The answers by dimension that a column holds."""
    return () if column is None else tuple(json.loads(column))


def dimensions_column(dimensions: Mapping[str, float]) -> str | None:
    """The column of answers by dimension."""
    return json.dumps(dimension_values(dimensions)) if dimensions else None


def label_of(item: Item, row: Mapping[Any, Any]) -> ExpertLabel:
    """The record of a label's row; a row that takes an answer back says neither."""
    return ExpertLabel(
        id=row["id"],
        item_id=item.id,
        kind=item.kind,
        annotator=row["annotator"],
        value=0.5 if row["value"] is None else row["value"],
        pi=item.pi,
        lane=item.lane,
        round=item.round,
        simulated=bool(row["simulated"]),
        dimensions=dimensions_of(row["dimensions"]),
    )
