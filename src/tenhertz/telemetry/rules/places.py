"""Which place of the state arrays an entity has: given on first sight, bounded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_ENTITIES = 100_000
_UNSEEN, _REFUSED = -1, -2
_TABLES = 8  # dictionaries of a source that are in use at the same time


class Places:
    """Places by name, and by index into the dictionaries of frames."""

    def __init__(self, most: int = MOST_ENTITIES) -> None:
        self._most = most
        self._places: dict[str, int] = {}
        self._tables: list[tuple[tuple[str, ...], NDArray[np.intp]]] = []
        self.names: list[str] = []

    def place(self, name: str) -> int | None:
        """The place of an entity; None: there are as many as may be."""
        found = self._places.get(name)
        if found is None and len(self.names) < self._most:
            found = self._places[name] = len(self.names)
            self.names.append(name)
        return found

    def of(self, entity: NDArray[np.uint32], entities: tuple[str, ...]) -> NDArray[np.intp]:
        """The places of rows, (rows,); negative where an entity was refused."""
        table = self._table(entities)
        found = table.take(entity)
        if found.min() >= 0:
            return found
        for index in np.unique(entity[found == _UNSEEN]).tolist():
            place = self.place(entities[index])
            table[index] = _REFUSED if place is None else place
        return table.take(entity)

    def _table(self, entities: tuple[str, ...]) -> NDArray[np.intp]:
        for known, table in self._tables:
            if known is entities:
                return table
        for known, table in self._tables:
            if known == entities:
                return table
        table = np.full(len(entities), _UNSEEN, np.intp)
        self._tables = [(entities, table), *self._tables[: _TABLES - 1]]
        return table
