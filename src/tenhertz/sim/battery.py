"""The battery behind the converter: energy, voltage, heat, lifetime counters.

A single well-mixed store. It takes and gives whatever it is told to; what it should be told is the
business of `bms`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

# Rest voltage of a lithium iron phosphate cell by state of charge: flat, with steep ends.
_CELL_SOC = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1.0)
_CELL_V = (2.80, 3.05, 3.15, 3.22, 3.27, 3.29, 3.32, 3.34, 3.36, 3.50)

_WS_PER_WH = 3600.0


@dataclass(frozen=True)
class BatteryParameters:
    """Size and losses. Efficiencies are one way, between the grid side and the cells."""

    rated_energy_wh: float = 400_000.0
    soc: float = 0.5
    soh: float = 1.0
    charge_efficiency: float = 0.97
    discharge_efficiency: float = 0.97
    cells_in_series: int = 400
    cell_resistance_v: float = 0.05  # volts lost in a cell at a rate of one C
    ambient_c: float = 20.0
    heat_capacity_j_per_k_wh: float = 25.0
    cooling_w_per_k_wh: float = 0.0015
    cell_spread_c: float = 1.0  # hottest and coldest cell, each this far from the mean
    cell_spread_v: float = 0.01

    def __post_init__(self) -> None:
        if self.rated_energy_wh <= 0:
            raise ValueError("rated_energy_wh must be above 0")
        if not 0 <= self.soc <= 1 or not 0 < self.soh <= 1:
            raise ValueError("soc must be from 0 to 1, and soh above 0 and up to 1")
        if not (0 < self.charge_efficiency <= 1 and 0 < self.discharge_efficiency <= 1):
            raise ValueError("efficiencies must be above 0 and at most 1")


class Battery:
    """Energy and heat of one battery.

    `lifetime_*_wh` count the energy at the grid side, as a meter there would.
    """

    def __init__(self, parameters: BatteryParameters) -> None:
        self.parameters = parameters
        self.usable_wh = parameters.rated_energy_wh * parameters.soh
        self.stored_wh = parameters.soc * self.usable_wh
        self.temperature_c = parameters.ambient_c
        self.lifetime_charged_wh = 0.0
        self.lifetime_discharged_wh = 0.0
        self._c_rate = 0.0
        self._dc_power_w = 0.0

    @property
    def soc(self) -> float:
        """State of charge, 0 to 1."""
        return self.stored_wh / self.usable_wh

    def move(self, discharged_ws: float, charged_ws: float, span_s: float) -> bool:
        """Book what went through the grid side in `span_s`; return whether an end was hit."""
        p = self.parameters
        out_ws = discharged_ws / p.discharge_efficiency
        in_ws = charged_ws * p.charge_efficiency
        self.lifetime_discharged_wh += discharged_ws / _WS_PER_WH
        self.lifetime_charged_wh += charged_ws / _WS_PER_WH
        stored = self.stored_wh + (in_ws - out_ws) / _WS_PER_WH
        self.stored_wh = min(max(stored, 0.0), self.usable_wh)
        loss_ws = (out_ws - discharged_ws) + (charged_ws - in_ws)
        self._warm(loss_ws, span_s)
        if span_s > 0:
            self._dc_power_w = (out_ws - in_ws) / span_s
            self._c_rate = self._dc_power_w / self.usable_wh
        return stored != self.stored_wh

    def _warm(self, loss_ws: float, span_s: float) -> None:
        """Heat with the losses and cool towards the surroundings: exact for a steady loss."""
        p = self.parameters
        if span_s <= 0:
            return
        cooling = p.cooling_w_per_k_wh * p.rated_energy_wh
        rest_c = p.ambient_c + loss_ws / span_s / cooling
        time_constant_s = p.heat_capacity_j_per_k_wh / p.cooling_w_per_k_wh
        self.temperature_c = rest_c + (self.temperature_c - rest_c) * math.exp(
            -span_s / time_constant_s
        )

    @property
    def cell_voltage_v(self) -> float:
        """Mean cell voltage under the present load, volts."""
        soc = self.soc
        i = min(bisect_right(_CELL_SOC, soc), len(_CELL_SOC) - 1)
        share = (soc - _CELL_SOC[i - 1]) / (_CELL_SOC[i] - _CELL_SOC[i - 1])
        rest_v = _CELL_V[i - 1] + share * (_CELL_V[i] - _CELL_V[i - 1])
        return rest_v - self.parameters.cell_resistance_v * self._c_rate

    @property
    def dc_voltage_v(self) -> float:
        """Voltage of the whole string, volts."""
        return self.cell_voltage_v * self.parameters.cells_in_series

    @property
    def dc_current_a(self) -> float:
        """Current of the string, amperes, positive when discharging."""
        return self._dc_power_w / self.dc_voltage_v

    @property
    def hottest_c(self) -> float:
        """Temperature of the hottest cell, degrees Celsius."""
        return self.temperature_c + self.parameters.cell_spread_c

    @property
    def coldest_c(self) -> float:
        """Temperature of the coldest cell, degrees Celsius."""
        return self.temperature_c - self.parameters.cell_spread_c
