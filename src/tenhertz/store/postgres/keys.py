"""The small numbers that stand for sources and entities in the tables of rows."""

# Queries are put together from our own words.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tenhertz.link.frame import Frame
from tenhertz.store.postgres.database import Connection
from tenhertz.store.postgres.records import storable

_PAIRS = "unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (source, entity, number)"
_FIND = f"""
SELECT asked.number, entity.id FROM {_PAIRS}
JOIN source ON source.name = asked.source
JOIN entity ON entity.source_id = source.id AND entity.name = asked.entity
"""
_ADD_SOURCES = """
INSERT INTO source (name) SELECT DISTINCT name FROM unnest($1::text[]) AS name ORDER BY name
ON CONFLICT DO NOTHING
"""
_ADD_ENTITIES = f"""
INSERT INTO entity (source_id, name) SELECT source.id, asked.entity FROM {_PAIRS}
JOIN source ON source.name = asked.source ORDER BY source.id, asked.entity
ON CONFLICT DO NOTHING
"""
_Names = tuple[str, ...]


class Keys:
    """What was looked up over one connection. A key is never given to another name."""

    def __init__(self) -> None:
        """Know nothing."""
        self._key: dict[tuple[str, str], int] = {}
        self._array: dict[str, tuple[_Names, NDArray[np.int64]]] = {}

    async def learn(self, connection: Connection, frames: Iterable[Frame]) -> None:
        """Look up or give the keys of all entities of some frames.

        Must be called outside a transaction: a key that is known is committed.
        """
        dictionaries = {
            (frame.source, id(frame.entities)): frame.entities
            for frame in frames
            if not self._knows(frame.source, frame.entities)
        }
        asked = {
            (source, storable(name))
            for (source, _), names in dictionaries.items()
            for name in names
        }
        missing = await self._find(connection, sorted(asked - self._key.keys()))
        if missing:
            sources, entities = [pair[0] for pair in missing], [pair[1] for pair in missing]
            await connection.execute(_ADD_SOURCES, sources)
            await connection.execute(_ADD_ENTITIES, sources, entities)
            await self._find(connection, missing)

    async def _find(
        self, connection: Connection, asked: Sequence[tuple[str, str]]
    ) -> list[tuple[str, str]]:
        """Note the keys that there are; which there are not."""
        if not asked:
            return []
        found = await connection.fetch(
            _FIND, [pair[0] for pair in asked], [pair[1] for pair in asked]
        )
        for row in found:
            self._key[asked[row["number"] - 1]] = row["id"]
        return [pair for pair in asked if pair not in self._key]

    def of(self, source: str, entities: _Names) -> NDArray[np.int64]:
        """The key of each entity in order; the same array while the entities are the same."""
        if not self._knows(source, entities):
            keys = [self._key[source, storable(name)] for name in entities]
            self._array[source] = (entities, np.array(keys, np.int64))
        return self._array[source][1]

    def _knows(self, source: str, entities: _Names) -> bool:
        known = self._array.get(source)
        return known is not None and (known[0] is entities or known[0] == entities)
