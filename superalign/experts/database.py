"""Where the expert queue is kept: one SQLite file, or a schema of a PostgreSQL database."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Executable, Row, create_engine, event, insert, inspect, select, text, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from superalign.errors import UserError
from superalign.experts import tables
from superalign.records import content_id

BUSY_S = 30
RECYCLE_S = 60  # a connection that was idle through a restart of the server, or a night, is not used again
START = "0" * 64
MOUNTS = Path("/proc/self/mounts")  # of Linux
NETWORKS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "ceph", "beegfs", "afs", "panfs", "wekafs", "orangefs"}
    | {"glusterfs", "sshfs", "s3fs", "gcsfuse"}
)
LONGEST_SCHEMA = 63  # bytes; PostgreSQL cuts longer names, and two runs would share one schema


class BeginStatements(NamedTuple):
    """The statements that begin a transaction. Drivers begin none by themselves, nor do hooks, which slow every one."""

    read: tuple[str, ...]
    write: tuple[str, ...]
    lazy_write: tuple[str, ...]


class Database:
    """Transactions on the queue's store; may be shared by threads, not across a fork.

    SQLite: WAL, every commit on disk before it is acknowledged, the file readable by its owner only. PostgreSQL: all
    tables in the schema `space`. Writers take turns: BEGIN IMMEDIATE there, an advisory lock of the schema here.
    """

    def __init__(self, store: str | Path, space: str = "") -> None:
        """Open or create the store: a path is an SQLite file, else a SQLAlchemy URL.

        Raises:
            UserError: the store cannot be opened, is no queue, or is of a format that cannot be brought up to date.
        """
        url, schema = _url(store), _schema(space)
        self.path = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
        self.name = str(self.path or url.render_as_string(hide_password=True))
        # Threads of one process wait here, not in SQLite's sleeping retries, nor each with a connection of its own.
        self._turn = threading.Lock()
        try:
            if self.path:
                # The file holds harmful text; create it closed to others before SQLite opens it.
                self.path.touch(mode=0o600)
            self._engine, self._begin = _sqlite(url) if self.path else _postgresql(url, schema)
        except ModuleNotFoundError as error:
            raise UserError(f"{self.name} needs {error.name}: pip install 'superalign[experts]'") from None
        except OSError as error:
            raise UserError(f"cannot open the expert queue {self.name}: {error}") from None
        with self._as_user_error("open"), self._turn, self._transaction(self._begin.write) as connection:
            self._prepare(connection, schema)

    def close(self) -> None:
        """Close all connections; what was acknowledged is on disk already."""
        self._engine.dispose()

    def query(self, question: Executable, bind: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """The rows that answer one question, which is consistent without a transaction around it."""
        with self._as_user_error("read"), self._engine.connect() as connection:
            return connection.execute(question, bind).all()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view of the store, for several questions."""
        with self._as_user_error("read"), self._transaction(self._begin.read) as connection:
            yield connection

    @contextmanager
    def write(self, durable: bool = True) -> Iterator[Connection]:
        """One transaction, alone: all of it is on disk when this ends, or nothing if it raises.

        One that is not `durable` need not be on disk yet: when the machine (not the process) dies, it may be undone,
        but never one before it without it.
        """
        begin = self._begin.write if durable else self._begin.lazy_write
        with self._as_user_error("write", "; nothing was changed"), self._turn, self._transaction(begin) as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: Sequence[str]) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            for statement in begin:
                connection.exec_driver_sql(statement)
            yield connection

    @contextmanager
    def _as_user_error(self, verb: str, outcome: str = "") -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            line = str(cause).strip().partition("\n")[0]
            raise UserError(f"cannot {verb} the expert queue {self.name}: {line}{outcome}") from None

    def _prepare(self, connection: Connection, schema: str) -> None:
        if self.path:
            version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        else:
            if schema and not inspect(connection).has_schema(schema):
                connection.execute(text(f"CREATE SCHEMA {_quoted(schema)}"))
            there = inspect(connection).has_table("head")
            version = int(connection.execute(select(tables.head.c.version)).scalar_one()) if there else 0
        while version in tables.MIGRATIONS:
            for statement in tables.MIGRATIONS[version]:
                connection.execute(text(statement))
            version += 1
            self._mark(connection, version)
        if version not in (0, tables.VERSION):
            raise UserError(
                f"{self.name} is an expert queue of format {version}; this superalign reads {tables.VERSION}"
            )
        if version == 0:
            tables.metadata.create_all(connection, checkfirst=False)
            connection.execute(text(tables.LIVE))
            connection.execute(insert(tables.head).values(version=tables.VERSION, seq=0, hash=START))
            self._mark(connection, tables.VERSION)

    def _mark(self, connection: Connection, version: int) -> None:
        """Note the format where it is read."""
        connection.execute(update(tables.head).values(version=version))
        if self.path:
            connection.exec_driver_sql(f"PRAGMA user_version={version}")


def refuse_network(path: Path) -> None:
    """Refuse a file for people's answers that other hosts may open: SQLite's WAL is shared within one host alone.

    Raises:
        UserError: the file lies, or would lie, on a network file system.
    """
    place = path.resolve()
    kinds: dict[Path, str] = {}
    for line in MOUNTS.read_text(encoding="utf-8").splitlines() if MOUNTS.is_file() else ():
        _, point, kind, *_ = line.split(" ")
        kinds[Path(point.replace(r"\040", " "))] = kind
    kind = next((kinds[folder] for folder in place.parents if folder in kinds), "")
    if kind.removeprefix("fuse.") in NETWORKS:
        raise UserError(
            f"the expert queue {path} lies on {kind}, where SQLite can lose labels that several hosts write: set "
            "expert.store=postgresql+psycopg://USER@HOST/DATABASE, or on one host a local sqlite:////FOLDER/experts.sqlite"
        )


def _sqlite(url: URL) -> tuple[Engine, BeginStatements]:
    engine = create_engine(url, connect_args={"timeout": BUSY_S})

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")

    turn = "BEGIN IMMEDIATE"
    return engine, BeginStatements(("BEGIN",), ("PRAGMA synchronous=FULL", turn), ("PRAGMA synchronous=NORMAL", turn))


def _postgresql(url: URL, schema: str) -> tuple[Engine, BeginStatements]:
    engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_recycle=RECYCLE_S)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        if schema:
            connection.execute(f"SET search_path TO {_quoted(schema)}")
        connection.execute(f"SET lock_timeout TO '{BUSY_S}s'")
        # Of a young queue PostgreSQL believes that few items are open: it would read and sort all to find the next one.
        # Where a sort cannot be avoided it looks so dear that PostgreSQL would compile the question first.
        connection.execute("SET enable_sort TO off")
        connection.execute("SET jit TO off")

    # Read committed: what a transaction reads after its turn came is what the one before it wrote.
    name = f"superalign experts {schema}".replace("'", "''").replace("%", "%%")
    turn = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(hashtextextended('{name}', 0))"
    lazy = f"{turn}; SET LOCAL synchronous_commit TO off"  # all in one message
    return engine, BeginStatements(("BEGIN ISOLATION LEVEL REPEATABLE READ",), (turn,), (lazy,))


def _url(store: str | Path) -> URL:
    if isinstance(store, Path) or "://" not in store:
        return URL.create("sqlite", database=str(store))
    try:
        url = make_url(store)
    except ArgumentError:
        raise UserError("expert.store is no database URL; try postgresql+psycopg://USER@HOST/DATABASE") from None
    if url.get_backend_name() in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite" and url.database:
        return URL.create("sqlite", database=url.database)
    raise UserError(f"expert.store cannot be {url.get_backend_name()}; it is SQLite or PostgreSQL")


def _schema(space: str) -> str:
    name = "".join(c for c in space if c.isprintable())
    if len(name.encode()) <= LONGEST_SCHEMA:
        return name
    return name.encode()[:40].decode(errors="ignore") + "-" + content_id("expert space", space)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
