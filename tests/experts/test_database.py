"""Where the queue is kept: a private file or a schema, refused in one line when it cannot be."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from superalign.config.schema import Config
from superalign.config.sections import ExpertConfig
from superalign.errors import UserError
from superalign.experts import database, tables
from superalign.experts.database import Database
from superalign.experts.queue import ExpertQueue
from superalign.roles.expert import Expert
from tests.experts.policies import shipped
from tests.experts.test_queue import answer, item


def test_a_file_that_is_no_queue_or_of_another_format_is_named(tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.sqlite"
    stranger.write_bytes(b"this is no database, it only looks like a file" * 50)
    with pytest.raises(UserError, match=r"stranger\.sqlite"):
        ExpertQueue(stranger)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("PRAGMA user_version=1")
    with pytest.raises(UserError, match="format 1; this superalign reads 3"):
        ExpertQueue(other)
    with pytest.raises(UserError, match="cannot open"):
        ExpertQueue(tmp_path / "missing" / "experts.sqlite")


def test_the_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    queue = ExpertQueue(tmp_path / "experts.sqlite")
    queue.push([item(1)], 1, 5)
    files = list(tmp_path.iterdir())
    assert len(files) == 3
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)


def test_a_file_on_a_network_is_refused_with_what_to_use_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    monkeypatch.setattr(database, "MOUNTS", mounts)
    shared = tmp_path.resolve() / "our share"
    lines = ["/dev/sda1 / ext4 rw 0 0", f"host:/x {str(shared).replace(' ', chr(92) + '040')} nfs4 rw 0 0"]
    mounts.write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"lies on nfs4, .*set expert\.store=postgresql"):
        Expert(Config(expert=ExpertConfig(source="queue")), shared / "runs" / "mine" / "experts.sqlite", None)
    database.refuse_network(tmp_path / "experts.sqlite")


def test_a_url_may_name_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "experts.sqlite"
    ExpertQueue(path).push([item(1)], 1, 5)
    queue = ExpertQueue(f"sqlite:///{path}")
    assert len(queue.items()) == 1
    assert queue.database.name == str(path)


def test_a_disk_that_is_full_loses_no_acknowledged_label(tmp_path: Path) -> None:
    queue = ExpertQueue(tmp_path / "experts.sqlite")
    queue.push([item(1), item(2, query="x" * 20_000)], 1, 5)
    answer(queue, "ann")
    with queue.database.read() as db:  # one at a time, all work is done on this one connection
        db.exec_driver_sql("COMMIT")
        db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = db.exec_driver_sql("PRAGMA page_count").scalar_one()
        db.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(UserError, match=r"full; nothing was changed"):
        queue.push([item(3, round=2, query="y" * 50_000)], 2, 5)
    with queue.database.read() as db:
        db.exec_driver_sql("PRAGMA max_page_count=1000000")
    assert len(queue.labels()) == 1
    assert len(queue.items()) == 2
    answer(queue, "ann")
    assert queue.verify() == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://host/database", "cannot be mysql"),
        ("sqlite://", "cannot be sqlite"),
        ("://", "no database URL"),
        ("postgresql+psycopg://me:SECRET@/nothing?host=/nowhere", "cannot open the expert queue postgresql"),
    ],
)
def test_a_store_that_cannot_be_is_named_without_its_password(url: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        ExpertQueue(url)
    assert "SECRET" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_runs_in_one_database_do_not_meet(postgres: str) -> None:
    names = ["run one", 'run "two"; DROP', "x" * 80 + "1", "x" * 80 + "2", "gedächtnis" * 20]
    queues = [ExpertQueue(postgres, space=name) for name in names]
    for n, queue in enumerate(queues):
        queue.push([item(n)], 1, 1)
    assert [[i.id for i in queue.items()] for queue in queues] == [[f"item{n:03d}"] for n in range(len(names))]


def test_postgresql_of_another_format_is_refused(postgres: str) -> None:
    with Database(postgres, "other format").write() as db:
        db.exec_driver_sql("UPDATE head SET version = 9")
    with pytest.raises(UserError, match="format 9"):
        ExpertQueue(postgres, space="other format")


def test_a_queue_of_the_format_before_is_brought_up_to_date_with_its_labels_and_log(
    open_queue: Callable[..., ExpertQueue],
) -> None:
    queue = open_queue()
    queue.push([item(1), item(2)], 1, 5)
    label = answer(queue, "ann")
    with queue.database.write() as db:  # format 2 knew no dimensions
        for statement in (
            "DROP VIEW live",
            "ALTER TABLE label DROP COLUMN dimensions",
            "ALTER TABLE lease DROP COLUMN dimensions",
            tables.LIVE,
            "UPDATE head SET version = 2",
            *(["PRAGMA user_version=2"] if queue.database.path else []),
        ):
            db.exec_driver_sql(statement)
    queue.close()
    again = open_queue(policy=shipped())
    assert [found.id for found in again.labels()] == [label] and again.labels()[0].dimensions == ()
    leased = again.claim("bob", 60)
    assert leased is not None
    again.submit(leased.token, 0.0, dimensions={"harmful": 0.0, "complies": 0.0})
    assert len(open_queue(policy=shipped()).answers()) == 2
    assert again.verify() == []


def test_the_driver_that_is_missing_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(UserError, match=r"pip install 'superalign\[experts\]'"):
        ExpertQueue("postgresql://host/database")


def test_what_fails_halfway_changes_nothing(open_queue: Callable[..., ExpertQueue]) -> None:
    queue = open_queue()
    queue.push([item(1)], 1, 5)
    with pytest.raises(ValueError, match="budget of 5"):
        queue.push([item(2)], 1, 6)
    with pytest.raises(KeyboardInterrupt), queue.database.write() as db:
        db.exec_driver_sql("UPDATE budget SET cap = 99")
        raise KeyboardInterrupt
    assert queue.stats()["rounds"][0]["budget"] == 5
    assert queue.verify() == []
