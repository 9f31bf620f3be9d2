"""The newest row of each entity: kept by the writer, in a file that readers map into memory.

The file follows the catalogue: it names the position it stands for, is replaced after each commit,
and whoever finds it behind reads the segments that came later.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tenhertz.link.points import POINTS, Kind
from tenhertz.store.contract import Columns
from tenhertz.store.embedded.block import DTYPES, Block, Name, Values, to_table
from tenhertz.store.sqlite import StoreTrouble

_POSITION = b"tenhertz.position"


class Newest:
    """The newest rows of one kind."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._slots: dict[Name, int] = {}
        self._time_ns = np.zeros(0, np.int64)
        self._cells = np.zeros(0, np.int32)  # how many of the columns below are of the row
        self._columns: dict[str, Values] = {}
        for point in POINTS[kind]:
            dtype = object if point.type == "text" else DTYPES[point.type]
            shape = (0, 1) if point.per_cell else 0
            self._columns[point.name] = np.zeros(shape, dtype)
        self._order: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self._slots)

    def take(self, blocks: Iterable[Block]) -> None:
        """Take rows, those of an entity in ascending order of time; older ones change nothing."""
        for block in blocks:
            if block.rows:
                self._take(block)

    def _take(self, block: Block) -> None:
        slots = np.fromiter(map(self._slot, block.names), np.int64, len(block.names))
        self._grow(len(self._slots), block.cells)
        # Of each entity only its last row is wanted: of equal indices NumPy keeps the last.
        last = np.full(len(block.names), -1, np.int64)
        last[block.name] = np.arange(block.rows)
        last = last[last >= 0]
        slot = slots[block.name[last]]
        time_ns = block.columns["time_ns"][last]
        newer = time_ns >= self._time_ns[slot]
        slot, last = slot[newer], last[newer]
        self._time_ns[slot] = time_ns[newer]
        self._cells[slot] = block.cells
        for name, column in self._columns.items():
            values = block.columns[name][last]
            if column.ndim == 2:
                column[slot] = np.nan
                column[slot, : values.shape[1]] = values
            else:
                column[slot] = values

    def _slot(self, name: Name) -> int:
        slot = self._slots.get(name)
        if slot is None:
            slot = self._slots[name] = len(self._slots)
            self._order = None
        return slot

    def _grow(self, slots: int, cells: int) -> None:
        room = len(self._time_ns)
        if slots > room:
            more = max(slots, 2 * room) - room
            self._time_ns = np.concatenate([self._time_ns, np.zeros(more, np.int64)])
            self._cells = np.concatenate([self._cells, np.zeros(more, np.int32)])
        for name, column in self._columns.items():
            rows = len(self._time_ns) - len(column)
            wider = cells - column.shape[1] if column.ndim == 2 else 0
            if rows > 0 or wider > 0:
                edges = [(0, max(rows, 0))] + ([(0, max(wider, 0))] if column.ndim == 2 else [])
                self._columns[name] = np.pad(column, edges)

    def table(self, position: int) -> pa.Table:
        """The rows ordered by source and entity, with the position that they stand for."""
        names = list(self._slots)
        if self._order is None:
            ranks = sorted(range(len(names)), key=names.__getitem__)
            self._order = np.array(ranks, np.int64)
        order = self._order
        columns: dict[str, Values] = {"time_ns": self._time_ns[order], "cells": self._cells[order]}
        columns |= {name: column[order] for name, column in self._columns.items()}
        table = to_table(Block(names, order.astype(np.int32), columns))
        return table.replace_schema_metadata({_POSITION: str(position).encode()})

    def write(self, path: Path, position: int) -> None:
        """Replace the file.

        Raises:
            StoreTrouble: the file is as it was.
        """
        table = self.table(position)
        beside = path.with_suffix(".new")
        try:
            with beside.open("wb") as file:
                with pa.ipc.new_file(file, table.schema) as writer:
                    writer.write_table(table)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except (OSError, pa.ArrowException) as error:
            beside.unlink(missing_ok=True)
            raise StoreTrouble(f"{path}: {error}") from error


def read(path: Path) -> tuple[int, pa.Table | None]:
    """The file and the position it stands for; 0 and None where there is none that can be used."""
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        return int(table.schema.metadata[_POSITION]), table
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return 0, None  # it is made again from the segments


def blocks_of(table: pa.Table, kind: Kind) -> list[Block]:
    """What `Newest.take` wants, from a file's table."""
    columns = columns_of(table, None)
    names = list(zip(columns["source"].tolist(), columns["entity"].tolist(), strict=True))
    cells = columns.pop("cells")
    name = np.arange(len(names), dtype=np.int32)
    found = []
    per_cell = {point.name for point in POINTS[kind] if point.per_cell}
    for width in np.unique(cells).tolist():
        rows = np.flatnonzero(cells == width)
        taken = {
            key: values[rows, :width] if key in per_cell else values[rows]
            for key, values in columns.items()
        }
        found.append(Block(names, name[rows], taken))
    return found


def columns_of(table: pa.Table, source: str | None) -> Columns:
    """A file's table as columns, those of one source only if so asked."""
    columns: Columns = {}
    for column in table.column_names:
        chunk: Any = table.column(column).combine_chunks()
        if pa.types.is_dictionary(chunk.type):
            names: Values = np.array(chunk.dictionary.to_pylist(), np.object_)
            columns[column] = names[chunk.indices.to_numpy()]
        elif pa.types.is_list(chunk.type):
            flat = chunk.values.to_numpy(zero_copy_only=False)
            columns[column] = flat.reshape(table.num_rows, -1 if table.num_rows else 0)
        else:
            columns[column] = chunk.to_numpy(zero_copy_only=False)
    if source is not None:
        wanted = columns["source"] == source
        columns = {name: values[wanted] for name, values in columns.items()}
    return columns
