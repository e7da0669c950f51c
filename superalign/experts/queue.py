"""The expert queue: one SQLite file (WAL) with leases, append-only labels and a hard budget per round."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from superalign.errors import UserError
from superalign.experts import database
from superalign.experts.items import Item, LabelRefused, LeasedItem, LeaseLost
from superalign.records import ExpertLabel, content_id


class ExpertQueue:
    """Items to answer and the answers, shared by any number of processes through one file.

    Make one object per process and thread. Raises UserError when the file is no queue, of another version,
    locked for more than 30 s, or on a full disk.
    """

    def __init__(self, path: str | Path, clock: Callable[[], float] = time.time) -> None:
        """Open or create the queue at `path` (readable by its owner only); `clock` gives seconds."""
        self.path, self._clock = Path(path), clock
        self._db = database.connect(self.path)

    def close(self) -> None:
        """Close the file; what was acknowledged is on disk already."""
        self._db.close()

    def push(self, items: Sequence[Item], round: int, budget: int) -> int:
        """Add the items of a round with its cap on labels; items already there stay as they are. Returns how many new.

        Raises:
            ValueError: an item belongs to another round, the budget is negative, or the round has another cap.
        """
        if budget < 0 or any(item.round != round for item in items):
            raise ValueError(f"round {round} takes items of its own and a budget of at least 0, not {budget}")
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO budget VALUES (?, ?)", (round, budget))
            cap = db.execute("SELECT cap FROM budget WHERE round = ?", (round,)).fetchone()[0]
            if cap != budget:
                raise ValueError(f"round {round} has a budget of {cap} labels already; it cannot become {budget}")
            rows = [(i.id, round, i.lane == "forced", 1 + i.double, json.dumps(i.to_row())) for i in items]
            sql = "INSERT OR IGNORE INTO item(id, round, forced, need, payload) VALUES (?, ?, ?, ?, ?)"
            return max(0, db.executemany(sql, rows).rowcount)

    def claim(self, annotator: str, lease_s: float) -> LeasedItem | None:
        """Lease the next item to this annotator: newest round first, forced lane first; None if there is none.

        A claim reserves one label of the budget, so labels given and leases held never exceed the cap.
        """
        if not annotator.strip():
            raise UserError("an annotator needs a name")
        with self._transaction() as db:
            now = self._clock()
            found = db.execute(
                database.NEXT_ITEM,
                {"now": now, "who": annotator},
            ).fetchone()
            if found is None:
                return None
            leased = LeasedItem(secrets.token_hex(8), _item(found), annotator, now + lease_s)
            db.execute(
                "INSERT INTO lease(token, item_id, annotator, expires_at) VALUES (?, ?, ?, ?)",
                (leased.token, leased.item.id, annotator, leased.expires_at),
            )
            return leased

    def submit(self, token: str, value: float, simulated: bool = False) -> ExpertLabel:
        """Answer a leased item; when this returns, the label is on disk. The same answer again changes nothing.

        Args:
            token: of the lease. One that ran out still counts while nobody else took the item or the budget.
            value: about what was SHOWN: 1 accept / A better, 0 refuse / B better, 0.5 tie. Stored, and returned,
                about (first, second).
            simulated: whether a program answered.

        Raises:
            LeaseLost: see there.
            ValueError: the value is none of 0, 0.5, 1, or the lease was answered with another value.
        """
        _check_value(value)
        with self._transaction() as db:
            lease = db.execute(
                "SELECT lease.*, item.payload FROM lease JOIN item ON item.id = item_id WHERE token = ?", (token,)
            ).fetchone()
            if lease is None:
                raise LeaseLost("no such lease")
            item, annotator = _item(lease), str(lease["annotator"])
            stored = item.as_shown(value)
            done = db.execute("SELECT id, value FROM label WHERE token = ?", (token,)).fetchone()
            if done is not None:
                if done["value"] != stored:
                    raise ValueError("this lease was answered with another value; undo that answer first")
                return _label(item, done["id"], annotator, stored, simulated)
            if lease["state"] != "held":
                raise LeaseLost("the item was given back")
            late = lease["expires_at"] <= self._clock()
            if late and (refusal := self._refusal(db, item, annotator)):
                raise LeaseLost(f"the lease ran out; {refusal}")
            db.execute("UPDATE lease SET state = 'answered' WHERE token = ?", (token,))
            return self._append(db, item, annotator, stored, simulated, token)

    def record(self, answers: Sequence[tuple[str, str, float]]) -> int:
        """Take answers (item id, annotator, value about what was SHOWN) made elsewhere: all, or none.

        An answer that is there already changes nothing, another one supersedes it. Returns how many were new.

        Raises:
            LabelRefused: an item is unknown or answered by enough others, the budget is used up, or the value is
                wrong; names the position of the answer.
        """
        new = 0
        with self._transaction() as db:
            for index, (item_id, annotator, value) in enumerate(answers):
                row = db.execute("SELECT payload FROM item WHERE id = ?", (item_id,)).fetchone()
                if row is None:
                    raise LabelRefused(index, f"no item {item_id!r} in {self.path}")
                try:
                    _check_value(value)
                except ValueError as error:
                    raise LabelRefused(index, str(error)) from None
                item = _item(row)
                stored = item.as_shown(value)
                sql = "SELECT value FROM live WHERE item_id = ? AND annotator = ?"
                own = db.execute(sql, (item_id, annotator)).fetchone()
                if own is None and (refusal := self._refusal(db, item, annotator)):
                    raise LabelRefused(index, f"item {item_id}: {refusal}")
                if own is None or own["value"] != stored:
                    self._append(db, item, annotator, stored, False, None)
                    new += 1
        return new

    def undo(self, label_id: str) -> bool:
        """Take a label back by a superseding row; the item reopens. False if it was superseded already.

        Raises:
            ValueError: there is no such label.
        """
        with self._transaction() as db:
            row = db.execute(
                "SELECT label.*, item.payload FROM label JOIN item ON item.id = item_id WHERE label.id = ?", (label_id,)
            ).fetchone()
            if row is None:
                raise ValueError(f"no label {label_id!r}")
            if db.execute("SELECT 1 FROM live WHERE id = ?", (label_id,)).fetchone() is None:
                return False
            self._append(db, _item(row), row["annotator"], None, bool(row["simulated"]), None)
            return True

    def release(self, token: str, skip: bool = False) -> None:
        """Give a leased item back; with `skip` it is not offered to this annotator again."""
        with self._transaction() as db:
            db.execute("UPDATE lease SET state = 'released' WHERE token = ? AND state = 'held'", (token,))
            if skip:
                db.execute(
                    "INSERT OR IGNORE INTO skipped SELECT item_id, annotator FROM lease WHERE token = ?", (token,)
                )

    def release_all(self, annotator: str) -> None:
        """Give back all that a dead process of this annotator still holds."""
        with self._transaction() as db:
            db.execute("UPDATE lease SET state = 'released' WHERE annotator = ? AND state = 'held'", (annotator,))

    def labels(self, since: int = 0, until: int | None = None) -> list[ExpertLabel]:
        """The labels that stood at cursor `until` (default now) and were given after cursor `since`.

        In the order of rounds, items and annotators, whatever the order of answering. A label taken back later
        still stands at an earlier cursor, so a repeated round reads the same labels.
        """
        rows = self._read(
            database.LABELS,
            {"since": since, "until": 2**62 if until is None else until},
        )
        return [_label(_item(r), r["label_id"], r["annotator"], r["value"], bool(r["simulated"])) for r in rows]

    def cursor(self) -> int:
        """The number of the last row of labels: what a committed round keeps to know what it has seen."""
        return int(self._read("SELECT COALESCE(MAX(seq), 0) AS last FROM label", {})[0]["last"])

    def items(self, round: int | None = None, unanswered: bool = False) -> list[Item]:
        """The items of a round (default all) in order; with `unanswered` those that still need answers."""
        rows = self._read(
            "SELECT payload FROM item WHERE (:round IS NULL OR round = :round) AND (NOT :open OR "
            "(SELECT COUNT(*) FROM live WHERE item_id = item.id) < need) ORDER BY round, position",
            {"round": round, "open": unanswered},
        )
        return [_item(row) for row in rows]

    def pending(self, round: int) -> int:
        """How many labels of a round are still to come: answers needed, at most what is left of the budget."""
        row = self._read(
            database.PROGRESS,
            {"r": round},
        )[0]
        return int(max(0, min(row["need"], row["cap"]) - row["used"]))

    def stats(self) -> dict[str, Any]:
        """Budget, labels and items per round; labels per annotator; agreement of the blind doubles.

        `agreement` is the share of doubles on which both gave the same value, None before the first.
        """
        rounds = self._read(database.ROUNDS, {"now": self._clock()})
        people = self._read("SELECT annotator, COUNT(*) AS labels FROM live GROUP BY annotator ORDER BY annotator", {})
        pairs = self._read(database.DOUBLES, {})
        return {
            "rounds": [dict(row) for row in rounds],
            "annotators": {row["annotator"]: row["labels"] for row in people},
            "doubles": len(pairs),
            "agreement": sum(row["same"] for row in pairs) / len(pairs) if pairs else None,
        }

    def _refusal(self, db: sqlite3.Connection, item: Item, annotator: str) -> str | None:
        """Why a label without a valid lease cannot be taken, or None."""
        bind = {"item": item.id, "round": item.round, "who": annotator, "now": self._clock()}
        counts = db.execute(
            database.ROOM,
            bind,
        ).fetchone()
        if counts["own"]:
            return f"{annotator} has answered it already"
        if counts["item"] >= 1 + item.double:
            return "it has, or is getting, all the answers it needs"
        if counts["round"] >= counts["cap"]:
            return f"the budget of {counts['cap']} labels of round {item.round} is used up"
        return None

    def _append(
        self,
        db: sqlite3.Connection,
        item: Item,
        annotator: str,
        value: float | None,
        simulated: bool,
        token: str | None,
    ) -> ExpertLabel:
        earlier = db.execute(
            "SELECT id FROM label WHERE item_id = ? AND annotator = ? ORDER BY seq", (item.id, annotator)
        ).fetchall()
        # The identity holds no clock and no token, so that a repeated run gives its labels the same names.
        label_id = content_id("label", item.id, annotator, len(earlier))
        db.execute(
            "INSERT INTO label(id, item_id, annotator, value, simulated, token, supersedes, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                label_id,
                item.id,
                annotator,
                value,
                simulated,
                token,
                earlier[-1]["id"] if earlier else None,
                self._clock(),
            ),
        )
        return _label(item, label_id, annotator, 0.5 if value is None else value, simulated)

    def _read(self, sql: str, bind: dict[str, Any]) -> list[sqlite3.Row]:
        try:
            return self._db.execute(sql, bind).fetchall()
        except sqlite3.Error as error:
            raise UserError(f"cannot read the expert queue {self.path}: {error}") from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise UserError(f"cannot write the expert queue {self.path}: {error}; nothing was changed") from None


def _item(row: sqlite3.Row) -> Item:
    return Item.from_row(json.loads(row["payload"]))


def _label(item: Item, label_id: str, annotator: str, value: float, simulated: bool) -> ExpertLabel:
    return ExpertLabel(
        id=label_id,
        item_id=item.id,
        kind=item.kind,
        annotator=annotator,
        value=value,
        pi=item.pi,
        lane=item.lane,
        round=item.round,
        simulated=simulated,
    )


def _check_value(value: float) -> None:
    if value not in (0.0, 0.5, 1.0):
        raise ValueError(f"an answer is 1, 0 or 0.5, not {value!r}")
