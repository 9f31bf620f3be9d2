"""The site's database: one SQLite file, written in batches.

Each batch is one transaction that also moves the ring position, so that after any crash the
database itself tells where to go on: nothing twice, nothing skipped. What had to be given up is in
the table `loss`, to the sample.

Not for: the fleet's store, or anything that many write to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Literal

from tenhertz.store.rows import EventRow, LossRow, SampleRow, TickRow

SCHEMA_VERSION = 1
# How long a transaction waits for a lock before the caller hears of it.
BUSY_TIMEOUT_S = 0.2
_PAGE_BYTES = 4096
_VACUUM_PAGES = 2000  # given back to the file system at a time
_INSTANT = {"sample": "measured_at_ns", "tick": "at_ns", "event": "at_ns"}

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
    at_ns INTEGER NOT NULL, tick INTEGER NOT NULL, late_us INTEGER NOT NULL,
    reason INTEGER NOT NULL, units INTEGER NOT NULL, frequency_hz REAL, target_w REAL,
    baseline_w REAL, power_w REAL
) STRICT;
CREATE TABLE IF NOT EXISTS event (
    at_ns INTEGER NOT NULL, unit INTEGER, severity INTEGER NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS loss (
    noticed_at_ns INTEGER NOT NULL, epoch INTEGER NOT NULL, -- 0: lost after it was stored
    samples INTEGER NOT NULL, cause TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS position (
    ring TEXT PRIMARY KEY, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,
    samples INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tick_at ON tick (at_ns);
"""

_INSERT_SAMPLE = f"INSERT INTO sample VALUES (NULL, ?, {', '.join('?' * 13)})"  # noqa: S608
_INSERT_TICK = "INSERT INTO tick VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_EVENT = "INSERT INTO event VALUES (?, ?, ?, ?)"


class StoreTrouble(Exception):  # noqa: N818 - a state to wait out, not a fault of the program
    """The database cannot take rows now: locked, full, or its disk fails. Nothing was changed."""


class SiteStore:
    """The writing end."""

    def __init__(self, path: Path, units: Sequence[str], sync: Literal["full", "normal"]) -> None:
        """Open or make the database.

        Raises:
            StoreTrouble: it cannot be opened now, or is not a database of this version.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise StoreTrouble(f"{path}: {error}; make room or mend store.file") from error
        try:
            self._prepare(units, sync)
            self._file = path.stat().st_ino
        except (sqlite3.OperationalError, OSError) as error:
            self._db.close()
            raise StoreTrouble(f"{path}: {error}") from error
        except sqlite3.Error as error:
            self._db.close()
            raise StoreTrouble(
                f"{path} is damaged or not a database of tenhertz ({error}); move it away or name "
                "another store.file"
            ) from error
        except StoreTrouble:
            self._db.close()
            raise

    def _prepare(self, units: Sequence[str], sync: str) -> None:
        db = self._db
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StoreTrouble(
                f"{self.path} was written by a newer version (schema {version}; this is "
                f"{SCHEMA_VERSION}); use that version or another store.file"
            )
        if version == 0:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {sync}")
        db.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.executemany("INSERT OR REPLACE INTO unit VALUES (?, ?)", enumerate(units))
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")

    def close(self) -> None:
        """Close the database; SQLite folds the write-ahead log in."""
        self._db.close()

    def position(self, ring: str) -> tuple[int, int, int]:
        """Epoch, next sequence number and samples accounted for of a ring; zeros if unknown.

        Raises:
            StoreTrouble: the database cannot be read now.
        """
        row = self._one("SELECT epoch, sequence, samples FROM position WHERE ring = ?", ring)
        return row if row is not None else (0, 0, 0)

    def _one(self, query: str, *arguments: object) -> Any:
        try:
            return self._db.execute(query, arguments).fetchone()
        except sqlite3.Error as error:
            raise StoreTrouble(f"{self.path}: {error}") from error

    def put(
        self,
        ring: str,
        position: tuple[int, int, int],
        samples: Sequence[SampleRow] = (),
        ticks: Sequence[TickRow] = (),
        events: Sequence[EventRow] = (),
        losses: Sequence[LossRow] = (),
    ) -> None:
        """Store rows and the ring position that follows from them, all or nothing.

        Raises:
            StoreTrouble: nothing was stored; the same call may be made again.
        """
        db = self._db
        epoch = position[0]
        try:
            if self.path.stat().st_ino != self._file:  # rows would go where nobody finds them
                raise StoreTrouble(f"{self.path} was replaced by another file")
            db.execute("BEGIN IMMEDIATE")
            db.executemany(_INSERT_SAMPLE, [(epoch, *row) for row in samples])
            db.executemany(_INSERT_TICK, ticks)
            db.executemany(_INSERT_EVENT, events)
            db.executemany("INSERT INTO loss VALUES (?, ?, ?, ?)", losses)
            db.execute("INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?)", (ring, *position))
            db.execute("COMMIT")
        except (sqlite3.Error, OSError, OverflowError) as error:
            self._undo()
            raise StoreTrouble(f"{self.path}: {error}") from error

    def _undo(self) -> None:
        with suppress(sqlite3.Error):  # SQLite has undone it by itself, or will when it is opened
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def retain(self, older_than_ns: int, largest_mb: float, at_ns: int, most: int = 20_000) -> int:
        """Delete what is older than it may be, or the oldest while the file is too large.

        Of each kind at most `most` rows go at a time, so that the call is short: call again while
        there were any. Samples that only the size pushes out are told in the table `loss`; age is
        no loss. Returns the rows deleted.

        Raises:
            StoreTrouble: nothing was deleted; the same call may be made again.
        """
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            deleted = sum(self._delete(table, most, older_than_ns) for table in _INSTANT)
            if self.size_mb > largest_mb:
                crowded_out = self._delete("sample", most)
                if crowded_out:
                    db.execute(
                        "INSERT INTO loss VALUES (?, 0, ?, 'database at its largest size')",
                        (at_ns, crowded_out),
                    )
                oldest = db.execute("SELECT measured_at_ns FROM sample ORDER BY id LIMIT 1")
                before_ns = (oldest.fetchone() or (None,))[0]
                deleted += crowded_out
                deleted += self._delete("tick", most, before_ns)
                deleted += self._delete("event", most, before_ns)
            db.execute("COMMIT")
        except (sqlite3.Error, StoreTrouble) as error:
            self._undo()
            raise StoreTrouble(f"{self.path}: {error}") from error
        with suppress(sqlite3.Error):  # the pages stay free for new rows
            # `execute` would stop after the first page: the statement yields a row for each.
            db.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
        return deleted

    def _delete(self, table: str, most: int, older_than_ns: int | None = None) -> int:
        """Delete rows among the `most` oldest: those older than an instant, or all of them.

        Row ids rise with time, except where the clock was set; so each row is asked for its own.
        """
        oldest = f"rowid IN (SELECT rowid FROM {table} ORDER BY rowid LIMIT ?)"  # noqa: S608
        query = f"DELETE FROM {table} WHERE {oldest}"  # noqa: S608
        if older_than_ns is None:
            return self._db.execute(query, (most,)).rowcount
        query += f" AND {_INSTANT[table]} < ?"
        return self._db.execute(query, (most, older_than_ns)).rowcount

    @property
    def size_mb(self) -> float:
        """How much of the file is in use.

        Raises:
            StoreTrouble: the database cannot be read now.
        """
        pages, free = self._one("PRAGMA page_count"), self._one("PRAGMA freelist_count")
        return float((pages[0] - free[0]) * _PAGE_BYTES / 1e6)

    def totals(self, ring: str) -> tuple[int, int]:
        """Samples of the ring's present epoch that were stored, and that were lost before.

        Raises:
            StoreTrouble: the database cannot be read now.
        """
        epoch, _, accounted = self.position(ring)
        query = "SELECT coalesce(sum(samples), 0) FROM loss WHERE epoch = ?"
        lost: int = self._one(query, epoch)[0]
        return accounted - lost, lost


def open_for_reading(path: Path) -> closing[sqlite3.Connection]:
    """A read-only connection to a site's database, to be used in a `with` statement.

    Raises:
        sqlite3.OperationalError: there is none.
    """
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)
    return closing(db)
