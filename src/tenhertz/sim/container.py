"""One container: converter, battery and BMS under the rules of generic-container.md.

The state machine and the clockwork, without registers and without sockets. Time is an argument:
`advance` brings the container to an instant, everything else happens at that instant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from tenhertz.sim import bms
from tenhertz.sim.battery import Battery, BatteryParameters
from tenhertz.sim.bms import BmsParameters, Fault
from tenhertz.sim.power_path import NS, PowerPath, PowerPathParameters

STEP_NS = 50_000_000
"""Longest stretch over which limits count as constant: the refresh of the measurements."""

WATCHDOG_DEFAULT_TENTHS = 50
WARN_CHARGE_DERATED = 1 << 0
WARN_DISCHARGE_DERATED = 1 << 1
WARN_WATCHDOG = 1 << 2

_STARTING_NS = 1 * NS
_AT_REST = 0.005  # of the rated power: below it a stopping converter opens


class PcsState(IntEnum):
    """Register 101."""

    OFF = 0
    STANDBY = 1
    STARTING = 2
    RUNNING = 3
    DERATED = 5
    FAULT = 6
    STOPPING = 7


class BmsState(IntEnum):
    """Register 102."""

    INIT = 0
    READY = 1
    CONNECTED = 3
    CHARGE_INHIBITED = 4
    DISCHARGE_INHIBITED = 5
    FAULT = 6


class Command(IntEnum):
    """Register 202."""

    START = 1
    STOP = 2
    RESET_FAULTS = 3
    EMERGENCY_STOP = 4


class Source(IntEnum):
    """Register 203."""

    LOCAL = 0
    REMOTE = 1


class Mode(IntEnum):
    """Register 204."""

    MANUAL_POWER = 0
    STANDBY = 3


@dataclass(frozen=True)
class ContainerParameters:
    """Everything that makes one container differ from another."""

    name: str = "c01"
    power_path: PowerPathParameters = field(default_factory=PowerPathParameters)
    battery: BatteryParameters = field(default_factory=BatteryParameters)
    bms: BmsParameters = field(default_factory=BmsParameters)
    grid_low_hz: float = 47.0
    grid_high_hz: float = 52.0


class Container:
    """The life of one container from power-up on."""

    def __init__(
        self, parameters: ContainerParameters, now_ns: int, frequency_hz: Callable[[int], float]
    ) -> None:
        self.parameters = parameters
        self.rated_power_w = parameters.power_path.rated_power_w
        self.battery = Battery(parameters.battery)
        self.path = PowerPath(parameters.power_path, now_ns)
        self.now_ns = now_ns
        self.source = Source.LOCAL
        self.mode = Mode.STANDBY
        self.setpoint_w = 0
        self.watchdog_tenths = WATCHDOG_DEFAULT_TENTHS
        self.faults = Fault.NONE
        self.watchdog_expired = False
        self.clamp_fraction: float | None = None
        self.power_held = False
        self._frequency_hz = frequency_hz
        self._state = PcsState.STANDBY
        self._running_at_ns = 0
        self._watchdog_ends_ns: int | None = None
        self.frequency_hz = frequency_hz(now_ns)
        self.allowed = bms.allowed(self.battery, parameters.bms)

    # -- time ---------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> None:
        """Live until `now_ns`, in steps that end where something happens."""
        while self.now_ns < now_ns:
            end_ns = min(now_ns, self.now_ns + STEP_NS)
            if self._state is PcsState.STARTING:
                end_ns = min(end_ns, self._running_at_ns)
            if self._watchdog_ends_ns is not None:
                end_ns = min(end_ns, self._watchdog_ends_ns)
            self._step(max(end_ns, self.now_ns))

    def _step(self, end_ns: int) -> None:
        span_s = (end_ns - self.now_ns) / NS
        low_w, high_w = -self.charge_limit_w, self.discharge_limit_w
        if self.clamp_fraction is not None:
            clamp_w = self.clamp_fraction * self.rated_power_w
            low_w, high_w = max(low_w, -clamp_w), min(high_w, clamp_w)
        moved = self.path.advance(end_ns, low_w, high_w)
        hit_end = self.battery.move(moved.discharged_ws, moved.charged_ws, span_s)
        self.now_ns = end_ns
        self.frequency_hz = self._frequency_hz(end_ns)
        self.allowed = bms.allowed(self.battery, self.parameters.bms)
        if hit_end:
            self.path.trip()  # an empty or full battery cannot pretend
        self._watch_faults()
        self._watch_clock()
        self._order()

    def _watch_faults(self) -> None:
        found = bms.faults(self.battery, self.parameters.bms)
        if not self.parameters.grid_low_hz <= self.frequency_hz <= self.parameters.grid_high_hz:
            found |= Fault.GRID_OUT_OF_RANGE
        if not found:
            return
        self.faults |= found
        if self._state is not PcsState.OFF:
            self._state = PcsState.FAULT
            self.path.trip()

    def _watch_clock(self) -> None:
        if self._state is PcsState.STARTING and self.now_ns >= self._running_at_ns:
            self._state = PcsState.RUNNING
        if self._watchdog_ends_ns is not None and self.now_ns >= self._watchdog_ends_ns:
            self._watchdog_ends_ns = None
            self.watchdog_expired = True
            self._stop()
        rest_w = _AT_REST * self.rated_power_w
        if self._state is PcsState.STOPPING and abs(self.path.power_w) < rest_w:
            self._state = PcsState.STANDBY
            self.path.trip()

    # -- what the outside may do --------------------------------------------------------------

    def write_setpoint(self, power_w: int) -> None:
        """Take a setpoint, watts; in remote control it also restarts the watchdog."""
        self.setpoint_w = power_w
        if self.source is Source.REMOTE:
            self._restart_watchdog()
        self._order()

    def write_source(self, source: Source) -> None:
        """Give the control to local or remote; remote control begins with a full watchdog."""
        if source is Source.LOCAL:
            self._watchdog_ends_ns = None
        elif self.source is Source.LOCAL:
            self._restart_watchdog()
        self.source = source
        self._order()

    def write_mode(self, mode: Mode) -> None:
        """Change the mode."""
        self.mode = mode
        self._order()

    def write_command(self, command: Command) -> bool:
        """Obey a command; return False where the device refuses it."""
        if command is Command.EMERGENCY_STOP:
            self.faults |= Fault.EMERGENCY_STOP
            self._state = PcsState.OFF
            self.setpoint_w = 0
            self.path.trip()
        elif command is Command.RESET_FAULTS:
            self.faults = Fault.NONE
            if self._state is PcsState.FAULT:
                self._state = PcsState.STANDBY
            self._watch_faults()  # a cause that is still there comes back at once
        elif command is Command.STOP:
            self._stop()
        else:
            return self._start()
        return True

    def _start(self) -> bool:
        if self.faults:
            return False
        self.watchdog_expired = False
        if self.source is Source.REMOTE and self._watchdog_ends_ns is None:
            self._restart_watchdog()  # nobody may run remotely without one
        if self._state not in (PcsState.RUNNING, PcsState.STARTING):
            self._state = PcsState.STARTING
            self._running_at_ns = self.now_ns + _STARTING_NS
        self._order()
        return True

    def _stop(self) -> None:
        self.setpoint_w = 0
        if self._state is PcsState.RUNNING:
            self._state = PcsState.STOPPING
        elif self._state is PcsState.STARTING:
            # It may have been started while the last stop was still ramping down.
            ramping = abs(self.path.power_w) > 0.0
            self._state = PcsState.STOPPING if ramping else PcsState.STANDBY
        self._order()

    def _restart_watchdog(self) -> None:
        self._watchdog_ends_ns = self.now_ns + self.watchdog_tenths * (NS // 10)

    def _order(self) -> None:
        if not self.power_held:
            self.path.order(self.now_ns, self.setpoint_in_force_w)

    # -- what can be seen ---------------------------------------------------------------------

    @property
    def charge_limit_w(self) -> float:
        """Largest charge power the BMS allows, watts, positive."""
        return self.allowed.charge * self.rated_power_w

    @property
    def discharge_limit_w(self) -> float:
        """Largest discharge power the BMS allows, watts."""
        return self.allowed.discharge * self.rated_power_w

    @property
    def setpoint_in_force_w(self) -> float:
        """The setpoint after the limits of BMS and rating; zero while it moves nothing."""
        in_charge = (
            self._state is PcsState.RUNNING
            and self.source is Source.REMOTE
            and self.mode is Mode.MANUAL_POWER
        )
        if not in_charge:
            return 0.0
        return min(max(float(self.setpoint_w), -self.charge_limit_w), self.discharge_limit_w)

    @property
    def pcs_state(self) -> PcsState:
        """The converter's state; running turns to derated while a limit is in force."""
        derated = self.allowed.charge < 1 or self.allowed.discharge < 1
        if self._state is PcsState.RUNNING and derated:
            return PcsState.DERATED
        return self._state

    @property
    def bms_state(self) -> BmsState:
        """The battery's state as its BMS tells it."""
        if self.faults & bms.BATTERY_FAULTS:
            return BmsState.FAULT
        if self._state in (PcsState.OFF, PcsState.STANDBY, PcsState.FAULT):
            return BmsState.READY
        if self.allowed.charge <= 0:
            return BmsState.CHARGE_INHIBITED
        if self.allowed.discharge <= 0:
            return BmsState.DISCHARGE_INHIBITED
        return BmsState.CONNECTED

    @property
    def warnings(self) -> int:
        """Warning bits, register 128."""
        return (
            (WARN_CHARGE_DERATED if self.allowed.charge < 1 else 0)
            | (WARN_DISCHARGE_DERATED if self.allowed.discharge < 1 else 0)
            | (WARN_WATCHDOG if self.watchdog_expired else 0)
        )

    @property
    def watchdog_left_s(self) -> float:
        """Seconds until the watchdog ends remote control; 0 when it does not run."""
        if self._watchdog_ends_ns is None:
            return 0.0
        return max(0.0, (self._watchdog_ends_ns - self.now_ns) / NS)
