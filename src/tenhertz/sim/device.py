"""One simulated device whole: its registers, its Modbus server, its faults and its fault door.

Lives in an event loop; the physics below it does not know that.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from tenhertz.sim import fault_door
from tenhertz.sim.container import STEP_NS, Container
from tenhertz.sim.fault_door import DOOR_OFFSET, DoorRequest
from tenhertz.sim.faults import OF_CONTAINERS_ONLY, FaultOrder, Faults, Kind
from tenhertz.sim.meter import MeterRegisters
from tenhertz.sim.modbus_server import DeviceServer, ServerOptions, close
from tenhertz.sim.registers import ContainerRegisters

NS = 1_000_000_000
_REOPEN_EVERY_S = 0.2


class Device:
    """What containers and meters have in common: a server, a door and faults."""

    def __init__(
        self,
        name: str,
        registers: ContainerRegisters | MeterRegisters,
        options: ServerOptions,
        clock: Callable[[], int],
        chance: random.Random,
    ) -> None:
        self.name = name
        self.clock = clock
        self.faults = Faults()
        self.server = DeviceServer(registers, self.faults, options, clock, chance)
        self.port = options.port
        self._door: asyncio.Server | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._tick_timer: asyncio.TimerHandle | None = None
        self._next_tick_ns = 0

    async def open(self, first_tick_ns: int) -> None:
        """Listen on both ports and begin to tick; raises `OSError` where a port is taken."""
        self.port = await self.server.open()
        self._door = await fault_door.open_door(self.port + DOOR_OFFSET, self.act)
        self._next_tick_ns = first_tick_ns
        self._tick()

    async def shut(self) -> None:
        """Close sessions and ports."""
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        if self._reopening is not None:
            self._reopening.cancel()
        if self._door is not None:
            self._door.close()
        await close(self.server)

    def _tick(self) -> None:
        """Refresh, on a grid of instants that does not drift; late ticks are not made up for."""
        now_ns = self.clock()
        self.refresh(now_ns)
        self._next_tick_ns += STEP_NS
        if self._next_tick_ns <= now_ns:
            self._next_tick_ns += (now_ns - self._next_tick_ns) // STEP_NS * STEP_NS + STEP_NS
        wait_s = (self._next_tick_ns - now_ns) / NS
        self._tick_timer = asyncio.get_running_loop().call_later(wait_s, self._tick)

    def act(self, request: DoorRequest) -> dict[str, Any]:
        """Follow a request from the door; raises `ValueError` for one that makes no sense."""
        now_ns = self.clock()
        if request.do == "fault":
            if request.order is None:
                raise ValueError("a fault needs its order")
            self._begin(request.order, now_ns)
        elif request.do == "clear":
            self.faults.clear()
            if self._reopening is not None:
                self._reopening.cancel()
                self._reopening = asyncio.ensure_future(self._reopen(0.0))
        self.refresh_faults(now_ns)
        if request.do != "state":
            return {"active_faults": self.faults.kinds(now_ns)}
        return {"name": self.name, "monotonic_ns": now_ns, **self.state(now_ns)}

    def _begin(self, order: FaultOrder, now_ns: int) -> None:
        if complaint := order.complaint():
            raise ValueError(complaint)
        if order.kind in OF_CONTAINERS_ONLY and isinstance(self.server.registers, MeterRegisters):
            raise ValueError(f"a meter has no setpoint to {order.kind}")
        if order.kind is not Kind.DROP:
            self.faults.set(order, now_ns)
            return
        self.server.close_sessions()
        if order.seconds:
            self.faults.set(order, now_ns)
            if self._reopening is not None:
                self._reopening.cancel()
            self.server.close()
            self._reopening = asyncio.ensure_future(self._reopen(order.seconds))

    async def _reopen(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        while not self.server.is_active():
            try:
                await self.server.open()
            except OSError:  # somebody took the port meanwhile: ours again when it is free
                await asyncio.sleep(_REOPEN_EVERY_S)
        self._reopening = None

    def refresh(self, now_ns: int) -> None:
        """Bring the measurements up to date, every 50 ms."""

    def refresh_faults(self, now_ns: int) -> None:
        """Let faults that have begun or ended act on the device itself."""

    def state(self, now_ns: int) -> dict[str, Any]:
        """The truth, whatever the registers show."""
        return {"active_faults": self.faults.kinds(now_ns)}


class ContainerDevice(Device):
    """A container on the wire. Its power also goes to `board[place]`, for the site's meter."""

    def __init__(
        self,
        container: Container,
        options: ServerOptions,
        clock: Callable[[], int],
        chance: random.Random,
        board: memoryview[float],
        place: int,
    ) -> None:
        self.container = container
        self.registers = ContainerRegisters(container)
        self._board = board
        self._place = place
        super().__init__(container.parameters.name, self.registers, options, clock, chance)

    def refresh(self, now_ns: int) -> None:
        """Step the physics and take a new image."""
        self.refresh_faults(now_ns)
        self.registers.refresh(now_ns)
        self._board[self._place] = self.container.path.power_w

    def refresh_faults(self, now_ns: int) -> None:
        """Freeze or clamp, from this instant on."""
        freeze = self.faults.active(Kind.FREEZE, now_ns)
        clamp = self.faults.active(Kind.CLAMP, now_ns)
        clamp_fraction = clamp.fraction if clamp else None
        power_held = bool(freeze and freeze.hold_power)
        container = self.container
        if clamp_fraction != container.clamp_fraction or power_held != container.power_held:
            container.advance(now_ns)
            container.clamp_fraction = clamp_fraction
            container.power_held = power_held
        self.registers.frozen = freeze is not None

    def state(self, now_ns: int) -> dict[str, Any]:
        """Everything about the container, at this instant."""
        c = self.container
        c.advance(now_ns)
        return {
            "power_w": c.path.power_w,
            "soc": c.battery.soc,
            "energy_wh": c.battery.stored_wh,
            "setpoint_w": c.setpoint_w,
            "setpoint_in_force_w": c.setpoint_in_force_w,
            "pcs_state": int(c.pcs_state),
            "bms_state": int(c.bms_state),
            "source": int(c.source),
            "mode": int(c.mode),
            "watchdog_left_s": c.watchdog_left_s,
            "faults": int(c.faults),
            "warnings": c.warnings,
            "frequency_hz": c.frequency_hz,
            "temperature_c": c.battery.temperature_c,
            "charge_limit_w": c.charge_limit_w,
            "discharge_limit_w": c.discharge_limit_w,
            "lifetime_charged_wh": c.battery.lifetime_charged_wh,
            "lifetime_discharged_wh": c.battery.lifetime_discharged_wh,
            "image_counter": self.registers.image_counter,
            **super().state(now_ns),
        }


class MeterDevice(Device):
    """The frequency meter on the wire; `board` holds the power of all containers."""

    def __init__(
        self,
        frequency_hz: Callable[[int], float],
        options: ServerOptions,
        clock: Callable[[], int],
        chance: random.Random,
        board: memoryview[float],
    ) -> None:
        self.registers = MeterRegisters(frequency_hz, lambda: sum(board))
        super().__init__("meter", self.registers, options, clock, chance)

    def refresh(self, now_ns: int) -> None:
        """Only faults change with time: the registers are computed when read."""
        self.refresh_faults(now_ns)

    def refresh_faults(self, now_ns: int) -> None:
        """Hold the values or let them go."""
        self.registers.hold(now_ns, held=self.faults.active(Kind.FREEZE, now_ns) is not None)

    def state(self, now_ns: int) -> dict[str, Any]:
        """The grid as it is."""
        return {"frequency_hz": self.registers.frequency_hz(now_ns), **super().state(now_ns)}
