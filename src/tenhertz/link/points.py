"""The kinds of rows that cross the link, and the points of each.

One list for every side: a point's name says its unit, its range is what the world allows (what is
healthy is for the safety rules to say). Cell ranges: lithium cells of any chemistry stay between 0
and 5 V; sensors read -60 to 300 °C, the upper end in thermal runaway.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple

# The version that this code writes. It reads this one and the one before.
VERSION = 2
OLDEST_VERSION = 1


class Kind(IntEnum):
    """What kind of rows a batch holds; the numbers are those of schema.proto."""

    SAMPLE = 1
    TICK = 2
    EVENT = 3
    LOSS = 4
    CELL = 5


class Point(NamedTuple):
    """One column of a kind."""

    name: str
    type: str  # of the value in a store: f4, f8, i8 (64 bit), i4, i2, text
    lowest: float = -math.inf
    highest: float = math.inf
    may_be_absent: bool = False  # NaN: the device gave no number
    per_cell: bool = False  # several numbers a row


_POWER = (-1e10, 1e10)
_I4 = (0, 2**31 - 1)
_I8 = (0, 2**63 - 1024)  # the last float64 below 2**63
POINTS: dict[Kind, tuple[Point, ...]] = {
    Kind.SAMPLE: (
        Point("number", "i8", *_I8),
        Point("tick", "i8", *_I8),
        Point("round_trip_us", "i8", *_I8),
        Point("condition", "i2", 0, 255),
        Point("power_w", "f4", *_POWER, may_be_absent=True),
        Point("setpoint_w", "f4", *_POWER, may_be_absent=True),
        Point("soc", "f4", -0.05, 1.05, may_be_absent=True),
        Point("charge_limit_w", "f4", *_POWER, may_be_absent=True),
        Point("discharge_limit_w", "f4", *_POWER, may_be_absent=True),
        Point("temperature_c", "f4", -60, 300, may_be_absent=True),
        Point("faults", "i8", *_I8),
    ),
    Kind.TICK: (
        Point("tick", "i8", *_I8),
        Point("late_us", "i8", *_I8),
        Point("reason", "i2", 0, 255),
        Point("units", "i4", *_I4),
        Point("frequency_hz", "f8", 0, 1000, may_be_absent=True),
        Point("target_w", "f8", *_POWER, may_be_absent=True),
        Point("baseline_w", "f8", *_POWER, may_be_absent=True),
        Point("power_w", "f8", *_POWER, may_be_absent=True),
    ),
    Kind.EVENT: (Point("severity", "i2", 0, 255), Point("text", "text")),
    Kind.LOSS: (Point("samples", "i8", *_I8), Point("cause", "text")),
    Kind.CELL: (
        Point("voltage_v", "f4", 0, 5, per_cell=True),
        Point("current_a", "f4", -1e5, 1e5, may_be_absent=True),
        Point("temperature_c", "f4", -60, 300, per_cell=True),
    ),
}


def point(kind: Kind, name: str) -> Point:
    """The point of a kind by its name.

    Raises:
        KeyError: this kind has none of that name.
    """
    for found in POINTS[kind]:
        if found.name == name:
            return found
    raise KeyError(name)
