"""What the benchmark of stores compares with: narrow rows, one a cell and instant.

DuckDB takes them from Arrow, which is its quickest way in; PostgreSQL by binary COPY through
asyncpg. Both without an index, which favours them: our stores also keep minutes and newest rows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from tenhertz.link.frame import Frame


class Peer(Protocol):
    """Takes frames as narrow rows."""

    name: str

    def insert(self, frames: Sequence[Frame]) -> float:
        """Insert one commit durably; the time it took in s."""
        ...

    def close(self) -> None:
        """End."""
        ...


def _narrow(frames: Sequence[Frame]) -> dict[str, Any]:
    """Columns of narrow rows."""
    cells = frames[0].columns["voltage_v"].values.shape[1]
    parts: dict[str, list[Any]] = {
        name: [] for name in ("time_ns", "source", "pack", "cell", "voltage", "current", "temp")
    }
    for frame in frames:
        rows = frame.rows
        parts["time_ns"].append(np.repeat(frame.time_ns, cells))
        parts["source"].append(np.full(rows * cells, frame.stream, np.int32))
        parts["pack"].append(np.repeat(frame.entity.astype(np.int32), cells))
        parts["cell"].append(np.tile(np.arange(1, cells + 1, dtype=np.int16), rows))
        columns = frame.columns
        parts["voltage"].append(columns["voltage_v"].physical.reshape(-1))
        parts["current"].append(np.repeat(columns["current_a"].physical, cells))
        parts["temp"].append(columns["temperature_c"].physical.reshape(-1))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


class DuckPeer:
    """A DuckDB file."""

    name = "DuckDB, narrow rows from Arrow"

    def __init__(self, folder: Path) -> None:
        import duckdb

        self._db: Any = duckdb.connect(str(folder / "peer.duckdb"))
        self._db.execute(
            "CREATE TABLE cell (time_ns BIGINT, source INTEGER, pack INTEGER, cell SMALLINT, "
            "voltage FLOAT, current FLOAT, temp FLOAT)"
        )

    def insert(self, frames: Sequence[Frame]) -> float:
        """Insert one commit; DuckDB syncs its log at the end of each."""
        began_s = time.perf_counter()
        rows = pa.table(_narrow(frames))
        self._db.register("batch", rows)
        self._db.execute("INSERT INTO cell SELECT * FROM batch")
        self._db.unregister("batch")
        return time.perf_counter() - began_s

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class CopyPeer:
    """A table in PostgreSQL."""

    name = "asyncpg COPY, narrow rows"

    def __init__(self, url: str) -> None:
        import asyncpg

        self._loop = asyncio.new_event_loop()
        self._db: Any = self._loop.run_until_complete(asyncpg.connect(url))
        self._loop.run_until_complete(
            self._db.execute(
                "CREATE TABLE narrow_cell (time_ns bigint, source integer, pack integer, "
                "cell smallint, voltage real, current real, temp real)"
            )
        )

    def insert(self, frames: Sequence[Frame]) -> float:
        """Copy one commit, in a transaction of its own."""
        began_s = time.perf_counter()
        rows = zip(*(column.tolist() for column in _narrow(frames).values()), strict=True)
        self._loop.run_until_complete(self._db.copy_records_to_table("narrow_cell", records=rows))
        return time.perf_counter() - began_s

    def close(self) -> None:
        """Close the connection."""
        self._loop.run_until_complete(self._db.close())
        self._loop.close()


def open_peer(store: str, folder: Path, url: str) -> Peer:
    """The peer of a store."""
    return DuckPeer(folder) if store == "embedded" else CopyPeer(url)
