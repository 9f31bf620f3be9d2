"""The site's database: one SQLite file, written in batches.

Each batch is one transaction that also moves the ring position, so that after any crash the
database itself tells where to go on: nothing twice, nothing skipped. What had to be given up is in
the table `loss`, to the sample.

Not for: the fleet's store, or anything that many write to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

from tenhertz.store.rows import EventRow, LossRow, SampleRow, TickRow

SCHEMA_VERSION = 1
# How long a transaction waits for a lock before the caller hears of it.
BUSY_TIMEOUT_S = 0.2
_PAGE_BYTES = 4096

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
            StoreTrouble: it cannot be opened now.
            ValueError: it is not a database of this program, or of a newer version of it.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        except (OSError, sqlite3.OperationalError) as error:
            raise StoreTrouble(f"{path}: {error}") from error
        try:
            self._prepare(units, sync)
        except sqlite3.OperationalError as error:
            self._db.close()
            raise StoreTrouble(f"{path}: {error}") from error
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise ValueError(f"{path} is not a database of tenhertz: {error}") from error

    def _prepare(self, units: Sequence[str], sync: str) -> None:
        db = self._db
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise ValueError(
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
        """Epoch, next sequence number and samples accounted for of a ring; zeros if unknown."""
        row = self._db.execute(
            "SELECT epoch, sequence, samples FROM position WHERE ring = ?", (ring,)
        ).fetchone()
        return row if row is not None else (0, 0, 0)

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
            db.execute("BEGIN IMMEDIATE")
            db.executemany(_INSERT_SAMPLE, [(epoch, *row) for row in samples])
            db.executemany(_INSERT_TICK, ticks)
            db.executemany(_INSERT_EVENT, events)
            db.executemany("INSERT INTO loss VALUES (?, ?, ?, ?)", losses)
            db.execute("INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?)", (ring, *position))
            db.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise StoreTrouble(str(error)) from error

    def _undo(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def retain(self, older_than_ns: int, largest_mb: float, at_ns: int, most: int = 20_000) -> int:
        """Delete what is older than it may be, or the oldest while the file is too large.

        At most `most` samples go at a time, so that the call is short. Samples that only the size
        pushes out are told in the table `loss`; age is no loss. Returns the samples deleted.

        Raises:
            StoreTrouble: nothing was deleted; the same call may be made again.
        """
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            # The primary key rises with time, so the oldest rows are the first ones.
            edge = db.execute(
                "SELECT max(id) FROM (SELECT id, measured_at_ns FROM sample ORDER BY id LIMIT ?) "
                "WHERE measured_at_ns < ?",
                (most, older_than_ns),
            ).fetchone()[0]
            deleted = self._delete_to(edge)
            if self._size_mb() > largest_mb:
                edge = db.execute(
                    "SELECT max(id) FROM (SELECT id FROM sample ORDER BY id LIMIT ?)", (most,)
                ).fetchone()[0]
                crowded_out = self._delete_to(edge)
                if crowded_out:
                    db.execute(
                        "INSERT INTO loss VALUES (?, 0, ?, 'database at its largest size')",
                        (at_ns, crowded_out),
                    )
                deleted += crowded_out
            db.execute("COMMIT")
            db.execute("PRAGMA incremental_vacuum")
        except sqlite3.Error as error:
            self._undo()
            raise StoreTrouble(str(error)) from error
        return deleted

    def _delete_to(self, edge: int | None) -> int:
        if edge is None:
            return 0
        db = self._db
        deleted = db.execute("DELETE FROM sample WHERE id <= ?", (edge,)).rowcount
        oldest = db.execute("SELECT measured_at_ns FROM sample ORDER BY id LIMIT 1").fetchone()
        if oldest is not None:
            db.execute("DELETE FROM tick WHERE at_ns < ?", oldest)
            db.execute("DELETE FROM event WHERE at_ns < ?", oldest)
        return deleted

    def _size_mb(self) -> float:
        pages, free = (
            self._db.execute(f"PRAGMA {what}").fetchone()[0]
            for what in ("page_count", "freelist_count")
        )
        return float((pages - free) * _PAGE_BYTES / 1e6)

    @property
    def size_mb(self) -> float:
        """How much of the file is in use."""
        return self._size_mb()

    def totals(self, ring: str) -> tuple[int, int]:
        """Samples of the ring's present epoch that were stored, and that were lost before."""
        epoch, _, accounted = self.position(ring)
        lost: int = self._db.execute(
            "SELECT coalesce(sum(samples), 0) FROM loss WHERE epoch = ?", (epoch,)
        ).fetchone()[0]
        return accounted - lost, lost


def open_for_reading(path: Path) -> closing[sqlite3.Connection]:
    """A read-only connection to a site's database, to be used in a `with` statement.

    Raises:
        sqlite3.OperationalError: there is none.
    """
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)
    return closing(db)
