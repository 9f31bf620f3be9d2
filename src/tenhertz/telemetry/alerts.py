"""The alert book: what the safety rules found, as alerts that people deal with.

An entity has one alert for each family of rules: it is raised once, escalates, goes back to the
level that still holds, and clears. Every such change is put into the outbox in the same
transaction, so a notice is sent for it even after a crash. A SQLite file: one process writes
changes; another may take notices and acknowledge at the same time, and any may read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from tenhertz.errors import UserError
from tenhertz.telemetry.outbox import Outbox
from tenhertz.telemetry.rules.change import Change
from tenhertz.telemetry.rules.ruleset import LEVELS, Level

ALERTS_FILE = "alerts.sqlite"
MOST_CLOSED = 100_000
State = Literal["raised", "escalated", "cleared", "acknowledged"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS alert(
    number INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, entity TEXT NOT NULL,
    family TEXT NOT NULL, level TEXT NOT NULL, state TEXT NOT NULL, value REAL, text TEXT NOT NULL,
    raised_ns INTEGER NOT NULL, changed_ns INTEGER NOT NULL, cleared_ns INTEGER,
    acknowledged_by TEXT NOT NULL DEFAULT '', acknowledged_ns INTEGER, peak TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS alert_open ON alert(source, entity, family)
    WHERE cleared_ns IS NULL;
CREATE INDEX IF NOT EXISTS alert_closed ON alert(cleared_ns) WHERE cleared_ns IS NOT NULL;
CREATE TABLE IF NOT EXISTS active(
    source TEXT NOT NULL, entity TEXT NOT NULL, family TEXT NOT NULL, rule TEXT NOT NULL,
    level TEXT NOT NULL, value REAL, text TEXT NOT NULL,
    PRIMARY KEY(source, entity, rule)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tally(name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
"""
_COLUMNS = (
    "number, source, entity, family, level, state, value, text, raised_ns, changed_ns, cleared_ns,"
    " acknowledged_by, acknowledged_ns, peak"
)


class Alert(msgspec.Struct, frozen=True):
    """One alert as it stands."""

    number: int
    source: str
    entity: str
    family: str
    level: Level
    state: State
    value: float
    text: str
    raised_ns: int
    changed_ns: int
    cleared_ns: int | None = None
    acknowledged_by: str = ""
    acknowledged_ns: int | None = None
    peak: Level = "warning"  # the highest level it had: who heard of that hears that it cleared


class ActiveRule(msgspec.Struct, frozen=True):
    """A rule that holds now, from which an engine that starts again goes on."""

    source: str
    entity: str
    family: str
    rule: str
    level: Level


class AlertBook:
    """The alerts of one fleet server, in the file `path`.

    Methods raise sqlite3.Error when the file cannot be read or written; what they were to do is
    then undone.
    """

    def __init__(self, path: Path, *, most_closed: int = MOST_CLOSED) -> None:
        self._most_closed = most_closed
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.executescript(
            "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        )
        self._database.executescript(_SCHEMA)
        self.outbox = Outbox(self._database)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # -- writing ------------------------------------------------------------------------------

    def apply(self, changes: Sequence[Change], now_ns: int) -> list[Alert]:
        """Enter what a rule engine told; returns the alerts as they became, to be told of.

        A change that is known already (an engine that told it twice) changes nothing.
        """
        if not changes:
            return []
        told = []
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for change in changes:
                alert = self._enter(change, now_ns)
                if alert is not None:
                    told.append(alert)
                    self.outbox.put(alert, now_ns)
            self._prune()
        return told

    def acknowledge(self, number: int, who: str, now_ns: int) -> Alert:
        """Note that someone has seen an open alert.

        Raises:
            UserError: no such alert, it is closed, or nobody is named.
        """
        if not who.strip():
            raise UserError(f"alert {number}: say who acknowledges it")
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            done = self._database.execute(
                "UPDATE alert SET state = 'acknowledged', acknowledged_by = ?, acknowledged_ns = ?"
                " WHERE number = ? AND cleared_ns IS NULL",
                (who, now_ns, number),
            )
        if not done.rowcount:
            raise UserError(f"alert {number} is not open; 'open' lists those that are")
        return self._one("number = ?", (number,))

    # -- reading ------------------------------------------------------------------------------

    def open_alerts(self) -> list[Alert]:
        """The open alerts, the gravest first, then the newest."""
        found = self._many("WHERE cleared_ns IS NULL ORDER BY number DESC", ())
        return sorted(found, key=lambda alert: -LEVELS.index(alert.level))

    def history(self, limit: int) -> list[Alert]:
        """The newest `limit` alerts, open or not, the newest first."""
        return self._many("ORDER BY number DESC LIMIT ?", (limit,))

    def active(self, source: str | None = None) -> list[ActiveRule]:
        """The rules that hold, of one source or all."""
        rows = self._database.execute(
            "SELECT source, entity, family, rule, level FROM active WHERE ?1 IS NULL OR source = ?1"
            " ORDER BY source, entity, rule",
            (source,),
        )
        return [ActiveRule(*row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Open alerts by level, closed ones, those forgotten, and the outbox's counts."""
        counts = {f"open_{level}": 0 for level in LEVELS}
        rows = self._database.execute(
            "SELECT level, count(*) FROM alert WHERE cleared_ns IS NULL GROUP BY level"
        )
        counts.update({f"open_{level}": count for level, count in rows})
        (closed,) = self._database.execute(
            "SELECT count(*) FROM alert WHERE cleared_ns IS NOT NULL"
        ).fetchone()
        counts["closed"] = closed
        tally = dict(self._database.execute("SELECT name, count FROM tally").fetchall())
        counts["forgotten"] = tally.get("forgotten", 0)
        return counts | self.outbox.counts()

    # -- inside -------------------------------------------------------------------------------

    def _enter(self, change: Change, now_ns: int) -> Alert | None:
        key = (change.source, change.entity)
        if change.kind == "raised":
            done = self._database.execute(
                "INSERT OR IGNORE INTO active VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*key, change.family, change.rule, change.level, change.value, change.text),
            )
        else:
            done = self._database.execute(
                "DELETE FROM active WHERE source = ? AND entity = ? AND rule = ?",
                (*key, change.rule),
            )
        if not done.rowcount:
            return None
        where = "source = ? AND entity = ? AND family = ? AND cleared_ns IS NULL"
        place = (*key, change.family)
        before = self._many(f"WHERE {where}", place)
        if not before:
            if change.kind == "cleared":
                return None
            self._database.execute(
                "INSERT INTO alert(source, entity, family, level, state, value, text, raised_ns,"
                " changed_ns, peak) VALUES (?, ?, ?, ?, 'raised', ?, ?, ?, ?, ?)",
                (
                    *(*place, change.level, change.value, change.text),
                    *(change.at_ns, now_ns, change.level),
                ),
            )
            return self._one(where, place)
        return self._follow(before[0], change, now_ns)

    def _follow(self, before: Alert, change: Change, now_ns: int) -> Alert | None:
        """What a change makes of an alert that is open."""
        rows = self._database.execute(
            "SELECT level, value, text FROM active WHERE source = ? AND entity = ? AND family = ?",
            (before.source, before.entity, before.family),
        ).fetchall()
        new: dict[str, object] = {"changed_ns": now_ns, "value": change.value, "text": change.text}
        is_news = True
        if not rows:
            new |= {"state": "cleared", "cleared_ns": now_ns}
        else:
            level, value, text = max(rows, key=lambda row: LEVELS.index(row[0]))
            if level == before.level:
                return None
            new["level"] = level
            is_news = LEVELS.index(level) > LEVELS.index(before.level)
            if is_news:
                # Who acknowledged the lower level has not seen this one.
                new |= {"state": "escalated", "acknowledged_by": "", "acknowledged_ns": None}
                new["peak"] = max(level, before.peak, key=LEVELS.index)
            else:  # going back to a lower level is no news that wakes anyone
                new |= {"value": value, "text": text}
        settings = ", ".join(f"{name} = ?" for name in new)
        self._database.execute(
            f"UPDATE alert SET {settings} WHERE number = ?",  # noqa: S608 - names of ours
            (*new.values(), before.number),
        )
        return self._one("number = ?", (before.number,)) if is_news else None

    def _prune(self) -> None:
        """Forget the oldest closed alerts beyond the bound, and count them."""
        done = self._database.execute(
            "DELETE FROM alert WHERE number IN (SELECT number FROM alert"
            " WHERE cleared_ns IS NOT NULL ORDER BY cleared_ns DESC, number DESC"
            " LIMIT -1 OFFSET ?)",
            (self._most_closed,),
        )
        if done.rowcount:
            self._database.execute(
                "INSERT INTO tally VALUES ('forgotten', ?1)"
                " ON CONFLICT(name) DO UPDATE SET count = count + ?1",
                (done.rowcount,),
            )

    def _one(self, where: str, values: tuple[object, ...]) -> Alert:
        return self._many(f"WHERE {where}", values)[0]

    def _many(self, rest: str, values: tuple[object, ...]) -> list[Alert]:
        rows = self._database.execute(
            f"SELECT {_COLUMNS} FROM alert {rest}",  # noqa: S608 - both are written here
            values,
        )
        return [Alert(*row) for row in rows]
