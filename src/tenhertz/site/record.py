"""The fixed-size records that pass through the ring: samples, ticks, and events.

A sample is what one unit measured at one instant; a tick is what the site decided; an event is
something that happened, in words. All carry UTC nanoseconds of their instant.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

KIND_SAMPLE = 1
KIND_TICK = 2

_LARGEST_SINGLE = 3.4028234663852886e38

BODY_BYTES = 72
EVENT_BYTES = 240

_SAMPLE = struct.Struct("<BBHIQqQddffff4xI")
_TICK = struct.Struct("<BBHIQqQdddd8x")
_EVENT = struct.Struct("<qHBx")
assert _SAMPLE.size == _TICK.size == BODY_BYTES


class Sample(NamedTuple):
    """One unit at one instant."""

    unit: int  # index in the site's configuration
    condition: int  # tenhertz.devices.Condition
    round_trip_us: int  # the instant of measurement is known to half of this
    tick: int
    measured_at_ns: int  # UTC
    number: int  # counts the site's samples since the ring was made
    power_w: float
    setpoint_w: float  # NaN: the unit followed none
    soc: float
    charge_limit_w: float
    discharge_limit_w: float
    temperature_c: float
    faults: int


class Tick(NamedTuple):
    """What the site saw and decided at one tick."""

    reason: int  # tenhertz.site.proposal.Reason
    units: int  # units under control
    late_us: int  # how late the tick ran
    tick: int
    at_ns: int  # UTC
    number: int
    frequency_hz: float  # NaN: none
    target_w: float
    baseline_w: float
    power_w: float  # what the units delivered, by their newest samples


class Event(NamedTuple):
    """Something that happened."""

    at_ns: int  # UTC
    unit: int  # 65535: the site itself
    severity: int  # 0 info, 1 warning, 2 error
    text: str


SITE = 0xFFFF


def pack_sample(sample: Sample) -> bytes:
    """A sample as a ring body; what a mad device measures beyond the field's range, it bounds."""
    try:
        return _SAMPLE.pack(KIND_SAMPLE, sample[1], sample[0], *sample[2:])
    except (OverflowError, struct.error):
        bounded = [_within_single(value) for value in sample[8:12]]
        faults = sample.faults & 0xFFFF_FFFF
        return _SAMPLE.pack(KIND_SAMPLE, sample[1], sample[0], *sample[2:8], *bounded, faults)


def _within_single(value: float) -> float:
    """`value`, or infinity where single precision cannot hold it."""
    return math.copysign(math.inf, value) if abs(value) > _LARGEST_SINGLE else value


def pack_tick(tick: Tick) -> bytes:
    """A tick as a ring body."""
    return _TICK.pack(KIND_TICK, *tick)


def unpack(body: bytes) -> Sample | Tick:
    """A ring body as what it is.

    Raises:
        ValueError: a kind that this version does not know.
    """
    kind = body[0]
    if kind == KIND_SAMPLE:
        _, condition, unit, rtt, tick, at, number, *rest = _SAMPLE.unpack_from(body)
        return Sample(unit, condition, rtt, tick, at, number, *rest)
    if kind == KIND_TICK:
        _, reason, units, late, tick, at, number, *rest = _TICK.unpack_from(body)
        return Tick(reason, units, late, tick, at, number, *rest)
    raise ValueError(f"a ring record of unknown kind {kind}")


def pack_event(event: Event) -> bytes:
    """An event as a ring body; a text that is too long loses its end, marked with '…'."""
    text = event.text.encode(errors="replace")  # whatever a system call named
    room = EVENT_BYTES - _EVENT.size
    if len(text) > room:
        text = text[: room - 3].decode(errors="ignore").encode() + "…".encode()
    return (_EVENT.pack(event.at_ns, event.unit, event.severity) + text).ljust(EVENT_BYTES, b"\0")


def unpack_event(body: bytes) -> Event:
    """A ring body as an event."""
    at_ns, unit, severity = _EVENT.unpack_from(body)
    return Event(at_ns, unit, severity, body[_EVENT.size :].rstrip(b"\0").decode(errors="replace"))
