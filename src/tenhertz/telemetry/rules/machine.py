"""Hold times and hysteresis: for each rule and entity idle, pending or active, as arrays.

The condition of a row makes an idle rule pending. A pending rule becomes active at the first row
on which the condition has lasted the hold time, and idle at a row without the condition. An active
one becomes idle at a row within the clearing limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenhertz.telemetry.rules.arrays import NEVER, Array, grown

IDLE, PENDING, ACTIVE = 0, 1, 2
NO_CELL = -1


class Finding(NamedTuple):
    """What a rule finds on rows, all of shape (rows,)."""

    value: Array  # in the unit of the limit; NaN: nothing is known
    cell: NDArray[np.intp]  # the cell that it is about
    beyond: NDArray[np.bool_]
    within: NDArray[np.bool_]  # of the clearing limit


class Machine:
    """The state of the rules of one kind of rows."""

    def __init__(self, holds_ns: Sequence[int]) -> None:
        self._holds_ns = holds_ns
        rules = len(holds_ns)
        self._state = np.zeros((rules, 0), np.uint8)
        self._since_ns = np.zeros((rules, 0), np.int64)
        self._cell = np.zeros((rules, 0), np.intp)
        self._held = [0] * rules  # how many entities are not idle

    def resize(self, entities: int) -> None:
        """Make room."""
        rules = len(self._holds_ns)
        self._state = grown(self._state, (rules, entities), IDLE)
        self._since_ns = grown(self._since_ns, (rules, entities), NEVER)
        self._cell = grown(self._cell, (rules, entities), NO_CELL)

    def held(self, rule: int, index: NDArray[np.intp]) -> NDArray[np.bool_] | None:
        """Which entities are pending or active; None: none of any."""
        if not self._held[rule]:
            return None
        found = self._state[rule].take(index) != IDLE
        return found if found.any() else None

    def is_active(self, rule: int, index: NDArray[np.intp] | int) -> Array:
        """Whether the rule is active, for each entity."""
        return np.asarray(self._state[rule, index] == ACTIVE)

    def cell(self, rule: int, index: NDArray[np.intp]) -> NDArray[np.intp]:
        """The cells that the last rows beyond the limit were about; NO_CELL: not known."""
        return np.asarray(self._cell[rule].take(index))

    def set_active(self, rule: int, index: int, *, active: bool) -> None:
        """Raise or clear without a row."""
        before = self._state[rule, index] != IDLE
        self._state[rule, index] = ACTIVE if active else IDLE
        self._cell[rule, index] = NO_CELL
        self._held[rule] += int(active) - int(before)

    def judge(
        self, rule: int, index: NDArray[np.intp], time_ns: NDArray[np.int64], found: Finding
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Go on by one row of each entity; returns which rows raised and which cleared."""
        state = self._state[rule, index]
        since = self._since_ns[rule, index]
        starts = (state == IDLE) & found.beyond
        since = np.where(starts, time_ns, since)
        pending = (state == PENDING) | starts
        raised = pending & found.beyond & (time_ns - since >= self._holds_ns[rule])
        given_up = pending & ~found.beyond & ~np.isnan(found.value)
        cleared = (state == ACTIVE) & found.within
        new = np.where(starts, PENDING, state)
        new = np.where(raised, ACTIVE, np.where(given_up | cleared, IDLE, new))
        self._held[rule] += int(np.count_nonzero(new)) - int(np.count_nonzero(state))
        self._state[rule, index] = new
        self._since_ns[rule, index] = since
        self._cell[rule, index[found.beyond]] = found.cell[found.beyond]
        return np.flatnonzero(raised), np.flatnonzero(cleared)
