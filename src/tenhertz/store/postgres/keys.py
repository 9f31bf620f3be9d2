"""The small numbers that stand for sources and entities in the tables of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tenhertz.store.postgres.database import Connection

_ADD_SOURCE = "INSERT INTO source (name) VALUES ($1) ON CONFLICT DO NOTHING"
_SOURCE = "SELECT id FROM source WHERE name = $1"
_ADD_ENTITIES = """
INSERT INTO entity (source_id, name) SELECT $1, name FROM unnest($2::text[]) AS name ORDER BY name
ON CONFLICT DO NOTHING
"""
_ENTITIES = "SELECT name, id FROM entity WHERE source_id = $1 AND name = ANY($2::text[])"


class Keys:
    """What was looked up over one connection. Keys are never given to another name."""

    def __init__(self) -> None:
        """Know nothing."""
        self._of: dict[str, tuple[tuple[str, ...], NDArray[np.int64]]] = {}

    async def of(
        self, connection: Connection, source: str, entities: tuple[str, ...]
    ) -> NDArray[np.int64]:
        """The key of each entity in order; the same array while the entities are the same.

        Must be called outside a transaction: a key that is known is committed.
        """
        known = self._of.get(source)
        if known is not None and (known[0] is entities or known[0] == entities):
            return known[1]
        names = list(set(entities))
        await connection.execute(_ADD_SOURCE, source)
        source_id = await connection.fetchval(_SOURCE, source)
        found = {row[0]: row[1] for row in await connection.fetch(_ENTITIES, source_id, names)}
        if len(found) < len(names):
            new = [name for name in names if name not in found]
            await connection.execute(_ADD_ENTITIES, source_id, new)
            found |= {row[0]: row[1] for row in await connection.fetch(_ENTITIES, source_id, new)}
        keys = np.array([found[name] for name in entities], np.int64)
        self._of[source] = (entities, keys)
        return keys
