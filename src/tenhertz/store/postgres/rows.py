"""Frames become the rows of tables: of one shape each, with keys instead of names.

A commit may hold thousands of small frames. Those of the same form are joined first and worked on
as one, so that what a frame costs does not depend on how few rows it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenhertz.link.frame import Column, Frame
from tenhertz.link.points import POINTS, Kind, Point
from tenhertz.store.postgres.records import Field
from tenhertz.store.sqlite import StoreTrouble

DAY_NS = 86_400_000_000_000
Values = NDArray[Any]


class Rows(NamedTuple):
    """Rows of one kind and width as they are stored; every array has the rows first."""

    kind: Kind
    entity: NDArray[np.int64]  # keys of the table `entity`
    time_ns: NDArray[np.int64]
    stream: NDArray[np.int64]  # 64 bits, the highest as the sign
    sequence: NDArray[np.int64]
    points: dict[str, Values]  # physical

    def take(self, chosen: Values | slice) -> Rows:
        """Some of the rows, by a mask, indices or a slice."""
        return Rows(
            self.kind,
            self.entity[chosen],
            self.time_ns[chosen],
            self.stream[chosen],
            self.sequence[chosen],
            {name: values[chosen] for name, values in self.points.items()},
        )

    def fields(self) -> list[Field]:
        """The columns of this kind's tables, in their order."""
        keys = [
            Field("i8", self.time_ns),
            Field("i4", self.entity),
            Field("i8", self.stream),
            Field("i8", self.sequence),
        ]
        return [*keys, *(Field(p.type, self.points[p.name]) for p in POINTS[self.kind])]

    def by_day(self) -> dict[int, Rows]:
        """The rows of each UTC day, counted from 1970."""
        day = self.time_ns // DAY_NS
        days = np.unique(day)
        if len(days) == 1:
            return {int(days[0]): self}
        return {int(one): self.take(day == one) for one in days}


def joined(frames: Iterable[Frame], keys: Mapping[str, NDArray[np.int64]]) -> list[Rows]:
    """The rows of all frames. `keys`: by source, the key of each of a frame's entities in order.

    Frames of one source must all have the `entities` for which its keys were made.

    Raises:
        StoreTrouble: a point has several numbers a row and should have one.
    """
    alike: dict[tuple[Any, ...], list[Frame]] = {}
    for frame in frames:
        if frame.rows:
            alike.setdefault(_form(frame), []).append(frame)
    return [_join(group, keys) for group in alike.values()]


def _form(frame: Frame) -> tuple[Any, ...]:
    columns = frame.columns
    return (
        frame.kind,
        *(
            (name, column.values.dtype.char, column.values.shape[1:], column.scale, column.offset)
            for name, column in sorted(columns.items())
        ),
    )


def _join(frames: Sequence[Frame], keys: Mapping[str, NDArray[np.int64]]) -> Rows:
    counts = [frame.rows for frame in frames]
    streams = np.array([frame.stream for frame in frames], np.uint64).view(np.int64)
    kind = frames[0].kind
    return Rows(
        kind,
        np.concatenate([keys[frame.source][frame.entity] for frame in frames]),
        np.concatenate([frame.time_ns for frame in frames]),
        np.repeat(streams, counts),
        np.concatenate([frame.sequence for frame in frames]),
        {point.name: _values(point, frames, sum(counts)) for point in POINTS[kind]},
    )


def _values(point: Point, frames: Sequence[Frame], rows: int) -> Values:
    first = frames[0].columns.get(point.name)
    if first is None:
        if not point.may_be_absent:
            raise KeyError(point.name)  # the link lets no such frame through
        return np.full(rows, np.nan, np.float32)
    if first.values.ndim > 1 and not point.per_cell:
        raise StoreTrouble(
            f"{frames[0].source}: {point.name} came with {first.values.shape[1]} numbers a row "
            "where the table has one; the link must reject such a batch"
        )
    values = np.concatenate([frame.columns[point.name].values for frame in frames])
    return Column(values, first.scale, first.offset).physical
