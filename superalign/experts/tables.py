"""The tables of the expert queue and the questions asked of them, in the SQL that SQLite and PostgreSQL share."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    func,
    insert,
    select,
    text,
)

VERSION = 3
metadata = MetaData()

# The end of the audit chain, and the format; one row.
head = Table(
    "head",
    metadata,
    Column("version", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
)
# `answers` counts the labels that stand: with it, finding the next item looks at open items only.
item = Table(
    "item",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("round", Integer, nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("pi", Float, nullable=False),
    Column("category", Text, nullable=False),
    Column("trap", Boolean, nullable=False),  # a gold item
    Column("need", Integer, nullable=False),
    Column("payload", Text, nullable=False),
    Column("answers", Integer, nullable=False),
)
_open = text("answers < need")
Index(
    "item_open",
    item.c.round,
    item.c.forced.desc(),
    item.c.pi.desc(),
    item.c.position,
    sqlite_where=_open,
    postgresql_where=_open,
)
# `used` counts the labels that stand in the round.
budget = Table(
    "budget",
    metadata,
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("cap", Integer, nullable=False),
    Column("used", Integer, nullable=False),
)
lease = Table(
    "lease",
    metadata,
    Column("token", Text, primary_key=True),
    Column("item_id", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("annotator", Text, nullable=False),
    Column("claimed_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("state", Text, nullable=False),
    Column("alone", Float),
    Column("dimensions", Text),  # of what was answered alone, as JSON
)
_held = text("state = 'held'")
Index("lease_item", lease.c.item_id, lease.c.annotator)
Index("lease_round", lease.c.round, lease.c.expires_at, sqlite_where=_held, postgresql_where=_held)
Index("lease_annotator", lease.c.annotator, sqlite_where=_held, postgresql_where=_held)
# What an annotator skipped or flagged is not offered to them again.
declined = Table(
    "declined",
    metadata,
    Column("item_id", Text, primary_key=True),
    Column("annotator", Text, primary_key=True),
)
# Rows are only ever added; an answer taken back is a further row whose value is NULL.
label = Table(
    "label",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("item_id", Text, nullable=False),
    Column("annotator", Text, nullable=False),
    Column("value", Float),
    Column("alone", Float),
    Column("critique", Text),
    Column("seconds", Float),
    Column("simulated", Boolean, nullable=False),
    Column("token", Text, unique=True),
    Column("supersedes", Text),
    Column("created_at", Float, nullable=False),
    Column("dimensions", Text),  # JSON; NULL where the whole alone was answered
)
Index("label_item", label.c.item_id, label.c.annotator, label.c.seq)
Index("label_annotator", label.c.annotator, label.c.seq)
audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("hash", String(64), nullable=False),
)
person = Table(
    "person",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("token_hash", String(64), nullable=False),
    Column("disabled", Boolean, nullable=False),
)

# The labels that stand: the last of each annotator on each item, unless it takes an answer back.
LIVE = """
CREATE VIEW live AS SELECT * FROM label
WHERE value IS NOT NULL AND seq = (
    SELECT MAX(seq) FROM label AS later WHERE later.item_id = label.item_id AND later.annotator = label.annotator)
"""

# What makes the tables of a format those of the next one.
MIGRATIONS = {
    2: (
        "DROP VIEW live",  # PostgreSQL keeps the columns that a view was made with
        "ALTER TABLE lease ADD COLUMN dimensions TEXT",
        "ALTER TABLE label ADD COLUMN dimensions TEXT",
        LIVE,
    )
}

# What every claim and answer asks stands here whole: building a query takes longer than answering it.
ITEM = text("SELECT payload FROM item WHERE id = :item")
LEASE = text("SELECT lease.*, payload FROM lease JOIN item ON item.id = item_id WHERE token = :token")
_HOLDS = """
SELECT token, claimed_at, expires_at, alone, dimensions, payload FROM lease JOIN item ON item.id = item_id
WHERE annotator = :who AND state = 'held' AND expires_at > :now
"""
HELD = text(f"{_HOLDS} ORDER BY claimed_at, token LIMIT 1")
HELD_BY = text(f"{_HOLDS} AND token = :token")
BY_TOKEN = text("SELECT label.*, payload FROM label JOIN item ON item.id = item_id WHERE token = :token")
SAID_ALONE = text("""
SELECT alone, dimensions FROM lease WHERE item_id = :item AND annotator = :who AND alone IS NOT NULL LIMIT 1
""")
OWN = text("SELECT id, value, dimensions FROM label WHERE item_id = :item AND annotator = :who ORDER BY seq")
COUNT_ITEM = text("UPDATE item SET answers = answers + :more WHERE id = :item")
COUNT_ROUND = text("UPDATE budget SET used = used + :more WHERE round = :round")
ANSWERED = text("""
UPDATE lease SET state = 'answered' WHERE item_id = :item AND annotator = :who AND state = 'held'
""")
HEAD = text("SELECT seq, hash FROM head")
NEW_HEAD = text("UPDATE head SET seq = :seq, hash = :hash")
ADD_LEASE = insert(lease)
ADD_LABEL = (
    insert(label)
    .values(seq=select(func.coalesce(func.max(label.c.seq), 0) + 1).scalar_subquery())
    .returning(label.c.seq)
)

# For EXISTS, here and below, PostgreSQL would read every item, and sort them: it joins where it should look up one.
# The rounds that have open items and room for one more label beside those given and those being given.
ROOMS = text("""
SELECT round FROM budget
WHERE used + (SELECT COUNT(*) FROM lease
              WHERE lease.round = budget.round AND state = 'held' AND expires_at > :now) < cap
  AND (SELECT 1 FROM item WHERE item.round = budget.round AND answers < need LIMIT 1) = 1
ORDER BY round DESC
""")
NEXT_ITEM = text("""
SELECT payload FROM item
WHERE round = :round AND answers < need
  AND answers + (SELECT COUNT(*) FROM lease
                 WHERE item_id = item.id AND state = 'held' AND expires_at > :now) < need
  AND (SELECT COUNT(*) FROM lease
       WHERE item_id = item.id AND annotator = :who AND state = 'held' AND expires_at > :now) = 0
  AND (SELECT COUNT(*) FROM live WHERE item_id = item.id AND annotator = :who) = 0
  AND (SELECT COUNT(*) FROM declined WHERE item_id = item.id AND annotator = :who) = 0
  AND category NOT IN :categories
ORDER BY forced DESC, pi DESC, position LIMIT 1
""").bindparams(bindparam("categories", expanding=True, type_=Text()))
ROOM = text("""
SELECT need, answers, cap, used,
    (SELECT COUNT(*) FROM live WHERE item_id = item.id AND annotator = :who) AS own,
    (SELECT COUNT(*) FROM lease
     WHERE item_id = item.id AND annotator <> :who AND state = 'held' AND expires_at > :now) AS item_held,
    (SELECT COUNT(*) FROM lease
     WHERE lease.round = item.round AND state = 'held' AND expires_at > :now
       AND NOT (item_id = item.id AND annotator = :who)) AS round_held
FROM item JOIN budget ON budget.round = item.round WHERE item.id = :item
""")
LABELS = text("""
SELECT label.id AS id, annotator, value, dimensions, simulated, payload
FROM label JOIN item ON item.id = label.item_id
WHERE value IS NOT NULL AND trap = :gold AND seq > :since AND seq = (
    SELECT MAX(seq) FROM label AS later
    WHERE later.item_id = label.item_id AND later.annotator = label.annotator AND seq <= :until)
ORDER BY item.round, position, annotator
""")
ANSWERS = text("""
SELECT live.id AS id, annotator, value, dimensions, alone, critique, seconds, simulated, created_at, payload
FROM live JOIN item ON item.id = live.item_id ORDER BY item.round, position, annotator
""")
PROGRESS = text("""
SELECT cap, used, (SELECT COALESCE(SUM(need), 0) FROM item WHERE item.round = budget.round) AS need
FROM budget WHERE round = :round
""")
ROUNDS = text("""
SELECT round, cap AS budget, used, (SELECT COUNT(*) FROM item WHERE item.round = budget.round) AS items,
    (SELECT COUNT(*) FROM lease
     WHERE lease.round = budget.round AND state = 'held' AND expires_at > :now) AS leased
FROM budget ORDER BY round
""")
PEOPLE = text("SELECT annotator, COUNT(*) AS labels FROM live GROUP BY annotator ORDER BY annotator")
DOUBLES = text("""
SELECT COUNT(*) AS doubles, COALESCE(SUM(CASE WHEN a.value = b.value THEN 1 ELSE 0 END), 0) AS agreed
FROM live a JOIN live b ON a.item_id = b.item_id AND a.annotator < b.annotator
""")
COUNTERS = text("""
SELECT 'item ' || item.id AS name FROM item
WHERE answers <> (SELECT COUNT(*) FROM live WHERE item_id = item.id)
UNION ALL
SELECT 'round ' || CAST(budget.round AS TEXT) FROM budget
WHERE used <> (SELECT COUNT(*) FROM live JOIN item ON item.id = live.item_id WHERE item.round = budget.round)
""")
