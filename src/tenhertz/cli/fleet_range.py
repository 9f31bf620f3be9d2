"""The first rows of a range, without reading the rest of it: a range may hold millions.

Asks for windows of time one after the other until there are enough rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenhertz.link import Kind
from tenhertz.store.contract import Columns, Reader

_FIRST_NS = 600 * 10**9
_HOUR_NS = 3600 * 10**9
_MINUTE_NS = 60 * 10**9


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
    window_ns = _FIRST_NS
    largest_ns = _largest_window_ns(asked)
    parts: list[Columns] = []
    count = 0
    at_ns = asked.start_ns
    while at_ns < asked.end_ns and count < most:
        until_ns = _window_end_ns(at_ns, window_ns, asked)
        kind, source, entity, _, _, every_ns = asked
        part = reader.range(kind, source, entity, at_ns, until_ns, every_ns)
        found = len(part["time_ns"])
        if found or not parts:
            parts.append(part)
        count += found
        if count < most // 4:
            window_ns = min(2 * window_ns, largest_ns)
        at_ns = until_ns
    return _joined([part for part in parts if len(part["time_ns"])] or parts[:1], most)


def _largest_window_ns(asked: Asked) -> int:
    """So much time at 10 Hz fits into memory, with hundreds of cells; minutes need none."""
    if asked.every_ns is not None and asked.every_ns % _MINUTE_NS == 0:
        return 7 * 24 * _HOUR_NS
    return _HOUR_NS if asked.kind is Kind.CELL else 24 * _HOUR_NS


def _window_end_ns(at_ns: int, window_ns: int, asked: Asked) -> int:
    end_ns = at_ns + window_ns
    if asked.every_ns is not None:
        end_ns = -(-end_ns // asked.every_ns) * asked.every_ns
    return min(end_ns, asked.end_ns)


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
