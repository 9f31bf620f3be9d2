"""The writing end in PostgreSQL: rows by binary COPY, all of a commit in one transaction.

The position in the database is also the fence: a commit only passes while the position is the one
that this store read or wrote last. A commit that was done although its answer was lost, or a second
writer of the same name, is thereby found out before anything is stored twice.
"""

# Queries are put together from our own names and numbers; text of others is an argument.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tenhertz.link.frame import Frame
from tenhertz.link.points import POINTS, Kind
from tenhertz.store.contract import Recovered, Retention
from tenhertz.store.postgres import schema, timescale
from tenhertz.store.postgres.database import Connection, Database
from tenhertz.store.postgres.keys import Keys
from tenhertz.store.postgres.minutes import minute_fields, newest
from tenhertz.store.postgres.records import HEADER, TRAILER, Field, encode
from tenhertz.store.postgres.rows import DAY_NS, Rows, joined
from tenhertz.store.postgres.schema import table
from tenhertz.store.sqlite import StoreTrouble

# Rows that are made into bytes at a time: they stay in the processor's cache.
_PIECE_ROWS = 2048
_JOIN_BYTES = 1 << 18
# How often upkeep looks when there was nothing to do.
_LOOK_NS = 60_000_000_000

_STATE = "SELECT key, value FROM state WHERE server = $1"
_LOCK_POSITION = "SELECT position FROM position WHERE server = $1 FOR UPDATE"
_SET_POSITION = "UPDATE position SET position = $2 WHERE server = $1"
_SET_STATE = """
INSERT INTO state SELECT $1, * FROM unnest($2::text[], $3::bytea[])
ON CONFLICT (server, key) DO UPDATE SET value = EXCLUDED.value
"""


class PostgresStore:
    """A FleetStore. Called by one thread."""

    def __init__(
        self, url: str, retention: Retention, *, server_name: str, timescale: bool = False
    ) -> None:
        """`timescale`: new tables become hypertables where the database has the extension.

        Raises:
            UserError: the URL is not one of PostgreSQL.
        """
        self._retention = retention
        self._server = server_name
        self._timescale = timescale
        self._database = Database(url, f"tenhertz {server_name}"[:63], self._prepare)
        self._position: int | None = None  # None: not known, or in doubt
        self._keys = Keys()
        self._days: set[tuple[Kind, int]] = set()
        self._divided_here = True
        self._look_at_ns = 0

    def recover(self) -> Recovered:
        """Open, make or migrate the tables, and tell where this server stands.

        Raises:
            StoreTrouble: the database cannot do it now.
        """
        self._position = None
        found = self._database.run(self._recover)
        self._position = found.position
        return found

    def commit(self, frames: Sequence[Frame], state: Mapping[str, bytes], position: int) -> None:
        """Store rows, state and position in one transaction.

        Raises:
            StoreTrouble: the database cannot do it now, or the answer was lost. What it holds is
                in doubt until `recover`, and no commit passes before.
        """
        before, self._position = self._position, None
        if before is None:
            raise StoreTrouble("where the store stands is in doubt after trouble; recover it first")
        self._database.run(
            partial(self._commit, frames=frames, state=state, before=before, position=position)
        )
        self._position = position

    def upkeep(self, now_ns: int) -> bool:
        """Drop a day, or some minutes, that were kept long enough; True if there may be more.

        Raises:
            StoreTrouble: the database cannot do it now.
        """
        if now_ns < self._look_at_ns:
            return False
        more = self._database.run(partial(self._upkeep, now_ns=now_ns))
        if not more:
            self._look_at_ns = now_ns + _LOOK_NS
        return more

    def close(self) -> None:
        """End the connection."""
        self._position = None
        self._database.close()

    # -- on the connection's loop ---------------------------------------------------------------

    async def _prepare(self, connection: Connection) -> None:
        # Nothing that was known over another connection need be true.
        self._keys = Keys()
        self._days.clear()
        await schema.migrate(connection, with_timescale=self._timescale)
        self._divided_here = await schema.is_divided_here(connection)
        if not self._divided_here:
            await timescale.set_retention(connection, [table(k) for k in Kind], self._retention)
        for kind in Kind:
            for name in (f"latest_{table(kind)}", f"{table(kind)}_minute"):
                await connection.execute(
                    f"CREATE TEMP TABLE stage_{name} (LIKE {name}) ON COMMIT DELETE ROWS"
                )

    async def _recover(self, connection: Connection) -> Recovered:
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO position VALUES ($1, 0) ON CONFLICT DO NOTHING", self._server
            )
            # The lock waits for a commit of ours whose connection broke, until it is done or not.
            position = await connection.fetchval(_LOCK_POSITION, self._server)
            state = await connection.fetch(_STATE, self._server)
        return Recovered(int(position), {row["key"]: bytes(row["value"]) for row in state})

    async def _commit(
        self,
        connection: Connection,
        *,
        frames: Sequence[Frame],
        state: Mapping[str, bytes],
        before: int,
        position: int,
    ) -> None:
        pieces = await self._rows(connection, frames)
        by_kind: dict[Kind, list[Rows]] = {}
        by_day: dict[tuple[Kind, int], list[Rows]] = {}
        for piece in pieces:
            by_kind.setdefault(piece.kind, []).append(piece)
            for day, rows in piece.by_day().items():
                by_day.setdefault((piece.kind, day), []).append(rows)
        await self._add_days(connection, by_day.keys())
        async with connection.transaction():
            found = await connection.fetchval(_LOCK_POSITION, self._server)
            if found != before:
                raise StoreTrouble(
                    f"the store stands at {found}, not at {before}: another writer is at work "
                    f"as {self._server!r}; give each server a name of its own"
                )
            for (kind, day), of_day in by_day.items():
                into = schema.day_name(kind, day) if self._divided_here else table(kind)
                await _copy(connection, into, [rows.fields() for rows in of_day])
            for kind, of_kind in sorted(by_kind.items()):
                await _copy(connection, f"stage_{table(kind)}_minute", [minute_fields(of_kind)])
                await connection.execute(_ADD_MINUTES[kind])
                latest = [rows.fields() for rows in newest(of_kind)]
                await _copy(connection, f"stage_latest_{table(kind)}", latest)
                await connection.execute(_SET_LATEST[kind])
            if state:
                keys, values = list(state), list(state.values())
                await connection.execute(_SET_STATE, self._server, keys, values)
            await connection.execute(_SET_POSITION, self._server, position)

    async def _rows(self, connection: Connection, frames: Sequence[Frame]) -> list[Rows]:
        """The frames' rows; those of a source whose entities changed on the way stay apart."""
        await self._keys.learn(connection, frames)
        pieces: list[Rows] = []
        some: list[Frame] = []
        keys: dict[str, NDArray[np.int64]] = {}
        for frame in frames:
            found = self._keys.of(frame.source, frame.entities)
            if keys.get(frame.source, found) is not found:
                pieces += joined(some, keys)
                some, keys = [], {}
            keys[frame.source] = found
            some.append(frame)
        return pieces + joined(some, keys)

    async def _add_days(self, connection: Connection, wanted: Iterable[tuple[Kind, int]]) -> None:
        if self._divided_here:
            for kind, day in sorted(set(wanted) - self._days):
                await schema.add_day(connection, kind, day)
                self._days.add((kind, day))

    async def _upkeep(self, connection: Connection, *, now_ns: int) -> bool:
        full_days, minutes_days = self._retention.full_days, self._retention.minutes_days
        if full_days is not None and self._divided_here:
            gone = await schema.drop_a_day(connection, now_ns - int(full_days * DAY_NS))
            if gone is not None:
                self._days.discard(gone)
                return True
        if minutes_days is not None:
            return await schema.drop_minutes(connection, now_ns - int(minutes_days * DAY_NS))
        return False


async def _copy(connection: Connection, into: str, pieces: Sequence[Sequence[Field]]) -> None:
    await connection.copy_to_table(into, source=_stream(pieces), format="binary")


async def _stream(pieces: Sequence[Sequence[Field]]) -> AsyncIterator[bytes | memoryview]:
    waiting: list[bytes | memoryview] = [HEADER]
    size = 0
    for fields in pieces:
        for begin in range(0, len(fields[0].values), _PIECE_ROWS):
            part = slice(begin, begin + _PIECE_ROWS)
            for body in encode([Field(f.type, f.values[part]) for f in fields]):
                waiting.append(body)
                size += len(body)
                if size >= _JOIN_BYTES:
                    yield b"".join(waiting)
                    waiting, size = [], 0
    waiting.append(TRAILER)
    yield b"".join(waiting)


def _add_minutes(kind: Kind) -> str:
    sets = ["rows = kept.rows + EXCLUDED.rows"]
    for point in POINTS[kind]:
        if point.type != "text":
            for part in ("sum", "count"):
                name = f"{point.name}_{part}"
                sets.append(f"{name} = kept.{name} + EXCLUDED.{name}")
            for part, choose in (("min", "least"), ("max", "greatest")):
                name = f"{point.name}_{part}"
                sets.append(f"{name} = {choose}(kept.{name}, EXCLUDED.{name})")
    name = f"{table(kind)}_minute"
    return (
        f"INSERT INTO {name} AS kept SELECT * FROM stage_{name} ORDER BY entity, minute_ns "
        f"ON CONFLICT (entity, minute_ns) DO UPDATE SET {', '.join(sets)}"
    )


def _set_latest(kind: Kind) -> str:
    names = ["time_ns", "stream", "sequence", *(point.name for point in POINTS[kind])]
    sets = ", ".join(f"{name} = EXCLUDED.{name}" for name in names)
    name = f"latest_{table(kind)}"
    return (
        f"INSERT INTO {name} AS kept SELECT * FROM stage_{name} ORDER BY entity "
        f"ON CONFLICT (entity) DO UPDATE SET {sets} "
        "WHERE (EXCLUDED.time_ns, EXCLUDED.sequence) > (kept.time_ns, kept.sequence)"
    )


_ADD_MINUTES = {kind: _add_minutes(kind) for kind in Kind}
_SET_LATEST = {kind: _set_latest(kind) for kind in Kind}
