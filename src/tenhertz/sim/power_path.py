"""How a converter's power follows its orders: delay, limits, ramp, first-order lag.

Solved exactly between events, so the result does not depend on how often it is asked. Knows
nothing of states, watchdogs or batteries: those decide what is ordered and what is allowed.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

NS = 1_000_000_000

_NEGLIGIBLE = 1e-9  # of the rated power: nearer than this counts as arrived


@dataclass(frozen=True)
class PowerPathParameters:
    """What limits the converter's speed.

    `ramp_per_s` is a fraction of the rated power per second; a `lag_s` of 0 means no lag.
    """

    rated_power_w: float = 200_000.0
    delay_s: float = 0.05
    ramp_per_s: float = 1.0
    lag_s: float = 0.1

    def __post_init__(self) -> None:
        if self.rated_power_w <= 0 or self.ramp_per_s <= 0:
            raise ValueError("rated_power_w and ramp_per_s must be above 0")
        if self.delay_s < 0 or self.lag_s < 0:
            raise ValueError("delay_s and lag_s must not be negative")


@dataclass(frozen=True)
class Delivered:
    """Energy over one stretch of time, in watt-seconds at the grid side, both positive."""

    discharged_ws: float
    charged_ws: float


class PowerPath:
    """The power of one converter over time.

    `power_w` is positive when feeding the grid and holds at the instant last advanced to.
    """

    def __init__(self, parameters: PowerPathParameters, now_ns: int) -> None:
        self.parameters = parameters
        self.power_w = 0.0
        self._now_ns = now_ns
        self._ordered_w = 0.0  # the order that has come through the delay
        self._ramped_w = 0.0  # the same after limits and ramp: what the lag follows
        self._pending: deque[tuple[int, float]] = deque()
        self._last_order_w = 0.0

    def order(self, now_ns: int, power_w: float) -> None:
        """Ask for `power_w`; it takes effect after the pure delay."""
        if power_w == self._last_order_w:
            return
        self._last_order_w = power_w
        self._pending.append((now_ns + int(self.parameters.delay_s * NS), power_w))

    def trip(self) -> None:
        """Take the power to zero at once and forget every order."""
        self._pending.clear()
        self.power_w = self._ramped_w = self._ordered_w = self._last_order_w = 0.0

    def advance(self, now_ns: int, low_w: float, high_w: float) -> Delivered:
        """Follow the orders until `now_ns` within `low_w` to `high_w`; return the energies."""
        discharged = charged = 0.0
        while self._now_ns < now_ns:
            while self._pending and self._pending[0][0] <= self._now_ns:
                self._ordered_w = self._pending.popleft()[1]
            end_ns = min(now_ns, self._pending[0][0]) if self._pending else now_ns
            target = min(max(self._ordered_w, low_w), high_w)
            energy_ws = self._follow(target, (end_ns - self._now_ns) / NS)
            if energy_ws >= 0:
                discharged += energy_ws
            else:
                charged -= energy_ws
            self._now_ns = end_ns
        while self._pending and self._pending[0][0] <= now_ns:
            self._ordered_w = self._pending.popleft()[1]
        return Delivered(discharged, charged)

    def _follow(self, target_w: float, span_s: float) -> float:
        """Move towards `target_w` for `span_s`; return the energy in watt-seconds."""
        ramp = self.parameters.ramp_per_s * self.parameters.rated_power_w
        gap = target_w - self._ramped_w
        ramping_s = min(abs(gap) / ramp, span_s)
        energy_ws = 0.0
        if ramping_s > 0:
            energy_ws += self._lag(math.copysign(ramp, gap), ramping_s)
        if ramping_s < span_s:
            self._ramped_w = target_w
            energy_ws += self._lag(0.0, span_s - ramping_s)
        return energy_ws

    def _lag(self, slope_w_per_s: float, span_s: float) -> float:
        """Follow a straight line through the first-order lag: the closed solution."""
        lag = self.parameters.lag_s
        start = self._ramped_w
        end = start + slope_w_per_s * span_s
        self._ramped_w = end
        if lag == 0:
            self.power_w = end
            return (start + end) / 2 * span_s
        behind = self.power_w - start + slope_w_per_s * lag
        decay = math.exp(-span_s / lag)
        energy_ws = (
            (start + end) / 2 * span_s - slope_w_per_s * lag * span_s + behind * lag * (1 - decay)
        )
        self.power_w = end - slope_w_per_s * lag + behind * decay
        if abs(self.power_w - end) < _NEGLIGIBLE * self.parameters.rated_power_w:
            self.power_w = end
        return energy_ws
