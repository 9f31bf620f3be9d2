"""A frame: the rows of a batch as NumPy columns, the form in which the fleet works on them.

Nothing here makes an object of a row. Needs NumPy; a site does without it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tenhertz.link.points import Kind

Values = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One point of many rows.

    `values` has the shape (rows,) or (rows, cells), as they came: often int16. The physical value
    is `values * scale + offset`; scale 1 and offset 0 mean that it is physical already. Text
    columns hold an object array of str.
    """

    values: Values
    scale: float = 1.0
    offset: float = 0.0

    @property
    def physical(self) -> Values:
        """The values in the unit that the point's name says, float32 where they were scaled."""
        if self.scale == 1.0 and self.offset == 0.0:
            return self.values
        scaled = self.values.astype(np.float32)
        scaled *= np.float32(self.scale)
        if self.offset:
            scaled += np.float32(self.offset)
        return scaled

    def raw(self, physical: float) -> float:
        """A physical value in this column's numbers, to compare with `values` as they are."""
        return (physical - self.offset) / self.scale


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows of one source and kind, in the order of their sequence numbers."""

    source: str
    stream: int  # which store of the source numbered the rows
    kind: Kind
    sequence: NDArray[np.int64]  # (rows,), ascending; without holes as it comes from the wire
    time_ns: NDArray[np.int64]  # (rows,), UTC instants of measurement
    entity: NDArray[np.uint32]  # (rows,), index into `entities`
    entities: tuple[str, ...]  # the units or packs of the source
    columns: dict[str, Column]  # by point name
    received_ns: int = 0  # UTC

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.time_ns)

    @property
    def numbers(self) -> int:
        """How many measured rows in the narrow sense: for cells, one a cell and instant."""
        if self.kind is not Kind.CELL:
            return self.rows
        voltage = self.columns["voltage_v"].values
        return int(voltage.size)

    def take(self, rows: NDArray[Any] | slice) -> Frame:
        """Some of the rows, by a mask, indices or a slice."""
        columns = {
            name: Column(column.values[rows], column.scale, column.offset)
            for name, column in self.columns.items()
        }
        return replace(
            self,
            sequence=self.sequence[rows],
            time_ns=self.time_ns[rows],
            entity=self.entity[rows],
            columns=columns,
        )
