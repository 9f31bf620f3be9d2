"""Sums of the minute tier and the newest row of each entity, in NumPy. No database here.

Sums, counts, minima and maxima add up in any order: a late row finds its minute as well as one that
comes in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tenhertz.link.points import POINTS
from tenhertz.store.postgres.records import Field
from tenhertz.store.postgres.rows import Rows

MINUTE_NS = 60_000_000_000
Values = NDArray[Any]


def minute_fields(pieces: Sequence[Rows]) -> list[Field]:
    """Rows for the minute table of one kind: one for each entity and minute, ordered by them."""
    entity = np.concatenate([piece.entity for piece in pieces])
    minute = np.concatenate([piece.time_ns // MINUTE_NS for piece in pieces])
    order = np.lexsort((minute, entity))
    entity, minute = entity[order], minute[order]
    new = np.empty(len(entity), bool)
    new[:1] = True
    new[1:] = (entity[1:] != entity[:-1]) | (minute[1:] != minute[:-1])
    starts = np.flatnonzero(new)
    fields = [
        Field("i4", entity[starts]),
        Field("i8", minute[starts] * MINUTE_NS),
        Field("i8", np.diff(starts, append=len(entity))),
    ]
    for point in POINTS[pieces[0].kind]:
        if point.type == "text":
            continue
        parts = [_row_sums(piece.points[point.name]) for piece in pieces]
        total, count, low, high = (
            np.concatenate(column)[order] for column in zip(*parts, strict=True)
        )
        fields += [
            Field("f8", np.add.reduceat(total, starts)),
            Field("i8", np.add.reduceat(count, starts)),
            # fmin leaves NaN out where there is a number
            Field(point.type, np.fmin.reduceat(low, starts)),
            Field(point.type, np.fmax.reduceat(high, starts)),
        ]
    return fields


def _row_sums(values: Values) -> tuple[Values, Values, Values, Values]:
    """Sum, count, minimum and maximum of each row; NaN is not counted."""
    if values.ndim == 1:
        if values.dtype.kind != "f":
            return values.astype(np.float64), np.ones(len(values), np.int64), values, values
        there = ~np.isnan(values)
        return (
            np.where(there, values, 0.0).astype(np.float64),
            there.astype(np.int64),
            values,
            values,
        )
    rows, width = values.shape
    if not width:
        absent = np.full(rows, np.nan, values.dtype)
        return np.zeros(rows), np.zeros(rows, np.int64), absent, absent
    total = values.sum(axis=1, dtype=np.float64)
    count = np.full(rows, width, np.int64)
    if values.dtype.kind == "f" and np.isnan(total).any():
        total = np.nansum(values, axis=1, dtype=np.float64)
        count = np.count_nonzero(~np.isnan(values), axis=1)
    # One column after the other is several times faster than axis=1 with so few cells.
    low = high = values[:, 0]
    for cell in range(1, width):
        low = np.fmin(low, values[:, cell])
        high = np.fmax(high, values[:, cell])
    return total, count, low, high


def newest(pieces: Sequence[Rows]) -> list[Rows]:
    """The newest row of each entity; an entity is in one piece only."""
    entity = np.concatenate([piece.entity for piece in pieces])
    time_ns = np.concatenate([piece.time_ns for piece in pieces])
    sequence = np.concatenate([piece.sequence for piece in pieces])
    order = np.lexsort((sequence, time_ns, entity))
    last = np.append(np.diff(entity[order]) != 0, np.True_)
    chosen = np.sort(order[last])
    found = []
    begin = 0
    for piece in pieces:
        end = begin + len(piece.time_ns)
        mine = chosen[np.searchsorted(chosen, begin) : np.searchsorted(chosen, end)]
        if len(mine):
            found.append(piece.take(mine - begin))
        begin = end
    return found
