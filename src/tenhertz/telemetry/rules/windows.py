"""What the rules remember of the past: the lowest value within a window, and the last change.

The window's past lies in buckets of an eighth of it, aligned to UTC. A row at t is held against
the lowest value of its cell since the start of the bucket that lies eight buckets before t's own.
That reaches back at least the window and at most 9/8 of it; within that span it is exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tenhertz.telemetry.rules.arrays import (
    NEVER,
    Array,
    Where,
    any_in_row,
    gather,
    grown,
    holds_any,
)

BUCKETS = 8  # a window; one more is being filled
_RING = BUCKETS + 1


class Lows:
    """The lowest value of each cell within a window; of negated values, the highest."""

    def __init__(self, window_ns: int, type_: type[np.floating]) -> None:
        self.bucket_ns = -(-window_ns // BUCKETS)
        self._ring = np.zeros((_RING, 0, 0), type_)
        self._past = np.zeros((0, 0), type_)  # the lowest of the full buckets
        self._filling = np.zeros((0, 0), type_)
        self._bucket = np.zeros(0, np.int64)  # number of the one that is being filled

    def resize(self, entities: int, cells: int) -> None:
        """Make room."""
        self._ring = grown(self._ring, (_RING, entities, cells), np.inf)
        self._past = grown(self._past, (entities, cells), np.inf)
        self._filling = grown(self._filling, (entities, cells), np.inf)
        self._bucket = grown(self._bucket, (entities,), -_RING - 1)

    def roll(self, where: Where, time_ns: NDArray[np.int64]) -> None:
        """Let time go on to `time_ns`, shape (rows,), for entities that occur once each."""
        bucket = time_ns // self.bucket_ns
        moved = bucket != gather(self._bucket, where)
        if not holds_any(moved):
            return
        index = np.arange(where.start, where.stop) if isinstance(where, slice) else where
        self._move(index[moved], bucket[moved])

    def low(self, where: Where) -> Array:
        """The lowest so far, after `roll`; infinite where no value is known."""
        return np.asarray(np.fmin(gather(self._filling, where), gather(self._past, where)))

    def add(self, where: Where, values: Array) -> Array:
        """Take values in, shape (rows, cells), after `roll`; returns the lowest with them."""
        lowest = np.fmin(gather(self._filling, where), values)
        self._filling[where] = lowest
        return np.asarray(np.fmin(lowest, gather(self._past, where)))

    def _move(self, index: NDArray[np.intp], bucket: NDArray[np.int64]) -> None:
        before = self._bucket[index]
        self._ring[before % _RING, index] = self._filling[index]
        for step in range(1, _RING + 1):
            passed = before + step <= bucket
            if not passed.any():
                break
            self._ring[(before + step)[passed] % _RING, index[passed]] = np.inf
        self._past[index] = self._ring[:, index].min(axis=0)
        self._filling[index] = np.inf
        self._bucket[index] = bucket


class LastChange:
    """When any cell of an entity last had another value than before."""

    def __init__(self, type_: type[np.floating]) -> None:
        self._last = np.zeros((0, 0), type_)  # the last known value; NaN: none yet
        self._since_ns = np.zeros(0, np.int64)

    def resize(self, entities: int, cells: int) -> None:
        """Make room."""
        self._last = grown(self._last, (entities, cells), np.nan)
        self._since_ns = grown(self._since_ns, (entities,), NEVER)

    def since_ns(self, where: Where) -> NDArray[np.int64]:
        """The instants of the last change; NEVER without a known value."""
        return gather(self._since_ns, where)

    def add(self, where: Where, values: Array, time_ns: NDArray[np.int64]) -> Array:
        """Take rows in, one an entity; a blank (NaN) is no change. Returns `since_ns` with them."""
        last = gather(self._last, where)
        blank = np.isnan(values)
        if holds_any(blank):
            values = np.where(blank, last, values)
            changed = any_in_row((values != last) & ~blank)
        else:
            changed = any_in_row(values != last)
        self._last[where] = values
        since = np.where(changed, time_ns, gather(self._since_ns, where))
        self._since_ns[where] = since
        return since

    def add_runs(
        self, where: Where, values: Array, time_ns: NDArray[np.int64], starts: NDArray[np.intp]
    ) -> None:
        """Take runs of rows in, without blanks: run i begins at row `starts[i]`, its entity is i.

        values: (rows, cells); where: (runs,) entities.
        """
        before = np.empty_like(values)
        before[1:] = values[:-1]
        before[starts] = gather(self._last, where)
        changed = any_in_row(values != before)
        newest = np.maximum.reduceat(np.where(changed, time_ns, NEVER), starts)
        self._since_ns[where] = np.maximum(newest, gather(self._since_ns, where))
        ends = np.append(starts[1:], len(values)) - 1
        self._last[where] = values[ends]
