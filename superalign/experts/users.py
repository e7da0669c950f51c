"""Who may use the expert queue: a name, a role, and a token of which only the hash is kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sqlalchemy import Connection, bindparam, insert, select, update

from superalign.errors import UserError
from superalign.experts import audit, tables
from superalign.experts.audit import Action
from superalign.experts.queue import PUSHER, ExpertQueue

UserRole = Literal["annotator", "adjudicator", "admin"]
LONGEST_NAME = 64
NAMED = select(tables.person).where(tables.person.c.name == bindparam("name"))  # every request asks this


@dataclass(frozen=True, slots=True)
class User:
    """One who may log in; a disabled one no longer may, and keeps name and labels. `mark` changes with the token."""

    name: str
    role: UserRole
    disabled: bool = False
    mark: str = field(default="", compare=False, repr=False)


class Users:
    """The users of one queue, kept in its store and in its audit log."""

    def __init__(self, queue: ExpertQueue) -> None:
        """Use the store of this queue."""
        self._queue = queue

    def add(self, name: str, role: UserRole) -> str:
        """Let somebody in; returns their token, which is shown this once. A disabled user comes back with a new one.

        Raises:
            UserError: the name is empty, too long, unprintable or taken, or there is no such role.
        """
        name = name.strip()
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise UserError(f"a user needs a name of 1 to {LONGEST_NAME} printable characters, not {name!r}")
        if role not in get_args(UserRole):
            raise UserError(f"no role {role!r}; roles are {', '.join(get_args(UserRole))}")
        token = secrets.token_urlsafe(24)
        row = {"name": name, "role": role, "token_hash": _hash(token), "disabled": False}
        person = tables.person
        with self._queue.database.write() as db:
            known = db.execute(select(person.c.disabled).where(person.c.name == name)).scalar()
            if known is False:
                raise UserError(f"there is a user {name!r} already; disable them first to give them a new token")
            db.execute(insert(person) if known is None else update(person).where(person.c.name == name), row)
            self._log(db, "add user", row)
        return token

    def by_token(self, token: str) -> User | None:
        """Whose token this is, None if nobody's; takes the same time whichever token is wrong."""
        given, found = _hash(token), None
        for row in self._rows():
            if hmac.compare_digest(row["token_hash"], given) and not row["disabled"]:
                found = _user(row)
        return found

    def by_name(self, name: str) -> User | None:
        """The user of this name, disabled or not; None if there is none."""
        rows = self._queue.database.query(NAMED, {"name": name})
        return _user(rows[0]._mapping) if rows else None

    def all(self) -> list[User]:
        """Every user by name, disabled ones too."""
        return [_user(row) for row in self._rows()]

    def disable(self, name: str) -> None:
        """Shut somebody out; their labels stay.

        Raises:
            UserError: there is no such user.
        """
        person = tables.person
        with self._queue.database.write() as db:
            found = db.execute(select(person).where(person.c.name == name)).mappings().one_or_none()
            if found is None:
                raise UserError(f"there is no user {name!r}")
            row = dict(found) | {"disabled": True}
            db.execute(update(person).where(person.c.name == name).values(disabled=True))
            self._log(db, "disable user", row)

    def _log(self, db: Connection, action: str, row: dict[str, Any]) -> None:
        audit.append(db, self._queue.clock(), Action(PUSHER, action, f"person {row['name']}", row, row["role"]))

    def _rows(self) -> list[dict[str, Any]]:
        people = select(tables.person).order_by(tables.person.c.name)
        return [row._asdict() for row in self._queue.database.query(people)]


def _user(row: Mapping[Any, Any]) -> User:
    return User(**{key: row[key] for key in ("name", "role", "disabled")}, mark=row["token_hash"][:16])


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
