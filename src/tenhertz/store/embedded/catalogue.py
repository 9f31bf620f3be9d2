"""Which segments count: a SQLite file, changed in one transaction with state and position."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tenhertz.link.points import Kind
from tenhertz.store.contract import Recovered
from tenhertz.store.sqlite import StoreTrouble

CATALOGUE_FILE = "catalogue.sqlite"
SEGMENT_FOLDER = "segments"
SCHEMA_VERSION = 1
_BUSY_S = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS segment (
    file TEXT PRIMARY KEY, kind INTEGER NOT NULL,
    minutes INTEGER NOT NULL, -- 0: every row; 1: the tier of minutes
    level INTEGER NOT NULL, -- 0 as committed; each time that segments are put together one more
    rows INTEGER NOT NULL, numbers INTEGER NOT NULL, bytes INTEGER NOT NULL,
    first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL,
    position INTEGER NOT NULL -- the last record of the spool that it may hold
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS retired (
    file TEXT PRIMARY KEY, at_ns INTEGER NOT NULL -- kept a while for whoever still reads it
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (
    key TEXT PRIMARY KEY, value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (
    key TEXT PRIMARY KEY, value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS segment_time ON segment (kind, minutes, last_ns);
"""
_COLUMNS = "file, kind, minutes, level, rows, numbers, bytes, first_ns, last_ns, position"


class Segment(NamedTuple):
    """A file of rows."""

    file: str  # in the folder of segments
    kind: int
    minutes: int
    level: int
    rows: int
    numbers: int
    bytes: int
    first_ns: int
    last_ns: int
    position: int


class Catalogue:
    """The catalogue of one store."""

    def __init__(self, folder: Path, *, writable: bool) -> None:
        """Open it, and make it where it is new and may be written.

        Raises:
            StoreTrouble: it cannot be opened.
        """
        self.path = folder / CATALOGUE_FILE
        try:
            if writable:
                (folder / SEGMENT_FOLDER).mkdir(parents=True, exist_ok=True)
                self._db = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
            else:
                self._db = sqlite3.connect(
                    f"file:{self.path}?mode=ro",
                    uri=True,
                    timeout=_BUSY_S,
                    isolation_level=None,
                    check_same_thread=False,
                )
        except (OSError, sqlite3.Error) as error:
            raise StoreTrouble(f"{self.path}: {error}") from error
        try:
            self._prepare(writable=writable)
        except (sqlite3.Error, StoreTrouble) as error:
            self._db.close()
            raise StoreTrouble(f"{self.path}: {error}") from error

    def _prepare(self, *, writable: bool) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StoreTrouble(f"written by a newer version (schema {version}); use that version")
        if not writable:
            return
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if version < SCHEMA_VERSION:
            # As one: a reader that comes between sees no store, not half of one.
            version_is = f"PRAGMA user_version = {SCHEMA_VERSION};"
            self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {version_is} COMMIT")

    @property
    def begun(self) -> bool:
        """Whether its writer has made it."""
        with self._reading():
            return bool(self._db.execute("PRAGMA user_version").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes within it, or none.

        Raises:
            StoreTrouble: nothing was changed.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise StoreTrouble(f"{self.path}: {error}") from error

    # -- state --------------------------------------------------------------------------------

    def recovered(self) -> Recovered:
        """The position and the whole state."""
        with self._reading():
            row = self._db.execute("SELECT value FROM meta WHERE key = 'position'").fetchone()
            state = dict(self._db.execute("SELECT key, value FROM state").fetchall())
        return Recovered(row[0] if row else 0, state)

    def put_state(self, state: Mapping[str, bytes], position: int) -> None:
        """Change keys of the state and the position; within a transaction."""
        self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", state.items())
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('position', ?)", (position,))

    def next_number(self) -> int:
        """A number that no file has had; within a transaction or alone."""
        row = self._db.execute(
            "INSERT INTO meta VALUES ('file', 1) "
            "ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value"
        ).fetchone()
        return int(row[0])

    # -- segments -----------------------------------------------------------------------------

    def add(self, segments: Iterable[Segment]) -> None:
        """Make segments count; within a transaction."""
        marks = ", ".join("?" * len(Segment._fields))
        self._db.executemany(f"INSERT INTO segment VALUES ({marks})", segments)  # noqa: S608

    def retire(self, segments: Iterable[Segment], at_ns: int) -> None:
        """Let segments count no more; within a transaction."""
        files = [(segment.file,) for segment in segments]
        self._db.executemany("DELETE FROM segment WHERE file = ?", files)
        self._db.executemany(
            "INSERT OR REPLACE INTO retired VALUES (?, ?)", [(file, at_ns) for (file,) in files]
        )

    def segments(
        self,
        kind: Kind | None = None,
        *,
        minutes: bool | None = None,
        start_ns: int = -(1 << 62),
        end_ns: int = 1 << 62,
        after: int = -1,
    ) -> list[Segment]:
        """Segments that hold instants in [start_ns, end_ns), and records after `after`."""
        query = f"SELECT {_COLUMNS} FROM segment WHERE last_ns >= ? AND first_ns < ?"  # noqa: S608
        arguments: list[int] = [start_ns, end_ns]
        if kind is not None:
            query += " AND kind = ?"
            arguments.append(int(kind))
        if minutes is not None:
            query += " AND minutes = ?"
            arguments.append(int(minutes))
        query += " AND position > ? ORDER BY position, file"
        arguments.append(after)
        with self._reading():
            return [Segment(*row) for row in self._db.execute(query, arguments).fetchall()]

    def retired(self, before_ns: int) -> list[str]:
        """Files that have not counted since before an instant."""
        with self._reading():
            query = "SELECT file FROM retired WHERE at_ns < ?"
            return [row[0] for row in self._db.execute(query, (before_ns,)).fetchall()]

    def forget(self, files: Iterable[str]) -> None:
        """Files that are deleted; within a transaction."""
        self._db.executemany("DELETE FROM retired WHERE file = ?", [(file,) for file in files])

    def known(self) -> set[str]:
        """All files that the catalogue knows of."""
        with self._reading():
            query = "SELECT file FROM segment UNION SELECT file FROM retired"
            return {row[0] for row in self._db.execute(query).fetchall()}

    def copy(self, path: Path) -> None:
        """Write the catalogue as it is now to another file."""
        with self._reading(), contextlib.closing(sqlite3.connect(path)) as other:
            self._db.backup(other)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreTrouble(f"{self.path}: {error}") from error
