"""Which source and entity a key stands for, at the reading end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tenhertz.store.postgres.database import Connection

_ALL = """
SELECT entity.id, source.name AS source, entity.name AS entity
FROM entity JOIN source ON source.id = source_id ORDER BY entity.id
"""
_KEY = """
SELECT entity.id FROM entity JOIN source ON source.id = source_id
WHERE source.name = $1 AND entity.name = $2
"""
_SOURCE_KEYS = """
SELECT entity.id FROM entity JOIN source ON source.id = source_id WHERE source.name = $1
"""


class Names:
    """All names of a database, read as they are needed. A key never changes its meaning."""

    def __init__(self) -> None:
        """Know nothing."""
        self._source = np.empty(0, object)
        self._entity = np.empty(0, object)
        self._rank = np.empty(0, np.int64)

    async def ordered(
        self, connection: Connection, keys: NDArray[Any]
    ) -> tuple[NDArray[np.intp], NDArray[Any], NDArray[Any]]:
        """How to order keys by source and entity, and both names of each as they came."""
        if len(keys) and (keys.max() >= len(self._rank) or (self._rank[keys] < 0).any()):
            await self._read(connection)
        return np.argsort(self._rank[keys]), self._source[keys], self._entity[keys]

    async def _read(self, connection: Connection) -> None:
        found = await connection.fetch(_ALL)
        size = found[-1]["id"] + 1
        self._source = np.full(size, None, object)
        self._entity = np.full(size, None, object)
        self._rank = np.full(size, -1, np.int64)
        for rank, row in enumerate(sorted(found, key=lambda row: (row["source"], row["entity"]))):
            self._source[row["id"]] = row["source"]
            self._entity[row["id"]] = row["entity"]
            self._rank[row["id"]] = rank


async def key_of(connection: Connection, source: str, entity: str) -> int:
    """The key of an entity; 0, which no row has, where there is none of that name."""
    return int(await connection.fetchval(_KEY, source, entity) or 0)


async def keys_of(connection: Connection, source: str) -> list[int]:
    """The keys of all entities of a source."""
    return [row["id"] for row in await connection.fetch(_SOURCE_KEYS, source)]
