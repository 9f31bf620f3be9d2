"""Who decides the site's power, and why it is what it is.

Each party proposes: a power it wants, a power it adds, room that must stay free, or bounds. The
proposals are heard in the order of their reasons, the most important first, and each narrows what
the next may ask. An outside request is one more proposal and meets the same limits.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple


class Reason(IntEnum):
    """Why the site's power is what it is; the most important first."""

    STOP = 0  # a stop holds
    PROTECTION = 1  # a limit of the connection or of the units
    TEST = 2  # a test has the site
    RESERVE = 3  # a reserve contract
    PLAN = 4  # the baseline of the plan
    WISH = 5  # somebody local
    IDLE = 6  # nobody asks for anything


class Proposal(NamedTuple):
    """What one party asks for. Powers in W, positive feeds the grid."""

    reason: Reason
    target_w: float = math.nan  # the level it wants; NaN: it leaves the level to others
    added_w: float = 0.0  # what it adds on top of the level, wherever that is
    room_up_w: float = 0.0  # what must stay free above the level
    room_down_w: float = 0.0
    lower_w: float = -math.inf  # what nobody may go below
    upper_w: float = math.inf


class Decision(NamedTuple):
    """What follows from the proposals."""

    power_w: float
    baseline_w: float  # the level without what is added
    reason: Reason  # whose power it is
    limited_by: Reason | None  # who cut it short, if anybody did
    short_w: float  # how much of the wanted power was cut


def decide(proposals: list[Proposal]) -> Decision:
    """Hear the proposals, the most important first.

    A stop yields zero whatever else is asked. Where limits contradict each other, the more
    important one holds.
    """
    room = _Room()
    added = 0.0
    level = wanted_level = math.nan
    reason = Reason.IDLE
    limited: Reason | None = None
    for p in sorted(proposals, key=lambda proposal: proposal.reason):
        if p.reason is Reason.STOP:
            return Decision(0.0, 0.0, Reason.STOP, None, 0.0)
        room.bound(p)
        if math.isnan(level) and not math.isnan(p.target_w):
            wanted_level = p.target_w
            level, limited = room.level(p.target_w)
            reason = min(reason, p.reason)
        if p.added_w or p.room_up_w or p.room_down_w:
            added += p.added_w
            room.reserve(p)
            reason = min(reason, p.reason)
    if math.isnan(level):
        level, _ = room.level(0.0)
        wanted_level = level
    power = _clip(level + added, room.lower, room.upper)
    if power != level + added:
        limited = room.upper_by if power < level + added else room.lower_by
    return Decision(power, level, reason, limited, wanted_level + added - power)


class _Room:
    """What the proposals heard so far leave to the next, and who took the rest."""

    def __init__(self) -> None:
        self.lower, self.upper = -math.inf, math.inf
        self.lower_by: Reason | None = None
        self.upper_by: Reason | None = None
        self._up = self._down = 0.0
        self._reserved_by: Reason | None = None

    def bound(self, p: Proposal) -> None:
        lower = min(max(self.lower, p.lower_w), self.upper)
        upper = max(min(self.upper, p.upper_w), self.lower)
        if lower > self.lower:
            self.lower, self.lower_by = lower, p.reason
        if upper < self.upper:
            self.upper, self.upper_by = upper, p.reason

    def reserve(self, p: Proposal) -> None:
        self._up += p.room_up_w
        self._down += p.room_down_w
        if self._reserved_by is None and (p.room_up_w or p.room_down_w):
            self._reserved_by = p.reason

    def level(self, target: float) -> tuple[float, Reason | None]:
        """The level nearest to `target` that leaves the reserved room, and who kept it off.

        For the sake of room a level is only ever taken back towards zero. A battery that is too
        full for its reserve must not discharge by itself: refilling is the business of the plan
        and of energy management. What cannot be delivered then is told when it is asked for.
        """
        most_up = max(self.upper - self._up, 0.0)
        most_down = min(self.lower + self._down, 0.0)
        level = _clip(target, most_down, most_up)
        level = _clip(level, self.lower, self.upper)
        if level == target:
            return level, None
        if target > self.upper:
            return level, self.upper_by
        return level, self.lower_by if target < self.lower else self._reserved_by


def _clip(value: float, lower: float, upper: float) -> float:
    """`value` within the bounds, which must not contradict each other."""
    return min(max(value, lower), upper)
