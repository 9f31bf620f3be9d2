"""Frames with one value a row and point: rows of cells become least, greatest and mean.

For systems that have no arrays. Whoever needs each cell reads the store, or the Kafka topic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tenhertz.link.frame import Column, Frame, Values
from tenhertz.link.points import POINTS


class Flat(NamedTuple):
    """One value a row."""

    name: str
    type: str  # "int", "float" or "text"
    values: Values  # (rows,): int64; floating, NaN where absent; or objects of str


def flat_columns(frame: Frame) -> Iterator[Flat]:
    """The points of a frame in the order of POINTS; those that it does not have are left out."""
    for point in POINTS[frame.kind]:
        column = frame.columns.get(point.name)
        if column is None:
            continue
        if point.type == "text":
            yield Flat(point.name, "text", column.values)
        elif point.per_cell:
            yield from _summary(point.name, column)
        elif point.type.startswith("i"):
            yield Flat(point.name, "int", column.physical.astype(np.int64))
        else:
            yield Flat(point.name, "float", _floating(column.physical, point.type))


def _floating(values: Values, type_: str) -> Values:
    if values.dtype.kind == "f":
        return values
    return values.astype(np.float32 if type_ == "f4" else np.float64)


def _summary(name: str, column: Column) -> Iterator[Flat]:
    """Least, greatest, mean of each row, NaN aside: how many cells there are, comes first."""
    raw = column.values
    if raw.ndim != 2 or raw.shape[1] == 0:
        return
    least, greatest = np.fmin.reduce(raw, axis=1), np.fmax.reduce(raw, axis=1)
    if column.scale < 0:
        least, greatest = greatest, least
    present = np.isfinite(raw)
    count = present.sum(axis=1)
    total = np.where(present, raw, 0).sum(axis=1, dtype=np.float64)
    mean = np.divide(total, count, out=np.full(len(raw), np.nan), where=count > 0)
    yield Flat(f"{name}_cells", "int", count.astype(np.int64))
    for what, values in (("min", least), ("max", greatest), ("mean", mean)):
        scaled = Column(values, column.scale, column.offset).physical
        yield Flat(f"{name}_{what}", "float", _floating(scaled, "f4"))
