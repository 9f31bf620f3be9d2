"""A connection to PostgreSQL that blocks its caller, and is made again after any trouble.

asyncpg runs on an event loop in a thread of its own, so that callers may themselves run in an event
loop or in any thread. This knows nothing of tables.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
from asyncpg.exceptions import InterfaceError, InternalClientError, PostgresError

from tenhertz.errors import UserError
from tenhertz.store.sqlite import StoreTrouble

T = TypeVar("T")
Connection = Any  # asyncpg has no types

OLDEST_SERVER = 15
CONNECT_S = 10.0
# No statement of ours takes this long; a server that says nothing counts as gone.
ANSWER_S = 120.0
_SETTINGS = {
    "lock_timeout": "20s",
    # The server lets go of a transaction whose client is gone without a word.
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

# asyncpg calls it internal when the server ends a connection just as it is used.
_TROUBLES = (PostgresError, InterfaceError, InternalClientError, OSError, TimeoutError)


class Database:
    """One connection, opened when it is needed."""

    def __init__(self, url: str, name: str, prepare: Callable[[Connection], Awaitable[None]]):
        """`name` is what the server calls this client; `prepare` is run on each new connection.

        Raises:
            UserError: the URL is not one of PostgreSQL.
        """
        self._where = _checked(url)
        self._url = url
        self._name = name
        self._prepare = prepare
        self._connection: Connection = None
        self._turn = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do work with the connection; one caller at a time.

        Raises:
            StoreTrouble: it cannot be done now. The connection is dropped, which ends an open
                transaction; the next call makes a new one.
        """
        with self._turn:
            future = asyncio.run_coroutine_threadsafe(self._run(work), self._started())
            try:
                return future.result()
            except BaseException:
                future.cancel()  # where it was the caller that was interrupted, not the work
                raise

    def close(self) -> None:
        """End connection and thread. Calling again opens them again."""
        with self._turn:
            loop, thread = self._loop, self._thread
            if loop is None or thread is None:
                return
            asyncio.run_coroutine_threadsafe(self._end(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
            self._loop = self._thread = None

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="postgres", daemon=True
            )
            self._thread.start()
        return self._loop

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connect()
            return await work(self._connection)
        except StoreTrouble:
            self._drop()
            raise
        except _TROUBLES as error:
            self._drop()
            said = " ".join(str(error).split()) or type(error).__name__
            raise StoreTrouble(f"PostgreSQL at {self._where}: {said}") from error
        except BaseException:
            self._drop()
            raise

    async def _connect(self) -> Connection:
        try:
            connection = await asyncpg.connect(  # type: ignore[no-untyped-call]
                self._url,
                timeout=CONNECT_S,
                command_timeout=ANSWER_S,
                server_settings={"application_name": self._name, **_SETTINGS},
            )
        except ValueError as error:  # asyncpg reads the rest of the URL
            raise StoreTrouble(f"PostgreSQL at {self._where}: {error}; mend the URL") from error
        try:
            version = connection.get_server_version()
            if version.major < OLDEST_SERVER:
                raise StoreTrouble(
                    f"PostgreSQL at {self._where} is version {version.major}; "
                    f"use version {OLDEST_SERVER} or newer"
                )
            # An acknowledged row must be on disk, whatever the server's own default is.
            if await connection.fetchval("SHOW synchronous_commit") == "off":
                await connection.execute("SET synchronous_commit = on")
            await self._prepare(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            connection.terminate()

    async def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None or connection.is_closed():
            return
        try:
            await connection.close(timeout=5)
        except _TROUBLES:
            connection.terminate()  # nothing of ours was open


def _checked(url: str) -> str:
    """What to call the database in a message: without user and password."""
    remedy = "write it as postgresql://user@host/database"
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise UserError(f"the URL of the store is not valid ({error}); {remedy}") from error
    if parts.scheme not in ("postgresql", "postgres"):
        raise UserError(f"the URL of the store is not one of PostgreSQL; {remedy}")
    return f"{parts.hostname or 'the local host'}{port}{parts.path}"
