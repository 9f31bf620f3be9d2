"""Faults on command: which are on, until when, and what they do to a reply's bytes.

Knows no sockets: the Modbus server asks what holds now, the fault door sets and clears.
"""

from __future__ import annotations

import math
import random
from enum import StrEnum

import msgspec

NS = 1_000_000_000


class Kind(StrEnum):
    """What can go wrong."""

    DROP = "drop"
    STALL = "stall"
    GARBLE = "garble"
    REJECT = "reject"
    CLAMP = "clamp"
    FREEZE = "freeze"
    LATE = "late"
    WRONG_UNIT = "wrong-unit"


OF_CONTAINERS_ONLY = frozenset({Kind.REJECT, Kind.CLAMP})


class FaultOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault as ordered.

    `seconds` 0 means until cleared (for `drop`: close the sessions once). `ms` is the delay of
    `late`, `fraction` of the rated power the cap of `clamp`; with `hold_power`, a `freeze` also
    stops the true power from following the setpoint.
    """

    kind: Kind
    seconds: float = 0.0
    ms: float = 500.0
    fraction: float = 0.5
    hold_power: bool = False

    def complaint(self) -> str | None:
        """What is wrong with the numbers, or None."""
        if not (math.isfinite(self.seconds) and self.seconds >= 0):
            return "seconds must be 0 or more"
        if not (math.isfinite(self.ms) and 0 <= self.ms <= 600_000):
            return "ms must be from 0 to 600000"
        if not 0 <= self.fraction <= 1:
            return "fraction must be from 0 to 1"
        return None


class Faults:
    """The faults of one device."""

    def __init__(self) -> None:
        self._on: dict[Kind, tuple[FaultOrder, int | None]] = {}

    def set(self, order: FaultOrder, now_ns: int) -> None:
        """Begin a fault; a second order of the same kind replaces the first."""
        ends_ns = now_ns + int(order.seconds * NS) if order.seconds else None
        self._on[order.kind] = (order, ends_ns)

    def clear(self) -> None:
        """End all faults."""
        self._on.clear()

    def active(self, kind: Kind, now_ns: int) -> FaultOrder | None:
        """The fault of this kind that holds now."""
        if not self._on or kind not in self._on:
            return None
        order, ends_ns = self._on[kind]
        if ends_ns is not None and now_ns >= ends_ns:
            del self._on[kind]
            return None
        return order

    def kinds(self, now_ns: int) -> list[Kind]:
        """All that hold now."""
        return [kind for kind in Kind if self.active(kind, now_ns)]


def garbled(frame: bytes, chance: random.Random) -> bytes:
    """A Modbus TCP reply, spoilt in one of the ways seen in the field."""
    noise = chance.randbytes(chance.randint(1, 24))
    header = bytearray(frame)
    way = chance.randrange(6)
    if way == 0:
        return noise
    if way == 1:
        return noise + frame  # unsolicited bytes before the reply
    if way == 2:
        return frame + noise  # and after it
    if way == 3:
        header[0] ^= 0x5A  # another transaction
    elif way == 4:
        header[3] ^= 0x01  # another protocol
    else:
        header[5] = (header[5] + chance.randint(1, 40)) & 0xFF  # a length that is not so
    return bytes(header)
