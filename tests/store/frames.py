"""Frames of every kind for tests of stores."""

from __future__ import annotations

import numpy as np

from tenhertz.link.frame import Column, Frame
from tenhertz.link.points import POINTS, Kind

BASE_NS = 1_800_000_000_000_000_000 // 86_400_000_000_000 * 86_400_000_000_000
SECOND_NS = 1_000_000_000


def frame(
    kind: Kind = Kind.CELL,
    *,
    source: str = "site-1",
    entities: tuple[str, ...] = ("p1", "p2"),
    instants: int = 3,
    first: int = 1,
    at_ns: int = BASE_NS,
    step_ns: int = 100_000_000,
    cells: int = 4,
    seed: int = 1,
    stream: int = 7,
) -> Frame:
    """`instants` rows of each entity, with numbers that a seed decides."""
    rng = np.random.default_rng(seed)
    rows = instants * len(entities)
    columns = {}
    for point in POINTS[kind]:
        if point.type == "text":
            texts = np.array([f"word {n} 'quoted' \u00b0" for n in range(rows)], object)
            columns[point.name] = Column(texts)
        elif point.type.startswith("i"):
            columns[point.name] = Column(rng.integers(0, 100, rows))
        elif point.per_cell:
            raw = rng.integers(100, 3000, (rows, cells)).astype(np.int16)
            columns[point.name] = Column(raw, 0.001 if point.name == "voltage_v" else 0.1)
        else:
            values = rng.normal(0.4, 0.1, rows).astype(np.float64)
            values[::5] = np.nan
            columns[point.name] = Column(values)
    return Frame(
        source,
        stream,
        kind,
        np.arange(first, first + rows, dtype=np.int64),
        at_ns + np.repeat(np.arange(instants, dtype=np.int64), len(entities)) * step_ns,
        np.tile(np.arange(len(entities), dtype=np.uint32), instants),
        entities,
        columns,
        at_ns,
    )
