"""What happens when within one period: the order of work that the control process repeats.

    0 %    units are asked for a sample          (spread over slots where there are many)
    25 %   the meter is asked for the frequency  (so that it is fresh when it is decided by)
    50 %   the image is closed, powers are decided, records leave, setpoints are written

Sampling comes first and at a fixed instant, so that the spacing of samples does not depend on
whether a setpoint was written. A unit whose line is still busy gets its turn when it is free.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Work = Literal["tick", "sample", "meter", "decide", "write"]

MOST_SLOTS = 20


class Item(NamedTuple):
    """One piece of work, `offset_ns` after the start of a period."""

    offset_ns: int
    work: Work
    slot: int


def slots_for(units: int, spread_over: int) -> int:
    """In how many slots to ask `units` units for samples."""
    return max(1, min(MOST_SLOTS, -(-units // spread_over)))


def program(period_ns: int, slots: int, decide_after: float) -> list[Item]:
    """The work of one period, in order. Slot writes that reach past the end start the next one."""
    decide_ns = min(round(period_ns * decide_after), period_ns - 1)
    step_ns = period_ns // slots
    items = [Item(0, "tick", 0)]
    items += [Item(slot * step_ns, "sample", slot) for slot in range(slots)]
    items.append(Item(decide_ns // 2, "meter", 0))
    items.append(Item(decide_ns, "decide", 0))
    items += [
        Item((decide_ns + slot * step_ns) % period_ns, "write", slot) for slot in range(slots)
    ]
    order = {"tick": 0, "sample": 1, "meter": 2, "decide": 3, "write": 4}
    return sorted(items, key=lambda item: (item.offset_ns, order[item.work]))
