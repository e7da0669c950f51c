"""The expert queue: leases, append-only labels and a hard budget per round, in SQLite or PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, insert, select

from superalign.errors import UserError
from superalign.experts import tables
from superalign.experts.audit import Action
from superalign.experts.items import AnswerGone, Item, LabelRefused, LeaseLost
from superalign.experts.leases import Leases, change_lease, check_name
from superalign.experts.queries import dimensions_column, item_of, label_of, storable
from superalign.records import ExpertLabel, content_id

NOTHING: Final[Mapping[str, float]] = MappingProxyType({})
Given = tuple[str, str, float] | tuple[str, str, float, Mapping[str, float]]
"""Item id, annotator, value about what was SHOWN; and the answers by dimension that it is composed of, if it is."""
PUSHER = "superalign"  # the actor of what no annotator did


class ExpertQueue(Leases):
    """Items to answer and the answers, shared by any number of threads and processes through one store.

    Every change is one transaction with its entry in the audit log; writers take turns. What annotators say is on disk
    when a call returns; leases need not be: a machine that loses power may forget the last ones. Not to be used across
    a fork. Raises UserError when the store is no queue, of another format, locked for more than 30 s, or out of space.
    """

    def push(self, items: Sequence[Item], round: int, budget: int) -> int:
        """Add the items of a round with its cap on labels; items already there stay as they are. Returns how many new.

        Raises:
            ValueError: an item belongs to another round, the budget is negative, or the round has another cap.
        """
        if budget < 0 or any(item.round != round for item in items):
            raise ValueError(f"round {round} takes items of its own and a budget of at least 0, not {budget}")
        with self.database.write() as db:
            cap = db.execute(select(tables.budget.c.cap).where(tables.budget.c.round == round)).scalar()
            if cap is None:
                opened = {"round": round, "cap": budget, "used": 0}
                db.execute(insert(tables.budget), opened)
                self._log(db, Action(PUSHER, "open", f"round {round}", opened))
            elif cap != budget:
                raise ValueError(f"round {round} has a budget of {cap} labels already; it cannot become {budget}")
            known = set(db.execute(select(tables.item.c.id)).scalars())
            new = [item for item in {item.id: item for item in items}.values() if item.id not in known]
            rows = [_row(item, len(known) + number) for number, item in enumerate(new, start=1)]
            if rows:
                db.execute(insert(tables.item), rows)
                self._log(db, *(Action(PUSHER, "push", f"item {row['id']}", row) for row in rows))
            return len(rows)

    def answer_alone(self, token: str, value: float, dimensions: Mapping[str, float] = NOTHING) -> None:
        """Note what the annotator answers before seeing the critique (value as SHOWN); the same again changes nothing.

        Raises:
            LeaseLost: see `heartbeat`.
            ValueError: the value is none of 0, 0.5, 1, the dimensions do not fit it, or another was given before.
        """
        self._check(value, dimensions)
        said = dimensions_column(dimensions)
        with self.database.write() as db:
            lease, item = self._holding(db, token)
            stored = item.as_shown(value)
            if lease.alone is None:
                change_lease(db, token, alone=stored, dimensions=said)
                detail = repr(stored) if said is None else f"{stored!r} {said}"
                self._log(db, Action(lease.annotator, "answer alone", f"item {item.id}", detail=detail))
            elif (lease.alone, lease.dimensions) != (stored, said):
                raise ValueError("another answer was given before the critique was seen; it cannot change now")

    def submit(
        self,
        token: str,
        value: float,
        simulated: bool = False,
        critique: str | None = None,
        seconds: float | None = None,
        dimensions: Mapping[str, float] = NOTHING,
    ) -> ExpertLabel:
        """Answer a leased item; when this returns, the label is on disk. The same answer again changes nothing.

        Args:
            token: of the lease. One that ran out still counts while nobody else took the item or the budget.
            value: about what was SHOWN: 1 accept / A better, 0 refuse / B better, 0.5 tie. Stored, and returned,
                about (first, second).
            simulated: whether a program answered.
            critique: the critique as the annotator corrected it.
            seconds: how long the annotator worked on the item.
            dimensions: the answers by dimension that the value is composed of, each 0, 0.5 or 1.

        Raises:
            LeaseLost: see there.
            AnswerGone: the lease was answered, and that answer stands no more.
            ValueError: the value is none of 0, 0.5, 1, the dimensions do not fit it, or the lease was answered with
                another value.
        """
        self._check(value, dimensions)
        said = dimensions_column(dimensions)
        with self.database.write() as db:
            try:
                lease, item = self._holding(db, token)
            except LeaseLost:
                done = db.execute(tables.BY_TOKEN, {"token": storable(token)}).mappings().one_or_none()
                if done is None:
                    raise
                item = item_of(done["payload"])
                earlier, standing, _ = _own(db, item, done["annotator"])
                if earlier[-1] != done["id"]:
                    gone = "taken back" if standing is None else "replaced by another"
                    raise AnswerGone(f"the answer was {gone}") from None
                if (done["value"], done["dimensions"]) != (item.as_shown(value), said):
                    raise ValueError("this lease was answered with another value; undo that answer first") from None
                return label_of(item, done)
            return self._append(
                db,
                item,
                lease.annotator,
                "answer",
                value=item.as_shown(value),
                alone=lease.alone,
                critique=None if critique is None else storable(critique),
                seconds=None if seconds is None else float(seconds),
                simulated=simulated,
                token=token,
                dimensions=said,
            )

    def record(self, answers: Sequence[Given], source: str = "") -> int:
        """Take answers made elsewhere: all, or none.

        An answer that is there already changes nothing, another one supersedes it. `source` goes into the log.
        Returns how many were new.

        Raises:
            LabelRefused: an item is unknown or answered by enough others, the budget is used up, or the value or the
                name is wrong; names the position of the answer.
        """
        new = 0
        with self.database.write() as db:
            for index, (item_id, annotator, value, *more) in enumerate(answers):
                dimensions = more[0] if more else NOTHING
                try:
                    check_name(annotator)
                    self._check(value, dimensions)
                    item = self._item(db, item_id)
                except (UserError, ValueError) as error:
                    raise LabelRefused(index, str(error)) from None
                stored, said = item.as_shown(value), dimensions_column(dimensions)
                _, own, dimensions_own = _own(db, item, annotator)
                if own is None and (refusal := self._refusal(db, item, annotator)):
                    raise LabelRefused(index, f"item {item_id}: {refusal}")
                # The same verdict without its dimensions tells nothing new.
                if own != stored or said not in (None, dimensions_own):
                    new_row = {"value": stored, "simulated": False, "dimensions": said}
                    self._append(db, item, annotator, "record", detail=source, **new_row)
                    new += 1
        return new

    def undo(self, label_id: str) -> bool:
        """Take a label back by a superseding row; the item reopens. False if it was superseded already.

        Raises:
            ValueError: there is no such label.
        """
        with self.database.write() as db:
            row = db.execute(select(tables.label).where(tables.label.c.id == storable(label_id))).one_or_none()
            if row is None:
                raise ValueError(f"no label {label_id!r}")
            item = self._item(db, row.item_id)
            earlier, standing, _ = _own(db, item, row.annotator)
            if standing is None or earlier[-1] != label_id:
                return False
            self._append(db, item, row.annotator, "undo", value=None, simulated=row.simulated)
            return True

    def uncover(self, item_id: str, who: str) -> None:
        """Log that an adjudicator uncovered an item's text without leasing it.

        Raises:
            ValueError: there is no such item.
        """
        with self.database.write() as db:
            self._log(db, Action(who, "reveal", f"item {self._item(db, item_id).id}"))

    def _check(self, value: float, dimensions: Mapping[str, float]) -> None:
        if value not in (0.0, 0.5, 1.0):
            raise ValueError(f"an answer is 1, 0 or 0.5, not {value!r}")
        if dimensions and self.questions is None:
            raise ValueError("this queue asks about the whole alone, by no dimensions")
        if self.questions and (fault := self.questions.fault(dimensions, value)):
            raise ValueError(fault)

    def _append(
        self, db: Connection, item: Item, annotator: str, action: str, detail: str = "", **given: Any
    ) -> ExpertLabel:
        """Write a label's row and all that follows from it; `given` are its columns (value, alone, ...)."""
        earlier, standing, _ = _own(db, item, annotator)
        row = dict.fromkeys(tables.label.c.keys()) | given
        del row["seq"]
        row |= {
            # The identity holds no clock and no token, so that a repeated run gives its labels the same names.
            "id": content_id("label", item.id, annotator, len(earlier)),
            "item_id": item.id,
            "annotator": annotator,
            "supersedes": earlier[-1] if earlier else None,
            "created_at": self.clock(),
        }
        row["seq"] = db.execute(tables.ADD_LABEL, row).scalar_one()
        bind = {"item": item.id, "who": annotator, "round": item.round}
        if more := (row["value"] is not None) - (standing is not None):
            db.execute(tables.COUNT_ITEM, bind | {"more": more})
            db.execute(tables.COUNT_ROUND, bind | {"more": more})
        if row["value"] is not None:
            db.execute(tables.ANSWERED, bind)
        self._log(db, Action(annotator, action, f"label {row['id']}", row, detail))
        return label_of(item, row)


def _row(item: Item, position: int) -> dict[str, Any]:
    return {
        "position": position,
        "id": item.id,
        "round": item.round,
        "forced": item.lane == "forced",
        "pi": float(item.pi),
        "category": storable(item.category),
        "trap": item.gold is not None,
        "need": item.need,
        "payload": json.dumps(item.to_row()),
        "answers": 0,
    }


def _own(db: Connection, item: Item, annotator: str) -> tuple[list[str], float | None, str | None]:
    """The ids of the labels this annotator ever gave on the item, the value that stands, and its dimensions."""
    rows = db.execute(tables.OWN, {"item": item.id, "who": annotator}).all()
    return [row.id for row in rows], *((rows[-1].value, rows[-1].dimensions) if rows else (None, None))
