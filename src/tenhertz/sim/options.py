"""What a simulated site can be told, and whether it can be followed. Starts nothing."""

from __future__ import annotations

from dataclasses import dataclass

from tenhertz.errors import UserError

MOST_UNITS = 999  # the fault doors begin 1000 ports above the meter
_HIGHEST_BASE_PORT = 65_535 - 1000 - MOST_UNITS


@dataclass(frozen=True)
class SiteOptions:
    """What `tenhertz sim site` can be told; see its --help for each."""

    units: int = 12
    host: str = "127.0.0.1"
    base_port: int = 15020
    power_w: float = 200_000.0
    energy_wh: float = 400_000.0
    soc: float = 0.5
    latency_s: float = 0.0
    delay_s: float = 0.05
    lag_s: float = 0.1
    ramp_per_s: float = 1.0
    recording: str = "nordic-2024-04-08"
    frequency_hz: float | None = None
    start_s: float = 0.0
    speed: float = 1.0
    hold: bool = False
    processes: int | None = None
    single_client: bool = False

    def check(self) -> None:
        """Raise `UserError` for the first option that cannot be followed."""
        self._check_ports()
        for name, value in (
            ("--power-kw", self.power_w),
            ("--energy-kwh", self.energy_wh),
            ("--ramp-per-s", self.ramp_per_s),
            ("--speed", self.speed),
        ):
            if not value > 0:
                raise UserError(f"{name} must be above 0.")
        for name, value in (
            ("--latency-ms", self.latency_s),
            ("--delay-ms", self.delay_s),
            ("--lag-ms", self.lag_s),
            ("--start-s", self.start_s),
        ):
            if not value >= 0:
                raise UserError(f"{name} must be 0 or more.")
        if not 0 <= self.soc <= 1:
            raise UserError("--soc is a share of the energy: give a number from 0 to 1.")
        if self.frequency_hz is not None and not 0 < self.frequency_hz < 65:
            raise UserError("--frequency-hz must be above 0 and below 65.")

    def _check_ports(self) -> None:
        if not 1 <= self.units <= MOST_UNITS:
            raise UserError(f"--units must be from 1 to {MOST_UNITS}.")
        if not 1 <= self.base_port <= _HIGHEST_BASE_PORT:
            raise UserError(f"--base-port must be from 1 to {_HIGHEST_BASE_PORT}.")
        if self.processes is not None and self.processes < 1:
            raise UserError("--processes must be 1 or more.")
