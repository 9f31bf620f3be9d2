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

from tenhertz.link.points import Kind
from tenhertz.store import site_schema
from tenhertz.store.rows import EventRow, LossRow, SampleRow, TickRow

# How long a transaction waits for a lock before the caller hears of it.
BUSY_TIMEOUT_S = 0.2
_PAGE_BYTES = 4096
_VACUUM_PAGES = 2000  # given back to the file system at a time
_INSTANT = {Kind.SAMPLE: "measured_at_ns", Kind.TICK: "at_ns", Kind.EVENT: "at_ns"}

_PLACES = {"sample": 15, "tick": 10, "event": 5, "loss": 5}
_INSERT = {
    table: f"INSERT INTO {table} VALUES ({', '.join('?' * places)})"  # noqa: S608
    for table, places in _PLACES.items()
}
AGE = "older than the site keeps"
CROWDED_OUT = "database at its largest size"


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
        if version > site_schema.SCHEMA_VERSION:
            raise StoreTrouble(
                f"{self.path} was written by a newer version (schema {version}; this is "
                f"{site_schema.SCHEMA_VERSION}); use that version or another store.file"
            )
        if version == 0:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {sync}")
        db.execute("BEGIN IMMEDIATE")
        site_schema.prepare(db, version)
        db.executemany("INSERT OR REPLACE INTO unit VALUES (?, ?)", enumerate(units))
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
            sampled: list[tuple[object, ...]] = [(epoch, *row) for row in samples]
            rows = {"sample": sampled, "tick": ticks, "event": events, "loss": losses}
            for table, found in rows.items():
                if found:
                    numbered = site_schema.numbered(db, table, list(found))
                    db.executemany(_INSERT[table], numbered)
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
            deleted = sum(self._delete(kind, most, AGE, older_than_ns) for kind in _INSTANT)
            if self.size_mb > largest_mb:
                crowded_out = self._delete(Kind.SAMPLE, most, CROWDED_OUT)
                if crowded_out:
                    told = [LossRow(at_ns, 0, crowded_out, CROWDED_OUT)]
                    numbered = site_schema.numbered(db, "loss", list(told))
                    db.executemany(_INSERT["loss"], numbered)
                oldest = db.execute("SELECT measured_at_ns FROM sample ORDER BY id LIMIT 1")
                before_ns = (oldest.fetchone() or (None,))[0]
                deleted += crowded_out
                deleted += self._delete(Kind.TICK, most, CROWDED_OUT, before_ns)
                deleted += self._delete(Kind.EVENT, most, CROWDED_OUT, before_ns)
            db.execute("COMMIT")
        except (sqlite3.Error, StoreTrouble) as error:
            self._undo()
            raise StoreTrouble(f"{self.path}: {error}") from error
        with suppress(sqlite3.Error):  # the pages stay free for new rows
            # `execute` would stop after the first page: the statement yields a row for each.
            db.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
        return deleted

    def _delete(self, kind: Kind, most: int, cause: str, older_than_ns: int | None = None) -> int:
        """Delete rows among the `most` oldest: those older than an instant, or all of them.

        Numbers rise with time, except where the clock was set; so each row is asked for its own.
        """
        table = site_schema.TABLES[kind]
        query = f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY id LIMIT ?)"  # noqa: S608
        arguments = [most]
        if older_than_ns is not None:
            query += f" AND {_INSTANT[kind]} < ?"
            arguments.append(older_than_ns)
        numbers = [row[0] for row in self._db.execute(f"{query} RETURNING id", arguments)]
        if numbers:
            site_schema.note_gone(self._db, kind, numbers, cause)
        return len(numbers)

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
