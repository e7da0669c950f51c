"""The log of every action on the expert queue: rows chained by their hashes, so that tampering shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, insert, select

from superalign.experts import tables
from superalign.experts.database import START

# The tables whose every row has its digest in the log, the column that names a row, and derived or secret columns.
WATCHED: Mapping[str, tuple[Table, str, frozenset[str]]] = {
    "item": (tables.item, "id", frozenset({"answers"})),
    "round": (tables.budget, "round", frozenset({"used"})),
    "label": (tables.label, "id", frozenset({"token"})),
    "person": (tables.person, "name", frozenset()),
}


LATER = frozenset({"dimensions"})  # columns that queues did not always have: empty ones are in no digest

ADD = insert(tables.audit)


class Action(NamedTuple):
    """What somebody did to the row `subject`; `written` is that row as it was stored, if it was."""

    actor: str
    action: str
    subject: str
    written: Mapping[str, Any] | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action: `subject` is the row it was about ("label 3f2a..."), `digest` that row's content if it was written.

    hash = SHA-256(hash of the entry before + JSON list of all other fields).
    """

    seq: int
    at: float
    actor: str
    action: str
    subject: str
    digest: str
    detail: str
    hash: str

    def expected(self, before: str) -> str:
        """The hash that this entry must have after an entry of hash `before`."""
        return _chained(before, self.seq, self.at, self.actor, self.action, self.subject, self.digest, self.detail)


def append(connection: Connection, at: float, *actions: Action) -> None:
    """Log actions within the transaction that does them."""
    seq, end = connection.execute(tables.HEAD).one()
    rows = []
    for actor, action, subject, written, detail in actions:
        seq += 1
        digest = "" if written is None else _digest(subject.partition(" ")[0], written)
        end = _chained(end, seq, at, actor, action, subject, digest, detail)
        rows.append(
            {
                "seq": seq,
                "at": at,
                "actor": actor,
                "action": action,
                "subject": subject,
                "digest": digest,
                "detail": detail,
                "hash": end,
            }
        )
    if rows:
        connection.execute(ADD, rows if len(rows) > 1 else rows[0])
        connection.execute(tables.NEW_HEAD, {"seq": seq, "hash": end})


def entries(connection: Connection) -> Iterator[AuditEntry]:
    """The log, oldest entry first."""
    for row in connection.execute(select(tables.audit).order_by(tables.audit.c.seq)).mappings():
        yield AuditEntry(**row)


def verify(connection: Connection) -> list[str]:
    """One line for each row that was edited, deleted, inserted or moved behind the log's back; empty if none was.

    Whoever may write to the database could also compute the whole chain anew: against that, keep the last hash, or
    a backup, where they cannot reach it.
    """
    faults, digests, before, last = [], dict[str, str](), START, 0
    for entry in entries(connection):
        if entry.seq != last + 1:
            faults.append(f"audit {last + 1}{f' to {entry.seq - 1}' if entry.seq > last + 2 else ''} is missing")
        if entry.hash != entry.expected(before):
            # After a gap no hash can fit; the rows that are missing have been named.
            faults += [f"audit {entry.seq} was edited, inserted or moved"] if entry.seq == last + 1 else []
        if entry.digest:
            digests[entry.subject] = entry.digest
        before, last = entry.hash, entry.seq
    seq, end = connection.execute(tables.HEAD).one()
    if (seq, end) != (last, before):
        faults.append(f"the log ends at audit {last}, not with the last action (audit {seq})")
    for kind, (table, name, _) in WATCHED.items():
        for row in connection.execute(select(table)).mappings():
            subject = f"{kind} {row[name]}"
            logged = digests.pop(subject, None)
            if logged is None:
                faults.append(f"{subject} was inserted behind the log's back")
            elif logged != _digest(kind, row):
                faults.append(f"{subject} was edited")
    faults += [f"{subject} was deleted" for subject in digests]
    faults += [f"the count of labels of {name} is wrong" for name in connection.execute(tables.COUNTERS).scalars()]
    return faults


def _digest(kind: str, row: Mapping[Any, Any]) -> str:
    empty = {key for key in LATER if row.get(key) is None}
    left_out = WATCHED[kind][2] | empty
    kept = {key: value for key, value in row.items() if key not in left_out}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _chained(before: str, *fields: object) -> str:
    return hashlib.sha256((before + json.dumps(fields)).encode()).hexdigest()
