"""What the battery management system allows, and when it gives up.

Pure functions of the battery's present state: power limits that shrink towards the ends of charge
and temperature, and the fault bits of docs/devices/generic-container.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

from tenhertz.sim.battery import Battery


class Fault(IntFlag):
    """Fault bits, register 126."""

    NONE = 0
    EMERGENCY_STOP = 1 << 0
    OVER_TEMPERATURE = 1 << 1
    UNDER_TEMPERATURE = 1 << 2
    CELL_OVER_VOLTAGE = 1 << 3
    CELL_UNDER_VOLTAGE = 1 << 4
    GRID_OUT_OF_RANGE = 1 << 5
    INTERNAL_COMMUNICATION = 1 << 6


BATTERY_FAULTS = (
    Fault.OVER_TEMPERATURE
    | Fault.UNDER_TEMPERATURE
    | Fault.CELL_OVER_VOLTAGE
    | Fault.CELL_UNDER_VOLTAGE
)


@dataclass(frozen=True)
class BmsParameters:
    """Where limits begin and where they reach zero. SOC is 0 to 1, temperatures in °C."""

    charge_derates_from_soc: float = 0.90
    charge_ends_at_soc: float = 1.0
    discharge_derates_from_soc: float = 0.10
    discharge_ends_at_soc: float = 0.0
    hot_derates_from_c: float = 45.0
    hot_ends_at_c: float = 55.0
    charge_cold_derates_from_c: float = 5.0
    charge_cold_ends_at_c: float = 0.0
    discharge_cold_derates_from_c: float = -10.0
    discharge_cold_ends_at_c: float = -20.0
    over_temperature_c: float = 60.0
    under_temperature_c: float = -30.0
    cell_over_voltage_v: float = 3.65
    cell_under_voltage_v: float = 2.50


@dataclass(frozen=True)
class Allowed:
    """The largest power now, as fractions of the rated power, 0 to 1."""

    charge: float
    discharge: float


def _share(value: float, full_at: float, zero_at: float) -> float:
    """One at `full_at` and beyond, falling linearly to nothing at `zero_at`."""
    if full_at == zero_at:
        raise ValueError("a limit needs a stretch to fall over: full_at equals zero_at")
    return min(max((value - zero_at) / (full_at - zero_at), 0.0), 1.0)


def allowed(battery: Battery, p: BmsParameters) -> Allowed:
    """What the battery may take and give now: the strictest of charge and temperature."""
    soc = battery.soc
    hot = _share(battery.hottest_c, p.hot_derates_from_c, p.hot_ends_at_c)
    cold_c = battery.coldest_c
    return Allowed(
        charge=min(
            hot,
            _share(soc, p.charge_derates_from_soc, p.charge_ends_at_soc),
            _share(cold_c, p.charge_cold_derates_from_c, p.charge_cold_ends_at_c),
        ),
        discharge=min(
            hot,
            _share(soc, p.discharge_derates_from_soc, p.discharge_ends_at_soc),
            _share(cold_c, p.discharge_cold_derates_from_c, p.discharge_cold_ends_at_c),
        ),
    )


def faults(battery: Battery, p: BmsParameters) -> Fault:
    """The battery faults whose cause is present now."""
    found = Fault.NONE
    if battery.hottest_c >= p.over_temperature_c:
        found |= Fault.OVER_TEMPERATURE
    if battery.coldest_c <= p.under_temperature_c:
        found |= Fault.UNDER_TEMPERATURE
    cell_v = battery.cell_voltage_v
    if cell_v + battery.parameters.cell_spread_v >= p.cell_over_voltage_v:
        found |= Fault.CELL_OVER_VOLTAGE
    if cell_v - battery.parameters.cell_spread_v <= p.cell_under_voltage_v:
        found |= Fault.CELL_UNDER_VOLTAGE
    return found
