"""What the site takes for the grid's frequency, and what it does when there is none.

Pure: measurements and time come in, the frequency to answer and the share of the answer to give
come out.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple

from tenhertz.site.config import Frequency

_NS_PER_S = 1_000_000_000


class Signal(IntEnum):
    """How the frequency signal stands."""

    NONE = 0  # never had one
    FRESH = 1
    HELD = 2  # lost, and the last value still counts
    RAMPING = 3  # lost, and the answer is being taken back
    LOST = 4  # lost, and nothing is answered any more


class Answer(NamedTuple):
    """What to answer now."""

    frequency_hz: float  # NaN: none
    share: float  # of the reserve that the frequency asks for, 0..1
    signal: Signal
    stop: bool  # the configured answer to the loss is to stop


class FrequencyWatch:
    """Holds the newest frequency and judges it.

    The answer to a loss is configured: `baseline` gives up the reserve at once,
    `hold-then-baseline` holds the last value for `hold_s` and then takes the answer back over
    `ramp_s`, `stop` de-energises the units after `lost_after_ms`.
    """

    def __init__(self, config: Frequency) -> None:
        self._lowest_hz = config.lowest_hz
        self._highest_hz = config.highest_hz
        self._lost_after_ns = config.lost_after_ms * 1_000_000
        self._on_loss = config.on_loss
        self._hold_ns = round(config.hold_s * _NS_PER_S)
        self._ramp_ns = round(config.ramp_s * _NS_PER_S)
        self._frequency_hz = math.nan
        self._measured_ns = 0
        self.implausible = 0  # values that cannot be the grid's frequency

    def measured(self, frequency_hz: float, measured_ns: int) -> None:
        """Take a measurement; one outside the plausible band counts as none."""
        if self._lowest_hz <= frequency_hz <= self._highest_hz:
            self._frequency_hz = frequency_hz
            self._measured_ns = measured_ns
        else:
            self.implausible += 1

    def answer(self, now_ns: int) -> Answer:
        """What to answer at the monotonic instant `now_ns`."""
        frequency_hz = self._frequency_hz
        if math.isnan(frequency_hz):
            return Answer(math.nan, 0.0, Signal.NONE, stop=False)
        silent_ns = now_ns - self._measured_ns - self._lost_after_ns
        if silent_ns <= 0:
            return Answer(frequency_hz, 1.0, Signal.FRESH, stop=False)
        if self._on_loss == "stop":
            return Answer(math.nan, 0.0, Signal.LOST, stop=True)
        if self._on_loss == "hold-then-baseline":
            if silent_ns <= self._hold_ns:
                return Answer(frequency_hz, 1.0, Signal.HELD, stop=False)
            share = 1.0 - (silent_ns - self._hold_ns) / self._ramp_ns
            if share > 0.0:
                return Answer(frequency_hz, share, Signal.RAMPING, stop=False)
        return Answer(math.nan, 0.0, Signal.LOST, stop=False)
