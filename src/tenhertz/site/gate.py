"""The setpoint gate: which of ten setpoints a second are worth a write.

A setpoint passes when it differs enough from the one last *written*, or when that one is old enough
for its lease to need renewal. Comparing with what was written, never with what was asked, lets slow
ramps through: their small steps add up until they pass. Zero always passes at once. A stop does not
come here at all: it has its own way to the device.
"""

from __future__ import annotations

import math


class SetpointGate:
    """The gate of one unit. Powers in W, instants in monotonic ns."""

    __slots__ = ("_delta_w", "_refresh_ns", "_written_ns", "_written_w", "suppressed")

    def __init__(self, delta_w: float, refresh_ns: int) -> None:
        self._delta_w = delta_w
        self._refresh_ns = refresh_ns
        self._written_w = math.nan
        self._written_ns = 0
        self.suppressed = 0  # writes that were not worth it

    def passes(self, power_w: float, now_ns: int) -> bool:
        """Whether to write `power_w` now; if so, it is taken as written."""
        written_w = self._written_w
        if (
            abs(power_w - written_w) >= self._delta_w > 0.0
            or now_ns - self._written_ns >= self._refresh_ns
            or (power_w == 0.0 and written_w != 0.0)
            or (self._delta_w == 0.0 and power_w != written_w)
            or written_w != written_w  # NaN: nothing was written yet
        ):
            self._written_w = power_w
            self._written_ns = now_ns
            return True
        self.suppressed += 1
        return False

    def forget(self) -> None:
        """The device may hold another value now (reconnected, stopped): the next one passes."""
        self._written_w = math.nan


class Freshness:
    """Drops inbound signals that are too old, from the future, or expired, and counts them."""

    __slots__ = ("_largest_age_ns", "dropped")

    def __init__(self, largest_age_ns: int = 2_000_000_000) -> None:
        self._largest_age_ns = largest_age_ns
        self.dropped = 0

    def accepts(self, issued_ns: int, expires_ns: int, utc_ns: int) -> bool:
        """Whether a signal issued and expiring at these UTC instants may count at `utc_ns`."""
        age_ns = utc_ns - issued_ns
        if -self._largest_age_ns <= age_ns <= self._largest_age_ns and expires_ns > utc_ns:
            return True
        self.dropped += 1
        return False
