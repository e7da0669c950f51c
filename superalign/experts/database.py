"""The tables of the expert queue and the questions asked of them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from superalign.errors import UserError

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS item(
    position INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, round INTEGER NOT NULL, forced INTEGER NOT NULL,
    need INTEGER NOT NULL, payload TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS budget(round INTEGER PRIMARY KEY, cap INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS lease(
    token TEXT PRIMARY KEY, item_id TEXT NOT NULL, annotator TEXT NOT NULL, expires_at REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'held');
CREATE TABLE IF NOT EXISTS skipped(item_id TEXT, annotator TEXT, PRIMARY KEY(item_id, annotator));
CREATE TABLE IF NOT EXISTS label(
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, item_id TEXT NOT NULL REFERENCES item(id),
    annotator TEXT NOT NULL, value REAL, simulated INTEGER NOT NULL, token TEXT UNIQUE, supersedes TEXT,
    created_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS label_item ON label(item_id, annotator, seq);
CREATE INDEX IF NOT EXISTS lease_item ON lease(item_id, state);
CREATE INDEX IF NOT EXISTS item_round ON item(round);
CREATE VIEW IF NOT EXISTS live AS
    SELECT label.*, item.round FROM label JOIN item ON item.id = label.item_id
    WHERE value IS NOT NULL AND seq = (
        SELECT MAX(seq) FROM label AS later
        WHERE later.item_id = label.item_id AND later.annotator = label.annotator);
CREATE VIEW IF NOT EXISTS held AS
    SELECT lease.*, item.round FROM lease JOIN item ON item.id = lease.item_id WHERE state = 'held';
"""

# `live` are the labels that stand, `held` the leases not given back; a lease past its time counts for nothing.
# The rounds with room are found once, not once per item: a claim stays at a few milliseconds.
NEXT_ITEM = """
WITH room AS MATERIALIZED (
    SELECT round FROM budget
    WHERE (SELECT COUNT(*) FROM live WHERE live.round = budget.round)
        + (SELECT COUNT(*) FROM held WHERE held.round = budget.round AND expires_at > :now) < cap)
SELECT payload FROM item
WHERE round IN (SELECT round FROM room)
  AND (SELECT COUNT(*) FROM live WHERE item_id = item.id)
    + (SELECT COUNT(*) FROM held WHERE item_id = item.id AND expires_at > :now) < need
  AND NOT EXISTS (SELECT 1 FROM live WHERE item_id = item.id AND annotator = :who)
  AND NOT EXISTS (SELECT 1 FROM held WHERE item_id = item.id AND annotator = :who AND expires_at > :now)
  AND NOT EXISTS (SELECT 1 FROM skipped WHERE item_id = item.id AND annotator = :who)
ORDER BY round DESC, forced DESC, position LIMIT 1
"""
ROOM = """
SELECT (SELECT COUNT(*) FROM live WHERE item_id = :item AND annotator = :who) AS own,
    (SELECT COUNT(*) FROM live WHERE item_id = :item)
    + (SELECT COUNT(*) FROM held WHERE item_id = :item AND annotator != :who AND expires_at > :now) AS item,
    (SELECT COUNT(*) FROM live WHERE round = :round)
    + (SELECT COUNT(*) FROM held WHERE round = :round AND expires_at > :now
       AND NOT (item_id = :item AND annotator = :who)) AS round,
    (SELECT cap FROM budget WHERE round = :round) AS cap
"""
LABELS = """
SELECT label.id AS label_id, annotator, value, simulated, payload
FROM label JOIN item ON item.id = label.item_id
WHERE value IS NOT NULL AND seq > :since AND seq = (
    SELECT MAX(seq) FROM label AS later
    WHERE later.item_id = label.item_id AND later.annotator = label.annotator AND seq <= :until)
ORDER BY item.round, position, annotator
"""
PROGRESS = """
SELECT COALESCE((SELECT SUM(need) FROM item WHERE round = :r), 0) AS need,
    COALESCE((SELECT cap FROM budget WHERE round = :r), 0) AS cap,
    (SELECT COUNT(*) FROM live WHERE round = :r) AS used
"""
ROUNDS = """
SELECT round, cap AS budget, (SELECT COUNT(*) FROM live WHERE live.round = budget.round) AS used,
    (SELECT COUNT(*) FROM item WHERE item.round = budget.round) AS items,
    (SELECT COUNT(*) FROM held WHERE held.round = budget.round AND expires_at > :now) AS leased
FROM budget ORDER BY round
"""
DOUBLES = """
SELECT a.value = b.value AS same FROM live a JOIN live b ON a.item_id = b.item_id AND a.annotator < b.annotator
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the queue's file, readable by its owner only, every commit on disk before it is acknowledged.

    Raises:
        UserError: the file cannot be opened, is no queue, or is of another version.
    """
    try:
        # The file holds harmful text; create it closed to others before SQLite opens it.
        path.touch(mode=0o600)
        db = sqlite3.connect(path, timeout=30, isolation_level=None)
        db.row_factory = sqlite3.Row
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise UserError(f"{path} is an expert queue of format {version}; this superalign reads {VERSION}")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        if version == 0:
            db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version={VERSION}; COMMIT;")
    except (sqlite3.Error, OSError) as error:
        raise UserError(f"cannot open the expert queue {path}: {error}") from None
    return db
