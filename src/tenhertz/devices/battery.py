"""The one contract that everything above the hardware sees.

Brand, protocol, register and word order end here. Power is positive when the battery feeds the
grid; `soc` runs from 0 to 1; instants are `time.monotonic_ns()` of the measurement.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Protocol


class Reading(NamedTuple):
    """What a battery measured at one instant. NaN where the device has no such register."""

    power_w: float
    soc: float
    charge_limit_w: float  # the largest power it can take now, 0 or positive
    discharge_limit_w: float  # the largest power it can give now, 0 or positive
    charge_energy_wh: float  # what it can still take
    discharge_energy_wh: float  # what it can still give
    setpoint_in_force_w: float
    temperature_c: float  # the hottest cell
    state: float  # the device's own state code
    control_source: float  # the device's own code of who is in control
    faults: float  # the device's own fault bits
    image_counter: float  # moves while the device refreshes its measurements


class Demand(IntEnum):
    """What the site wants of a battery."""

    OBSERVE = 0  # read only; the device is left to itself
    POWER = 1  # take remote control and follow setpoints
    RELEASE = 2  # power to zero, then hand control back
    STOP = 3  # de-energise: never delayed or dropped, kept up until acknowledged


class Condition(IntEnum):
    """How a battery stands, as the site sees it."""

    ABSENT = 0  # no connection
    SILENT = 1  # connected, no valid sample yet or none for longer than it may be
    OBSERVED = 2  # sampled, not in remote control
    CONTROLLED = 3  # sampled and following setpoints
    FAULTED = 4  # the device reports a fault
    STUCK = 5  # it answers, but its values do not move any more


class Battery(Protocol):
    """One controllable battery: a state to read, and three things to ask for.

    No call waits: each notes what is wanted and sends it when the device's line is free.
    """

    @property
    def name(self) -> str:
        """What the site calls it."""
        ...

    @property
    def rated_power_w(self) -> float:
        """The power it is built for, in either direction."""
        ...

    @property
    def connected(self) -> bool:
        """Whether a session with the device is open."""
        ...

    @property
    def reading(self) -> Reading | None:
        """The newest measurement; None before the first."""
        ...

    @property
    def measured_at_ns(self) -> int:
        """The monotonic instant of `reading`."""
        ...

    def condition(self, now_ns: int) -> Condition:
        """How the battery stands at `now_ns`."""
        ...

    def sample(self, now_ns: int) -> None:
        """Ask for a measurement; counted as missed if the previous one is still out."""
        ...

    def set_power(self, power_w: float, now_ns: int) -> None:
        """Ask for a power; only the newest is sent.

        Raises:
            ValueError: not a number, or beyond what the device can express.
        """
        ...

    def demand(self, demand: Demand, now_ns: int) -> None:
        """Say whether to observe, control, release or stop; a stop said again is sent again."""
        ...
