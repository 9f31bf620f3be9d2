"""What the rules of one kind of rows remember of the past, fed by rows or by runs of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenhertz.telemetry.rules.arrays import NEVER, Array, Where
from tenhertz.telemetry.rules.measure import Block, WindowKey
from tenhertz.telemetry.rules.windows import LastChange, Lows


class Rows(NamedTuple):
    """Rows of a frame, with the places of their entities."""

    place: NDArray[np.intp]
    time_ns: NDArray[np.int64]
    values: dict[str, Array]  # by point, (rows, cells), NaN: blank

    def take(self, rows: Array) -> Rows:
        """Some rows, by a mask or indices."""
        values = {name: values[rows] for name, values in self.values.items()}
        return Rows(self.place[rows], self.time_ns[rows], values)

    def runs(self) -> NDArray[np.intp]:
        """Where the runs of rows of the same entity begin."""
        return np.flatnonzero(np.diff(self.place, prepend=-1))

    def parts(self, bucket_ns: int) -> list[Rows]:
        """The rows of each bucket of time, oldest first."""
        bucket = self.time_ns // bucket_ns
        if bucket.min() == bucket.max():
            return [self]
        return [self.take(bucket == each) for each in np.unique(bucket)]


class Past:
    """The windows and the last changes that some rules need.

    `where` are the places of rows or runs, each entity once.
    """

    def __init__(
        self, windows: Iterable[WindowKey], stuck: Iterable[str], type_: type[np.floating]
    ) -> None:
        self._windows = {key: Lows(key.window_ns, type_) for key in windows}
        self._last = {name: LastChange(type_) for name in stuck}

    def resize(self, room: int, cells: Mapping[str, int]) -> None:
        """Make room for entities, with so many cells of each point."""
        for key, window in self._windows.items():
            window.resize(room, cells[key.point])
        for name, last in self._last.items():
            last.resize(room, cells[name])

    def parts(self, rows: Rows) -> list[Rows]:
        """The rows in parts during which no window goes on to its next bucket, oldest first."""
        parts = [rows]
        for bucket_ns in {window.bucket_ns for window in self._windows.values()}:
            parts = [smaller for part in parts for smaller in part.parts(bucket_ns)]
        return parts

    def add(self, where: Where, rows: Rows) -> Block:
        """Take rows in, one an entity; returns what is to be judged."""
        rises = {}
        for key, window in self._windows.items():
            values = _turned(key, rows)
            window.roll(where, rows.time_ns)
            rises[key] = values - window.add(where, values)
        still = {}
        for name, last in self._last.items():
            since = last.add(where, rows.values[name], rows.time_ns)
            still[name] = _lasting(since, rows.time_ns)
        return Block(rows.values, rises, still)

    def foresee(self, where: Where, rows: Rows, starts: NDArray[np.intp]) -> Block:
        """The most that can come of runs that lie in one bucket: nothing is taken in yet.

        Rises and durations are those of runs, (runs, cells) and (runs,); never too small.
        """
        rises: dict[WindowKey, Array] = {}
        for key, window in self._windows.items():
            values = _turned(key, rows)
            window.roll(where, rows.time_ns[starts])
            low = np.fmin(window.low(where), np.fmin.reduceat(values, starts, axis=0))
            rises[key] = np.fmax.reduceat(values, starts, axis=0) - low
        ends = np.append(starts[1:], len(rows.place)) - 1
        still = {}
        for name, last in self._last.items():
            since = last.since_ns(where)
            # Of an entity that is new, the run's first row may be where it began to stand still.
            since = np.where(since == NEVER, rows.time_ns[starts], since)
            still[name] = rows.time_ns[ends] - since
        return Block(rows.values, rises, still)

    def add_runs(self, where: Where, rows: Rows, starts: NDArray[np.intp]) -> None:
        """Take in runs of one bucket, after `foresee`; without blanks where stuck counts."""
        for key, window in self._windows.items():
            window.add(where, np.fmin.reduceat(_turned(key, rows), starts, axis=0))
        for name, last in self._last.items():
            last.add_runs(where, rows.values[name], rows.time_ns, starts)


def _turned(key: WindowKey, rows: Rows) -> Array:
    return -rows.values[key.point] if key.is_high else rows.values[key.point]


def _lasting(since_ns: NDArray[np.int64], time_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(since_ns == NEVER, NEVER, time_ns - since_ns)
