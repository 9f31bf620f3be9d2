"""Rows are checked as columns: what cannot be true is rejected, with the first reason found.

The common case costs a minimum and a maximum a column; rows are looked at only where those fail.
Where some cells of a row are wrong, only they are blanked (NaN) and told: one broken sensor must
not hide its neighbours. What is possible but unhealthy passes: that is for the safety rules.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenhertz.link.frame import Column, Frame
from tenhertz.link.points import POINTS, Kind, Point

Mask = NDArray[np.bool_]

FUTURE = "time in the future"
TOO_OLD = "time too old"
DUPLICATE = "same instant twice"
OUT_OF_ORDER = "time out of order"
NOT_FINITE = "not finite"
OUT_OF_RANGE = "out of range"
NEGATIVE = "negative count"


class TimeLimits(NamedTuple):
    """Which instants of measurement are believed, by the clock of the server."""

    future_ns: int = 300_000_000_000
    too_old_ns: int = 30 * 86_400_000_000_000


class Blanks(NamedTuple):
    """Values of single cells that were wrong; they are NaN in the frame."""

    point: str
    reason: str
    cells: Mask  # (rows, cells)


class Verdict(NamedTuple):
    """Which rows of a frame pass. `passed` None: all of them."""

    passed: Mask | None
    reasons: dict[str, Mask]  # disjoint; together the rows that do not pass
    blanks: tuple[Blanks, ...] = ()  # in rows that may pass

    @property
    def rejected(self) -> int:
        """How many rows do not pass."""
        return sum(int(mask.sum()) for mask in self.reasons.values())


ALL_PASS = Verdict(None, {})


class _Rows:
    """Collects reasons, the first one for each row."""

    def __init__(self, rows: int) -> None:
        self._passed = np.ones(rows, np.bool_)
        self._reasons: dict[str, Mask] = {}
        self._blanks: list[Blanks] = []

    def reject(self, bad: Mask, reason: str) -> None:
        bad = bad & self._passed
        if not bad.any():
            return
        self._passed &= ~bad
        self._reasons[reason] = self._reasons[reason] | bad if reason in self._reasons else bad

    def reject_cells(self, bad: Mask, reason: str, point: str) -> None:
        """Blank single cells; a row of which no cell is left goes as a whole."""
        if bad.ndim == 1 or bad.shape[1] == 1:
            self.reject(bad.reshape(len(bad)), reason)
            return
        whole: Mask = np.asarray(bad.all(axis=1))
        self.reject(whole, reason)
        single = bad & ~whole[:, None]
        if single.any():
            self._blanks.append(Blanks(point, reason, single))

    @property
    def verdict(self) -> Verdict:
        blanks = tuple(self._blanks)
        if not self._reasons:
            return Verdict(None, {}, blanks) if blanks else ALL_PASS
        return Verdict(self._passed, self._reasons, blanks)


def check_values(frame: Frame, limits: TimeLimits) -> Verdict:
    """Ranges, finiteness, and instants against the time of arrival (`frame.received_ns`)."""
    earliest = frame.received_ns - limits.too_old_ns
    latest = frame.received_ns + limits.future_ns
    time_ns = frame.time_ns
    suspects = [point for point in POINTS[frame.kind] if _suspect(frame.columns, point)]
    if not suspects and earliest <= int(time_ns.min()) and int(time_ns.max()) <= latest:
        return ALL_PASS
    rows = _Rows(frame.rows)
    rows.reject(time_ns > latest, FUTURE)
    rows.reject(time_ns < earliest, TOO_OLD)
    for point in suspects:
        _check_column(rows, frame.columns[point.name], point)
    return rows.verdict


def _suspect(columns: dict[str, Column], point: Point) -> bool:
    """Whether the extremes leave any doubt about a column; a NaN always does."""
    column = columns.get(point.name)
    if column is None or column.values.dtype == object:
        return False
    low, high = _raw_limits(column, point)
    values = column.values
    return not (low <= values.min() and values.max() <= high)


def _raw_limits(column: Column, point: Point) -> tuple[float, float]:
    low, high = column.raw(point.lowest), column.raw(point.highest)
    return (low, high) if column.scale > 0 else (high, low)


def _check_column(rows: _Rows, column: Column, point: Point) -> None:
    values = column.values
    low, high = _raw_limits(column, point)
    if values.dtype.kind == "f":
        absent = np.isnan(values)
        not_finite = np.isinf(values) if point.may_be_absent else ~np.isfinite(values)
        rows.reject_cells(not_finite, NOT_FINITE, point.name)
        beyond = ((values < low) | (values > high)) & ~absent
    else:
        beyond = (values < low) | (values > high)
    counts = point.type.startswith("i") and point.lowest == 0
    reason = NEGATIVE if counts and bool((values < 0).any()) else OUT_OF_RANGE
    rows.reject_cells(beyond, reason, point.name)


def blanked(frame: Frame, blanks: tuple[Blanks, ...]) -> Frame:
    """The frame with single cells set to NaN, which makes their columns float32."""
    if not blanks:
        return frame
    columns = dict(frame.columns)
    for blank in blanks:
        values = np.array(columns[blank.point].physical, np.float32)
        values[blank.cells] = np.nan
        columns[blank.point] = Column(values)
    return replace(frame, columns=columns)


def check_order(frame: Frame, newest_ns: NDArray[np.int64] | None) -> Verdict:
    """Each entity's instants rise from row to row, and from its newest so far.

    `newest_ns` holds the newest instant by entity index, 0 where none is known; None for rows that
    are older than others already taken in (backlog), whose order is checked among themselves only.
    Events and losses may share an instant.
    """
    if frame.kind in (Kind.EVENT, Kind.LOSS):
        return ALL_PASS
    entity, time_ns = frame.entity, frame.time_ns
    if frame.rows == 1 or bool((entity[1:] > entity[:-1]).all()):  # each entity once
        if newest_ns is None:
            return ALL_PASS
        before = newest_ns[entity]
        if bool((time_ns > before).all()):
            return ALL_PASS
    else:
        before = _before(entity, time_ns, newest_ns)
    rows = _Rows(frame.rows)
    rows.reject(time_ns == before, DUPLICATE)
    rows.reject(time_ns < before, OUT_OF_ORDER)
    return rows.verdict


def _before(
    entity: NDArray[np.uint32], time_ns: NDArray[np.int64], newest_ns: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """For each row, the newest instant of its entity among the rows before it and `newest_ns`."""
    order = np.argsort(entity, kind="stable")
    sorted_entity = entity[order]
    starts = np.flatnonzero(np.r_[True, sorted_entity[1:] != sorted_entity[:-1]])
    begin = np.zeros(len(order), np.int64) if newest_ns is None else newest_ns[sorted_entity]
    sorted_time = time_ns[order]
    # A running maximum by entity: lift each entity's instants above all of those before it.
    # Instants reach 2^62, so their ranks are lifted in their place.
    shifted = np.empty_like(sorted_time)
    shifted[1:] = sorted_time[:-1]
    shifted[starts] = 0
    shifted = np.maximum(shifted, begin)
    rank = np.unique(shifted, return_inverse=True)[1].astype(np.int64)
    group = np.cumsum(np.r_[0, (sorted_entity[1:] != sorted_entity[:-1]).astype(np.int64)])
    lifted = np.maximum.accumulate(rank + group * (len(rank) + 1)) - group * (len(rank) + 1)
    values = np.unique(shifted)
    before = np.empty_like(time_ns)
    before[order] = values[lifted]
    return before
