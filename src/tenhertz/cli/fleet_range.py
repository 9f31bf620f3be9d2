"""The first rows of a range, without reading the rest of it: a range may hold millions.

Asks for windows of time one after the other until there are enough rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenhertz.link import Kind
from tenhertz.store.contract import Columns, Reader

_FIRST_NS = 600 * 10**9
_HOUR_NS = 3600 * 10**9
_MINUTE_NS = 60 * 10**9
_OUTLINE_NS = 30 * 24 * _HOUR_NS
_OUTLINED_NS = 48 * _HOUR_NS  # shorter ranges are read as they are


class Asked(NamedTuple):
    """What is wanted; see Reader.range."""

    kind: Kind
    source: str
    entity: str
    start_ns: int
    end_ns: int
    every_ns: int | None


def first_rows(reader: Reader, asked: Asked, most: int) -> Columns:
    """Up to `most` rows or steps from the begin of a range.

    The windows end where steps do, so that no step is answered in two parts.
    """
    kind, source, entity, _, _, every_ns = asked
    largest_ns = _largest_window_ns(asked)
    parts: list[Columns] = []
    count = 0
    window_ns = _FIRST_NS
    for begin_ns, end_ns in _stretches(reader, asked):
        at_ns = begin_ns
        while at_ns < end_ns and count < most:
            until_ns = min(_step_end_ns(at_ns + window_ns, every_ns), end_ns)
            part = reader.range(kind, source, entity, at_ns, until_ns, every_ns)
            if len(part["time_ns"]):
                parts.append(part)
                count += len(part["time_ns"])
            if count < most // 4:
                window_ns = min(2 * window_ns, largest_ns)
            at_ns = until_ns
        if count >= most:
            break
    if not parts:
        parts = [reader.range(kind, source, entity, asked.start_ns, asked.start_ns, every_ns)]
    return _joined(parts, most)


def _stretches(reader: Reader, asked: Asked) -> Iterator[tuple[int, int]]:
    """Where in a range there may be rows. A long one is first asked for its hours: they come from
    the tier of minutes, and years without rows cost nothing."""
    kind, source, entity, start_ns, end_ns, every_ns = asked
    if end_ns - start_ns <= _OUTLINED_NS or _is_of_minutes(asked):
        yield start_ns, end_ns
        return
    last = (start_ns, start_ns)
    for at_ns in range(start_ns, end_ns, _OUTLINE_NS):
        until_ns = min(at_ns + _OUTLINE_NS, end_ns)
        hours = reader.range(kind, source, entity, at_ns, until_ns, _HOUR_NS)["time_ns"]
        for hour_ns in hours.tolist():
            begin_ns = max(hour_ns if every_ns is None else hour_ns // every_ns * every_ns, last[1])
            stop_ns = min(_step_end_ns(hour_ns + _HOUR_NS, every_ns), end_ns)
            if begin_ns > last[1]:
                if last[0] < last[1]:
                    yield last
                last = (begin_ns, stop_ns)
            else:
                last = (last[0], max(last[1], stop_ns))
    if last[0] < last[1]:
        yield last


def _is_of_minutes(asked: Asked) -> bool:
    return asked.every_ns is not None and asked.every_ns % _MINUTE_NS == 0


def _largest_window_ns(asked: Asked) -> int:
    """So much time at 10 Hz fits into memory, with hundreds of cells; minutes need none."""
    if _is_of_minutes(asked):
        return _OUTLINE_NS
    return _HOUR_NS if asked.kind is Kind.CELL else 24 * _HOUR_NS


def _step_end_ns(at_ns: int, every_ns: int | None) -> int:
    return at_ns if every_ns is None else -(-at_ns // every_ns) * every_ns


def _joined(parts: list[Columns], most: int) -> Columns:
    joined: Columns = {}
    for name in parts[0]:
        arrays = [part[name] for part in parts]
        if arrays[0].ndim == 2:  # a pack may have had fewer cells before
            widest = max(array.shape[1] for array in arrays)
            arrays = [_widened(array, widest) for array in arrays]
        joined[name] = np.concatenate(arrays)[:most]
    return joined


def _widened(array: NDArray[Any], width: int) -> NDArray[Any]:
    lacking = width - array.shape[1]
    return np.pad(array, ((0, 0), (0, lacking)), constant_values=np.nan) if lacking else array
