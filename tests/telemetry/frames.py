"""Frames for tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tenhertz.link import Kind
from tenhertz.link.frame import Column, Frame

NOW_NS = 1_800_000_000_000_000_000


def cells(
    *,
    packs: int = 4,
    width: int = 3,
    at_ns: ArrayLike = NOW_NS,
    entity: ArrayLike | None = None,
    voltage_mv: ArrayLike = 3300,
    temperature_dc: ArrayLike = 250,
    first: int = 1,
    source: str = "gate",
    received_ns: int = NOW_NS,
) -> Frame:
    """Packs of cells as a gateway sends them: int16 millivolts and tenths of a degree."""
    rows = packs
    ids = np.arange(rows, dtype=np.uint32) if entity is None else np.asarray(entity, np.uint32)
    rows = len(ids)
    voltage = np.broadcast_to(np.asarray(voltage_mv, np.int16), (rows, width))
    temperature = np.broadcast_to(np.asarray(temperature_dc, np.int16), (rows, width))
    columns = {
        "voltage_v": Column(voltage, 0.001),
        "current_a": Column(np.full(rows, 50, np.int16), 0.1),
        "temperature_c": Column(temperature, 0.1),
    }
    return Frame(
        source,
        7,
        Kind.CELL,
        np.arange(first, first + rows, dtype=np.int64),
        np.broadcast_to(np.asarray(at_ns, np.int64), (rows,)).copy(),
        ids,
        tuple(f"p{number}" for number in range(max(packs, int(ids.max()) + 1))),
        columns,
        received_ns,
    )
