"""The outbox: notices that wait to be sent, in the same SQLite file as the alerts.

A notice waits once for each receiver, so a slow one holds nobody up. Which receivers there are is
told by whoever sends (`enlist`); a notice enters for those that want its level.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tenhertz.telemetry.alerts import Alert

MOST_WAITING = 10_000  # of each receiver; the oldest is dropped for a new one, and counted
_PAUSES_S = (1, 2, 5, 15, 60, 300)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS receiver(
    name TEXT PRIMARY KEY, levels TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notice(
    id INTEGER PRIMARY KEY AUTOINCREMENT, receiver TEXT NOT NULL, level TEXT NOT NULL,
    title TEXT NOT NULL, body TEXT NOT NULL, made_ns INTEGER NOT NULL, due_ns INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0, cause TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS notice_due ON notice(receiver, id);
"""


class Notice(NamedTuple):
    """A notice that waits for one receiver."""

    id: int
    receiver: str
    level: str
    title: str
    body: str
    made_ns: int
    due_ns: int
    failures: int
    cause: str  # of the last failure


class Outbox:
    """The waiting notices. Methods raise sqlite3.Error, as those of the alert book."""

    def __init__(self, database: sqlite3.Connection, *, most_waiting: int = MOST_WAITING) -> None:
        self._database = database
        self._most_waiting = most_waiting
        self._database.executescript(_SCHEMA)

    def enlist(self, receivers: Mapping[str, Sequence[str]]) -> None:
        """Say who receives: names, each with the levels it wants.

        What waits for a receiver that is no more is dropped, and it is forgotten.
        """
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            known = [name for (name,) in self._database.execute("SELECT name FROM receiver")]
            for name in known:
                if name not in receivers:
                    self._database.execute("DELETE FROM notice WHERE receiver = ?", (name,))
                    self._database.execute("DELETE FROM receiver WHERE name = ?", (name,))
            self._database.executemany(
                "INSERT INTO receiver(name, levels) VALUES (?1, ?2)"
                " ON CONFLICT(name) DO UPDATE SET levels = ?2",
                [(name, ",".join(levels)) for name, levels in receivers.items()],
            )

    def put(self, alert: Alert, now_ns: int) -> None:
        """Enter a notice of an alert, inside the transaction that changes the alert."""
        title = f"{alert.level} {alert.state}: {alert.source} {alert.entity}"
        rows = self._database.execute("SELECT name, levels FROM receiver").fetchall()
        for name, levels in rows:
            # Who heard that it was raised hears that it cleared, whatever its level at the end.
            level = alert.peak if alert.state == "cleared" else alert.level
            if level not in levels.split(","):
                continue
            self._database.execute(
                "INSERT INTO notice(receiver, level, title, body, made_ns, due_ns)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (name, level, title, f"Alert {alert.number}: {alert.text}", now_ns, now_ns),
            )
            self._bound(name)

    def take_due(self, now_ns: int, limit: int, receiver: str | None = None) -> list[Notice]:
        """The oldest notices that are due, of one receiver or all. They stay until `sent`."""
        rows = self._database.execute(
            "SELECT id, receiver, level, title, body, made_ns, due_ns, failures, cause FROM notice"
            " WHERE due_ns <= ?1 AND (?2 IS NULL OR receiver = ?2) ORDER BY id LIMIT ?3",
            (now_ns, receiver, limit),
        )
        return [Notice(*row) for row in rows]

    def sent(self, notice_id: int) -> None:
        """A notice has arrived."""
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._count("sent", notice_id)
            self._database.execute("DELETE FROM notice WHERE id = ?", (notice_id,))

    def failed(self, notice_id: int, now_ns: int, cause: str) -> None:
        """A notice could not be sent; it is due again after a pause of up to five minutes."""
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._count("failures", notice_id)
            found = self._database.execute(
                "SELECT failures FROM notice WHERE id = ?", (notice_id,)
            ).fetchone()
            if found is None:
                return  # dropped for a newer one meanwhile, which was counted
            pause_s = _PAUSES_S[min(found[0], len(_PAUSES_S) - 1)]
            self._database.execute(
                "UPDATE notice SET failures = failures + 1, due_ns = ?, cause = ? WHERE id = ?",
                (now_ns + pause_s * 1_000_000_000, cause[:200], notice_id),
            )

    def counts(self) -> dict[str, int]:
        """How many wait, were sent, failed to be sent, and were dropped."""
        (waiting,) = self._database.execute("SELECT count(*) FROM notice").fetchone()
        sent, failures, dropped = self._database.execute(
            "SELECT total(sent), total(failures), total(dropped) FROM receiver"
        ).fetchone()
        return {
            "notices_waiting": waiting,
            "notices_sent": int(sent),
            "notices_failed": int(failures),
            "notices_dropped": int(dropped),
        }

    def _bound(self, receiver: str) -> None:
        done = self._database.execute(
            "DELETE FROM notice WHERE id IN (SELECT id FROM notice WHERE receiver = ?"
            " ORDER BY id DESC LIMIT -1 OFFSET ?)",
            (receiver, self._most_waiting),
        )
        if done.rowcount:
            self._database.execute(
                "UPDATE receiver SET dropped = dropped + ? WHERE name = ?",
                (done.rowcount, receiver),
            )

    def _count(self, column: str, notice_id: int) -> None:
        self._database.execute(
            f"UPDATE receiver SET {column} = {column} + 1"  # noqa: S608 - a name of ours
            " WHERE name = (SELECT receiver FROM notice WHERE id = ?)",
            (notice_id,),
        )
