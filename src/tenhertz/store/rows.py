"""The rows of a site's database, in the order of its columns. Instants are UTC nanoseconds."""

from __future__ import annotations

from typing import NamedTuple


class SampleRow(NamedTuple):
    """What one unit measured at one instant."""

    number: int  # counts the samples of the site, without holes but for losses
    unit: int
    tick: int
    measured_at_ns: int
    round_trip_us: int  # the instant of measurement is known to half of this
    condition: int
    power_w: float
    setpoint_w: float
    soc: float
    charge_limit_w: float
    discharge_limit_w: float
    temperature_c: float
    faults: int


class TickRow(NamedTuple):
    """What the site saw and decided."""

    at_ns: int
    tick: int
    late_us: int
    reason: int
    units: int
    frequency_hz: float | None
    target_w: float
    baseline_w: float
    power_w: float


class EventRow(NamedTuple):
    """What happened."""

    at_ns: int
    unit: int | None
    severity: int
    text: str


class LossRow(NamedTuple):
    """Samples that were taken and are not in the database."""

    noticed_at_ns: int
    epoch: int  # of the ring; 0: lost after they were stored
    samples: int
    cause: str
