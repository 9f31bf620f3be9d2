"""Blocks of Modbus holding registers, and the container's, laid out as its page prints them.

Bytes in the order of the wire and plain integers; no sockets and no Modbus library.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

from tenhertz.sim.container import Command, Container, Mode, Source


class Refusal(IntEnum):
    """Modbus exception codes these devices answer with."""

    FUNCTION = 1
    ADDRESS = 2
    VALUE = 3
    DEVICE = 4
    NO_SUCH_UNIT = 11


class Registers(Protocol):
    """A device as its Modbus server sees it."""

    def read(self, now_ns: int, address: int, count: int) -> bytes | Refusal:
        """Return the `count` registers from `address` as wire bytes, or why not."""
        ...

    def write(self, now_ns: int, address: int, values: Sequence[int]) -> Refusal | None:
        """Take `values` from `address` on; return why not, or None."""
        ...


def cut(start: int, block: bytes, address: int, count: int) -> bytes | None:
    """The registers asked for, if all lie in the block that begins at `start`; else None."""
    first = (address - start) * 2
    last = first + count * 2
    return block[first:last] if 0 <= first < last <= len(block) else None


IDENTITY_AT = 0
MEASUREMENTS_AT = 100
CONTROL_AT = 200

SETPOINT, COMMAND, SOURCE, MODE, WATCHDOG = 200, 202, 203, 204, 205

_IDENTITY = struct.Struct(">32s32s32s16sII")
_MEASUREMENTS = struct.Struct(">HHHHiiHHhHHIIIIhhiHIIQQHH")
_CONTROL = struct.Struct(">iHHHH")

_RANGES = {
    COMMAND: range(1, 5),
    SOURCE: range(2),
    MODE: (0, 3),
    WATCHDOG: range(10, 601),
}


def _i16(value: float) -> int:
    return min(max(round(value), -0x8000), 0x7FFF)


def _u16(value: float) -> int:
    return min(max(round(value), 0), 0xFFFF)


def _u32(value: float) -> int:
    return min(max(round(value), 0), 0xFFFF_FFFF)


class ContainerRegisters:
    """A container behind its register map."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.image_counter = 0
        self.frozen = False
        parameters = container.parameters
        self._identity = _IDENTITY.pack(
            b"tenhertz",
            b"generic container",
            parameters.name.encode("ascii"),
            b"sim-1",
            _u32(container.rated_power_w),
            _u32(parameters.battery.rated_energy_wh),
        )
        self._measurements = self._measure()

    def refresh(self, now_ns: int) -> None:
        """Take a new image of the measurements, unless they are frozen."""
        self.container.advance(now_ns)
        if not self.frozen:
            self.image_counter = (self.image_counter + 1) & 0xFFFF
            self._measurements = self._measure()

    def read(self, now_ns: int, address: int, count: int) -> bytes | Refusal:
        """Answer from the block that holds every register asked for; see `Registers`."""
        found = cut(MEASUREMENTS_AT, self._measurements, address, count)
        if found is None:
            found = cut(IDENTITY_AT, self._identity, address, count)
        if found is None:
            found = cut(CONTROL_AT, self._control(), address, count)
        return Refusal.ADDRESS if found is None else found

    def write(self, now_ns: int, address: int, values: Sequence[int]) -> Refusal | None:
        """Check every value first, then take all of them; see `Registers`."""
        last = address + len(values) - 1
        if not CONTROL_AT <= address <= last <= WATCHDOG:
            known = cut(MEASUREMENTS_AT, self._measurements, address, len(values)) or cut(
                IDENTITY_AT, self._identity, address, len(values)
            )
            return Refusal.DEVICE if known else Refusal.ADDRESS
        if address == SETPOINT + 1 or last == SETPOINT:
            return Refusal.DEVICE  # half a setpoint
        written = dict(enumerate(values, address))
        for register, allowed in _RANGES.items():
            if register in written and written[register] not in allowed:
                return Refusal.VALUE
        self.container.advance(now_ns)
        return self._take(written)

    def _take(self, written: dict[int, int]) -> Refusal | None:
        """Apply settings before the command and the setpoint, which depend on them."""
        container = self.container
        if WATCHDOG in written:
            container.watchdog_tenths = written[WATCHDOG]
        if MODE in written:
            container.write_mode(Mode(written[MODE]))
        if SOURCE in written:
            container.write_source(Source(written[SOURCE]))
        if SETPOINT in written:
            raw = written[SETPOINT] << 16 | written[SETPOINT + 1]
            container.write_setpoint(raw - (1 << 32) if raw >> 31 else raw)
        if COMMAND in written and not container.write_command(Command(written[COMMAND])):
            return Refusal.DEVICE
        return None

    def _control(self) -> bytes:
        c = self.container
        return _CONTROL.pack(c.setpoint_w, 0, c.source, c.mode, c.watchdog_tenths)

    def _measure(self) -> bytes:
        c = self.container
        battery = c.battery
        cell_v, spread_v = battery.cell_voltage_v, battery.parameters.cell_spread_v
        return _MEASUREMENTS.pack(
            self.image_counter,
            c.pcs_state,
            c.bms_state,
            c.source,
            round(c.path.power_w),
            0,  # reactive power: this converter makes none
            _u16(c.frequency_hz * 1000),
            _u16(battery.dc_voltage_v * 10),
            _i16(battery.dc_current_a * 10),
            _u16(battery.soc * 10_000),
            _u16(battery.parameters.soh * 1000),
            _u32(c.charge_limit_w),
            _u32(c.discharge_limit_w),
            _u32(battery.usable_wh - battery.stored_wh),
            _u32(battery.stored_wh),
            _i16(battery.hottest_c * 10),
            _i16(battery.coldest_c * 10),
            round(c.setpoint_in_force_w),
            _u16(c.watchdog_left_s * 10),
            c.faults,
            c.warnings,
            int(battery.lifetime_charged_wh),
            int(battery.lifetime_discharged_wh),
            _u16((cell_v + spread_v) * 1000),
            _u16((cell_v - spread_v) * 1000),
        )
