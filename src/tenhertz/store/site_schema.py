"""The tables of a site's database, and how one of an older version becomes one of this.

Rows of each kind are numbered without holes from 1 on, and never anew: the fleet counts by these
numbers. What is deleted leaves its numbers in `gone`, with the cause.
"""

from __future__ import annotations

import secrets
import sqlite3

from tenhertz.link.points import Kind

SCHEMA_VERSION = 2

# The table of each kind that goes to the fleet.
TABLES = {Kind.SAMPLE: "sample", Kind.TICK: "tick", Kind.EVENT: "event", Kind.LOSS: "loss"}

_SCHEMA = """
CREATE TABLE IF NOT EXISTS unit (unit INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS sample (
    id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL,
    number INTEGER NOT NULL, unit INTEGER NOT NULL, tick INTEGER NOT NULL,
    measured_at_ns INTEGER NOT NULL, round_trip_us INTEGER NOT NULL, condition INTEGER NOT NULL,
    -- NULL where the device gave no number: SQLite has no NaN
    power_w REAL, setpoint_w REAL, soc REAL, charge_limit_w REAL, discharge_limit_w REAL,
    temperature_c REAL, faults INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS tick (
    id INTEGER PRIMARY KEY,
    at_ns INTEGER NOT NULL, tick INTEGER NOT NULL, late_us INTEGER NOT NULL,
    reason INTEGER NOT NULL, units INTEGER NOT NULL, frequency_hz REAL, target_w REAL,
    baseline_w REAL, power_w REAL
) STRICT;
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY,
    at_ns INTEGER NOT NULL, unit INTEGER, severity INTEGER NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS loss (
    id INTEGER PRIMARY KEY,
    noticed_at_ns INTEGER NOT NULL, epoch INTEGER NOT NULL, -- 0: lost after it was stored
    samples INTEGER NOT NULL, cause TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS position (
    ring TEXT PRIMARY KEY, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,
    samples INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (
    -- stream names this database to the fleet, head/<table> is the number of the next row
    key TEXT PRIMARY KEY, value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gone (
    kind INTEGER NOT NULL, first INTEGER NOT NULL, end INTEGER NOT NULL, cause TEXT NOT NULL,
    PRIMARY KEY (kind, first)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tick_at ON tick (at_ns);
"""


def prepare(db: sqlite3.Connection, version: int) -> None:
    """Make or migrate the tables; within a transaction."""
    if version == 1:
        # Their row numbers were implicit, and could change when the file was compacted.
        for table in ("tick", "event", "loss"):
            db.execute(f"ALTER TABLE {table} RENAME TO {table}_1")
        db.execute("DROP INDEX IF EXISTS tick_at")
    for statement in _SCHEMA.split(";"):
        db.execute(statement)
    if version == 1:
        for table in ("tick", "event", "loss"):
            db.execute(f"INSERT INTO {table} SELECT rowid, * FROM {table}_1")  # noqa: S608
            db.execute(f"DROP TABLE {table}_1")
    for kind, table in TABLES.items():
        first, head = db.execute(
            f"SELECT coalesce(min(id), 1), coalesce(max(id), 0) + 1 FROM {table}"  # noqa: S608
        ).fetchone()
        made = db.execute(
            "INSERT OR IGNORE INTO meta VALUES (?, ?)", (f"head/{table}", head)
        ).rowcount
        if made and first > 1:
            db.execute(
                "INSERT INTO gone VALUES (?, 1, ?, 'deleted before they were numbered')",
                (int(kind), first),
            )
    stream = secrets.randbits(62) | 1
    db.execute("INSERT OR IGNORE INTO meta VALUES ('stream', ?)", (stream,))
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def head(db: sqlite3.Connection, table: str) -> int:
    """The number of the next row of a table."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (f"head/{table}",)).fetchone()
    return int(row[0])


def numbered(
    db: sqlite3.Connection, table: str, rows: list[tuple[object, ...]]
) -> list[tuple[object, ...]]:
    """Rows with their numbers in front; within the transaction that stores them."""
    first = head(db, table)
    db.execute("UPDATE meta SET value = ? WHERE key = ?", (first + len(rows), f"head/{table}"))
    return [(number, *row) for number, row in enumerate(rows, first)]


def note_gone(db: sqlite3.Connection, kind: Kind, numbers: list[int], cause: str) -> None:
    """Note deleted rows, given in any order; within the transaction that deletes them."""
    last = db.execute(
        "SELECT first, end, cause FROM gone WHERE kind = ? ORDER BY first DESC LIMIT 1",
        (int(kind),),
    ).fetchone()
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number:
            spans[-1][1] = number + 1
        else:
            spans.append([number, number + 1])
    if last is not None and spans and last[1] == spans[0][0] and last[2] == cause:
        spans[0][0] = last[0]
    db.executemany(
        "INSERT OR REPLACE INTO gone VALUES (?, ?, ?, ?)",
        [(int(kind), first, end, cause) for first, end in spans],
    )
