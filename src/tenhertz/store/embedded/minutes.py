"""The tier of minutes: what is left of many rows when only their course matters.

Partial aggregates (rows, sum, number, least, greatest) add up, so minutes may be made in pieces, in
any order, and put together when they are read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tenhertz.link.points import POINTS, Kind
from tenhertz.store.contract import Columns
from tenhertz.store.embedded.block import Block

MINUTE_NS = 60_000_000_000
# Kinds that are kept whole instead: their rows are few, and words have no mean.
UNTIERED = frozenset((Kind.EVENT, Kind.LOSS))


def points_of(kind: Kind) -> list[str]:
    """The points that have a mean."""
    return [point.name for point in POINTS[kind] if point.type != "text"]


def schema_of(kind: Kind) -> pa.Schema:
    """How a segment of minutes looks."""
    fields: list[Any] = [("source", pa.string()), ("entity", pa.string())]
    fields += [("time_ns", pa.int64()), ("rows", pa.int64())]
    for name in points_of(kind):
        fields += [(f"{name}_number", pa.int64()), (f"{name}_sum", pa.float64())]
        fields += [(f"{name}_min", pa.float64()), (f"{name}_max", pa.float64())]
    return pa.schema(fields)


def from_rows(block: Block, kind: Kind, every_ns: int = MINUTE_NS) -> Block:
    """Rows, sorted by name and time, as partial aggregates of steps."""
    step = block.columns["time_ns"] // every_ns * every_ns
    begins = _begins(block.name, step)
    columns: dict[str, Any] = {"time_ns": step[begins]}
    columns["rows"] = np.diff(np.append(begins, block.rows)).astype(np.int64)
    for name in points_of(kind):
        values = block.columns[name]
        values = values if values.ndim == 2 else values[:, None]
        there = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(values.shape, np.bool_)
        full = bool(there.all())
        number = np.full(block.rows, values.shape[1]) if full else there.sum(axis=1)
        plain = values if full else np.where(there, values, 0)
        columns[f"{name}_number"] = np.add.reduceat(number.astype(np.int64), begins)
        columns[f"{name}_sum"] = np.add.reduceat(plain.sum(axis=1, dtype=np.float64), begins)
        with np.errstate(invalid="ignore"):
            low, high = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
            columns[f"{name}_min"] = np.fmin.reduceat(low, begins).astype(np.float64)
            columns[f"{name}_max"] = np.fmax.reduceat(high, begins).astype(np.float64)
    return Block(block.names, block.name[begins], columns)


def folded(block: Block, every_ns: int = MINUTE_NS) -> Block:
    """Partial aggregates, sorted by name and time, put together where they are of one step."""
    step = block.columns["time_ns"] // every_ns * every_ns
    begins = _begins(block.name, step)
    columns: dict[str, Any] = {"time_ns": step[begins]}
    for name, values in block.columns.items():
        if name == "time_ns":
            continue
        if name.endswith("_min"):
            columns[name] = np.fmin.reduceat(values, begins)
        elif name.endswith("_max"):
            columns[name] = np.fmax.reduceat(values, begins)
        else:
            columns[name] = np.add.reduceat(values, begins)
    return Block(block.names, block.name[begins], columns)


def told(block: Block, kind: Kind) -> Columns:
    """Complete aggregates as the contract of stores has them."""
    found: Columns = {"time_ns": block.columns["time_ns"], "rows": block.columns["rows"]}
    for name in points_of(kind):
        number = block.columns[f"{name}_number"]
        total = block.columns[f"{name}_sum"]
        mean = np.divide(total, number, out=np.full(len(number), np.nan), where=number > 0)
        found[f"{name}_mean"] = mean
        found[f"{name}_min"] = block.columns[f"{name}_min"]
        found[f"{name}_max"] = block.columns[f"{name}_max"]
    return found


def _begins(name: NDArray[np.int32], step: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the rows of another name or step begin."""
    differs = (name[1:] != name[:-1]) | (step[1:] != step[:-1])
    return np.flatnonzero(np.concatenate(([True], differs)))
