"""Leases: who has which item of an expert queue for how long, and how it is given back."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from superalign.errors import UserError
from superalign.experts import audit, tables
from superalign.experts.audit import Action
from superalign.experts.items import Item, LeasedItem, LeaseLost
from superalign.experts.queries import Queries, dimensions_of, item_of, leased_of, storable


class Leases(Queries):
    """The leasing half of `ExpertQueue`."""

    def claim(
        self, annotator: str, lease_s: float, declined: Collection[str] = (), another: bool = True
    ) -> LeasedItem | None:
        """Lease the next item to this annotator: newest round, forced lane, highest propensity first; None if none.

        A claim reserves one label of the budget, so labels given and leases held never exceed the cap. Items of
        `declined` categories are not offered. Unless `another` is wanted, what the annotator holds comes first.
        """
        check_name(annotator)
        with self.database.write(durable=False) as db:
            now = self.clock()
            if not another and (held := db.execute(tables.HELD, {"who": annotator, "now": now}).one_or_none()):
                return leased_of(annotator, held)
            bind = {"now": now, "who": annotator, "categories": [storable(c) for c in declined]}
            for round in db.execute(tables.ROOMS, {"now": now}).scalars().all():
                payload = db.execute(tables.NEXT_ITEM, bind | {"round": round}).scalar()
                if payload is not None:
                    break
            else:
                return None
            item, token = item_of(payload), secrets.token_hex(16)
            # What was said under an earlier lease, before seeing the critique, cannot be said again.
            bind = {"item": item.id, "who": annotator}
            said = db.execute(tables.SAID_ALONE, bind).one_or_none() if item.blind else None
            alone, dimensions = said or (None, None)
            row = {
                "token": token,
                "item_id": item.id,
                "round": round,
                "annotator": annotator,
                "claimed_at": now,
                "expires_at": now + lease_s,
                "state": "held",
                "alone": alone,
                "dimensions": dimensions,
            }
            db.execute(tables.ADD_LEASE, row)
            self._log(db, Action(annotator, "claim", f"item {item.id}"))
            shown = None if alone is None else item.as_shown(alone)
            return LeasedItem(token, item, annotator, now, now + lease_s, shown, dimensions_of(dimensions))

    def heartbeat(self, token: str, lease_s: float) -> float:
        """Hold a lease for `lease_s` from now; returns when it then ends.

        Raises:
            LeaseLost: the lease was given back or answered, or it ran out and somebody else took item or budget.
        """
        with self.database.write(durable=False) as db:
            self._holding(db, token)
            expires_at = self.clock() + lease_s
            change_lease(db, token, expires_at=expires_at)
            return expires_at

    def release(self, token: str, skip: bool = False) -> None:
        """Give a leased item back; with `skip` it is not offered to this annotator again."""
        with self.database.write(durable=False) as db:
            self._give_back(db, token, "skip" if skip else "release")

    def flag(self, token: str, reason: str) -> None:
        """Give a leased item back with a reason; it is not offered to this annotator again, adjudicators see it."""
        with self.database.write() as db:
            self._give_back(db, token, "flag", storable(reason))

    def reveal(self, token: str) -> None:
        """Log that the annotator uncovered harmful text.

        Raises:
            LeaseLost: see `heartbeat`.
        """
        with self.database.write() as db:
            lease, item = self._holding(db, token)
            self._log(db, Action(lease.annotator, "reveal", f"item {item.id}"))

    def release_all(self, annotator: str) -> None:
        """Give back all that a dead process of this annotator still holds."""
        lease = tables.lease.c
        query = select(lease.token).where(lease.annotator == annotator, lease.state == "held")
        with self.database.write(durable=False) as db:
            for token in db.execute(query.order_by(lease.claimed_at, lease.token)).scalars().all():
                self._give_back(db, token, "release")

    def _log(self, db: Connection, *actions: Action) -> None:
        audit.append(db, self.clock(), *actions)

    def _item(self, db: Connection, item_id: str) -> Item:
        payload = db.execute(tables.ITEM, {"item": storable(item_id)}).scalar()
        if payload is None:
            raise ValueError(f"no item {item_id!r} in {self.database.name}")
        return item_of(payload)

    def _holding(self, db: Connection, token: str) -> tuple[Row[Any], Item]:
        """The lease of this token and its item, as long as it is, or can again be, held."""
        lease = db.execute(tables.LEASE, {"token": storable(token)}).one_or_none()
        if lease is None:
            raise LeaseLost("no such lease")
        if lease.state != "held":
            raise LeaseLost(f"the item was {'answered' if lease.state == 'answered' else 'given back'}")
        item = item_of(lease.payload)
        if lease.expires_at <= self.clock() and (refusal := self._refusal(db, item, lease.annotator)):
            raise LeaseLost(f"the lease ran out; {refusal}")
        return lease, item

    def _refusal(self, db: Connection, item: Item, annotator: str) -> str | None:
        """Why a label without a valid lease cannot be taken, or None."""
        counts = db.execute(tables.ROOM, {"item": item.id, "who": annotator, "now": self.clock()}).one()
        if counts.own:
            return f"{annotator} has answered it already"
        if counts.answers + counts.item_held >= counts.need:
            return "it has, or is getting, all the answers it needs"
        if counts.used + counts.round_held >= counts.cap:
            return f"the budget of {counts.cap} labels of round {item.round} is used up"
        return None

    def _give_back(self, db: Connection, token: str, action: str, detail: str = "") -> None:
        lease = db.execute(tables.LEASE, {"token": storable(token)}).one_or_none()
        if lease is None or lease.state != "held":
            return
        change_lease(db, token, state="released")
        keys = {"item_id": lease.item_id, "annotator": lease.annotator}
        there = select(tables.declined).filter_by(**keys)
        if action != "release" and db.execute(there).first() is None:
            db.execute(insert(tables.declined), keys)
        self._log(db, Action(lease.annotator, action, f"item {lease.item_id}", detail=detail))


def change_lease(db: Connection, token: str, **values: Any) -> None:
    """Write these columns of a lease."""
    db.execute(update(tables.lease).where(tables.lease.c.token == token).values(**values))


def check_name(annotator: str) -> None:
    """Raise UserError where this cannot be an annotator's name."""
    if not annotator.strip() or not annotator.isprintable():
        raise UserError("an annotator needs a name, of printable characters")
