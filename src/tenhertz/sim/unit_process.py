"""What runs in a child process of the simulator: some devices on one event loop.

Forked by `site`; tells it through a pipe that the ports listen, or why they do not.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import uvloop

from tenhertz.sim.container import STEP_NS, Container, ContainerParameters
from tenhertz.sim.device import ContainerDevice, Device, MeterDevice
from tenhertz.sim.fault_door import DOOR_OFFSET
from tenhertz.sim.modbus_server import ServerOptions

_PR_SET_PDEATHSIG = 1
_BROKEN = 70  # exit code of a process that failed by a fault of its own program


@dataclass(frozen=True)
class DevicePlan:
    """One device to bring up; `container` is None for the meter. `place` is its number."""

    name: str
    place: int
    options: ServerOptions
    container: ContainerParameters | None = None


@dataclass(frozen=True)
class Told:
    """What a child tells its parent once: an error, or None when every port listens."""

    error: str | None = None


def run(
    plans: list[DevicePlan],
    frequency_hz: Callable[[int], float],
    board: memoryview[float],
    pipe: Connection,
    parent_pid: int,
) -> None:
    """The child's whole life; returns when told to stop."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which stops us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # bad requests are daily bread here
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        return  # the parent died before it could take us along
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_live(plans, frequency_hz, board, pipe))


async def _live(
    plans: list[DevicePlan],
    frequency_hz: Callable[[int], float],
    board: memoryview[float],
    pipe: Connection,
) -> None:
    stop = asyncio.Event()
    broken: list[dict[str, Any]] = []

    def fail(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A device whose clockwork has failed must not pass for one that is merely quiet."""
        loop.default_exception_handler(context)
        broken.append(context)
        stop.set()

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(fail)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    open_devices: list[Device] = []
    told = Told()
    now_ns = time.monotonic_ns()
    for i, plan in enumerate(plans):
        device = _build(plan, frequency_hz, board, now_ns)
        try:
            # spread over the period, so that many devices do not all step at one instant
            await device.open(now_ns + i * STEP_NS // len(plans))
        except OSError as why:
            told = Told(_sentence(plan, why))
            break
        open_devices.append(device)
    with contextlib.suppress(BrokenPipeError):  # the parent has stopped listening: it is ending
        pipe.send(told)
    pipe.close()
    if told.error is None:
        await stop.wait()
    for device in open_devices:
        await device.shut()
    if broken:
        sys.exit(_BROKEN)


def _build(
    plan: DevicePlan,
    frequency_hz: Callable[[int], float],
    board: memoryview[float],
    now_ns: int,
) -> Device:
    chance = random.Random(plan.place)  # noqa: S311 - noise on a wire, not a secret
    if plan.container is None:
        return MeterDevice(frequency_hz, plan.options, time.monotonic_ns, chance, board)
    container = Container(plan.container, now_ns, frequency_hz)
    return ContainerDevice(
        container, plan.options, time.monotonic_ns, chance, board, plan.place - 1
    )


def _sentence(plan: DevicePlan, why: OSError) -> str:
    """Why a device cannot listen, for a person."""
    port, door = plan.options.port, plan.options.port + DOOR_OFFSET
    if why.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {plan.options.host} ({plan.name}) or its fault door 127.0.0.1:{door} "
            "is in use. End the program that holds it, or choose other ports with --base-port."
        )
    if why.errno == errno.EACCES:
        return (
            f"Port {port} ({plan.name}) needs rights this user has not. Choose ports above 1023 "
            "with --base-port."
        )
    return f"{plan.name} cannot listen on {plan.options.host}:{port}: {why}. Check --host."
