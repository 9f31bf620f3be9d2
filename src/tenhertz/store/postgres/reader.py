"""The reading end in PostgreSQL: any number of them beside the writers."""

from __future__ import annotations

from functools import partial

import numpy as np

from tenhertz.errors import UserError
from tenhertz.link.points import Kind
from tenhertz.store.account import Gap, decode_account
from tenhertz.store.contract import Columns, Recovered
from tenhertz.store.postgres import schema
from tenhertz.store.postgres.database import Connection, Database
from tenhertz.store.postgres.names import Names, key_of, keys_of
from tenhertz.store.postgres.queries import Wanted, ask, empty, row_columns, step_query
from tenhertz.store.postgres.schema import table

_SHORTEST_STEP_NS = 1_000_000_000
_TIME = Wanted("time_ns", "i8", "time_ns")
_ENTITY = Wanted("entity", "i4", "entity")
_STATE = "SELECT key, value FROM state WHERE server = $1"
_POSITION = "SELECT position FROM position WHERE server = $1"


class PostgresReader:
    """A Reader. Any thread may call; one is served at a time."""

    def __init__(self, url: str, *, server_name: str = "server-1") -> None:
        """`server_name`: whose state and gaps are read. Rows are those of all servers.

        Raises:
            UserError: the URL is not one of PostgreSQL.
        """
        self._server = server_name
        self._names = Names()
        self._made = False
        self._database = Database(url, "tenhertz reader", self._prepare)

    def latest(self, kind: Kind, source: str | None = None) -> Columns:
        """The newest row of each entity, ordered by source and entity.

        Raises:
            StoreTrouble: the database cannot answer now.
        """
        return self._database.run(partial(self._latest, kind=kind, source=source))

    def range(
        self,
        kind: Kind,
        source: str,
        entity: str,
        start_ns: int,
        end_ns: int,
        every_ns: int | None = None,
    ) -> Columns:
        """The rows of one entity, or one row a step; see the contract.

        Steps of whole minutes are read from the minute tier as far as the range covers whole
        minutes, and from the rows at its ends.

        Raises:
            UserError: `every_ns` is less than a second.
            StoreTrouble: the database cannot answer now.
        """
        if every_ns is not None and every_ns < _SHORTEST_STEP_NS:
            raise UserError(f"a step of {every_ns} ns is too short; ask for one second or more")

        async def work(connection: Connection) -> Columns:
            made = await self._is_made(connection)
            key = await key_of(connection, source, entity) if made else 0
            if every_ns is None:
                wanted = [_TIME, *row_columns(kind)]
                rest = (
                    f"FROM {table(kind)} WHERE entity = {key} AND time_ns >= {start_ns}"
                    f" AND time_ns < {end_ns} ORDER BY time_ns, stream, sequence"
                )
            else:
                wanted, rest = step_query(kind, key, start_ns, end_ns, every_ns)
            return await ask(connection, wanted, rest) if key else empty(wanted)

        found = self._database.run(work)
        rows = len(found["time_ns"])
        return {
            "source": np.full(rows, source, object),
            "entity": np.full(rows, entity, object),
            **found,
        }

    def state(self) -> Recovered:
        """Where the server's writer stands; position 0 where it has never been.

        Raises:
            StoreTrouble: the database cannot answer now.
        """
        return self._database.run(self._state)

    def gaps(self, source: str | None = None) -> list[Gap]:
        """What the store knows it does not have, from the server's accounts.

        Raises:
            StoreTrouble: the database cannot answer now.
        """
        found: list[Gap] = []
        for key, value in sorted(self.state().state.items()):
            if key.startswith("account/"):
                account = decode_account(value)
                if source is None or account.source == source:
                    found.extend(account.gaps())
        return found

    def close(self) -> None:
        """End the connection."""
        self._database.close()

    # -- on the connection's loop ---------------------------------------------------------------

    async def _prepare(self, connection: Connection) -> None:
        self._names = Names()  # it may be another database by now
        self._made = False
        await self._is_made(connection)

    async def _is_made(self, connection: Connection) -> bool:
        if not self._made:
            self._made = await schema.version_of(connection) > 0
        return self._made

    async def _latest(self, connection: Connection, *, kind: Kind, source: str | None) -> Columns:
        wanted = [_ENTITY, _TIME, *row_columns(kind)]
        rest = f"FROM latest_{table(kind)}"
        made = await self._is_made(connection)
        if made and source is not None:
            keys = ",".join(map(str, await keys_of(connection, source)))
            rest += f" WHERE entity = ANY('{{{keys}}}'::integer[])"
        found = await ask(connection, wanted, rest) if made else empty(wanted)
        order, sources, entities = await self._names.ordered(connection, found.pop("entity"))
        found = {"source": sources, "entity": entities, **found}
        return {name: values[order] for name, values in found.items()}

    async def _state(self, connection: Connection) -> Recovered:
        if not await self._is_made(connection):
            return Recovered(0, {})
        # One snapshot: the position must be that of the state.
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            position = await connection.fetchval(_POSITION, self._server)
            state = await connection.fetch(_STATE, self._server)
        return Recovered(int(position or 0), {row["key"]: bytes(row["value"]) for row in state})
