"""Plans: what was sold for which market time unit.

Immutable data with a look-up by time. Not here: how provision starts and ends at the borders of
a plan (`hand_over`), and how much may be sold (`capacity`).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise

import msgspec

NS_PER_S = 1_000_000_000


def _utc(t_ns: int) -> str:
    return datetime.fromtimestamp(t_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class PlanEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is owed from `start_ns` up to, and without, `end_ns` (UTC nanoseconds).

    `capacities_w` maps a product id to the capacity sold; `baseline_w` is the power without any
    activation, positive when it feeds the grid.

    Raises:
        ValueError: the end is not after the start, or a capacity is negative or not finite, or
            the baseline is not finite.
    """

    start_ns: int
    end_ns: int
    capacities_w: dict[str, float]
    baseline_w: float = 0.0

    def __post_init__(self) -> None:
        if self.end_ns <= self.start_ns:
            raise ValueError(
                f"the plan from {_utc(self.start_ns)} ends at {_utc(self.end_ns)}: "
                "the end must come after the start"
            )
        for product_id, capacity_w in self.capacities_w.items():
            if not (math.isfinite(capacity_w) and capacity_w >= 0.0):
                raise ValueError(
                    f"the plan from {_utc(self.start_ns)} has {capacity_w} W of {product_id}: "
                    "a capacity is a number of at least 0, for either direction"
                )
        if not math.isfinite(self.baseline_w):
            raise ValueError(
                f"the plan from {_utc(self.start_ns)} has a baseline of {self.baseline_w} W"
            )


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Entries in order of time. Gaps are allowed: in a gap nothing is owed. Overlaps are not.

    Raises:
        ValueError: an entry starts before its predecessor ends; entries out of order do too
            (`schedule_of` sorts them).
    """

    entries: tuple[PlanEntry, ...] = ()

    def __post_init__(self) -> None:
        for earlier, later in pairwise(self.entries):
            if later.start_ns < earlier.end_ns:
                raise ValueError(
                    f"the plan from {_utc(later.start_ns)} starts before the one from "
                    f"{_utc(earlier.start_ns)} ends at {_utc(earlier.end_ns)}"
                )

    def at(self, t_ns: int) -> PlanEntry | None:
        """The entry that holds at `t_ns`, or None in a gap; O(log n)."""
        index = bisect_right(self.entries, t_ns, key=_start_of) - 1
        if index < 0 or t_ns >= self.entries[index].end_ns:
            return None
        return self.entries[index]

    def next_after(self, t_ns: int) -> PlanEntry | None:
        """The first entry that starts after `t_ns`, or None; O(log n)."""
        index = bisect_right(self.entries, t_ns, key=_start_of)
        return self.entries[index] if index < len(self.entries) else None

    def since(self, t_ns: int) -> Schedule:
        """The part that is not over at `t_ns`: what a site still needs to keep."""
        return Schedule(tuple(entry for entry in self.entries if entry.end_ns > t_ns))


def schedule_of(entries: Iterable[PlanEntry]) -> Schedule:
    """A schedule of entries in any order.

    Raises:
        ValueError: two entries overlap.
    """
    return Schedule(tuple(sorted(entries, key=_start_of)))


def _start_of(entry: PlanEntry) -> int:
    return entry.start_ns
