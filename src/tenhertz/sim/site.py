"""A simulated site: plans its devices, keeps their processes alive, and ends them all together.

The parent only watches; the devices live in the children. Nothing that loads pymodbus is imported
before `run_site` is called.
"""

from __future__ import annotations

import gc
import mmap
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import TYPE_CHECKING, Any

from tenhertz.errors import UserError
from tenhertz.sim import frequency
from tenhertz.sim.battery import BatteryParameters
from tenhertz.sim.container import ContainerParameters
from tenhertz.sim.options import SiteOptions
from tenhertz.sim.power_path import PowerPathParameters

if TYPE_CHECKING:
    from tenhertz.sim.unit_process import DevicePlan

ONE_PROCESS_EACH_UP_TO = 16
_READY_WITHIN_S = 30.0
_STOP_WITHIN_S = 1.0
_RESTART_AFTER_S = 0.2
_RESTART_AT_MOST_AFTER_S = 5.0
_LIVED_LONG_S = 10.0


@dataclass
class _Child:
    """One process and the devices that live in it."""

    plans: list[DevicePlan]
    process: ForkProcess
    pipe: Connection
    started_s: float
    failures: int = 0
    restart_at_s: float | None = None


@dataclass
class _Site:
    """The parent's state while the site runs."""

    frequency_hz: Callable[[int], float]
    board: memoryview[float]
    children: list[_Child] = field(default_factory=list)


def run_site(options: SiteOptions, announce: Callable[[dict[str, Any]], None]) -> None:
    """Run a simulated site until SIGTERM or SIGINT.

    `announce` is called once with the description of the site when every port listens. Must be
    called from the main thread, with no event loop or other thread running: it forks. Raises
    `UserError` when an option is wrong or a port is taken.
    """
    options.check()
    epoch_ns = time.monotonic_ns()
    shown = _frequency(options, epoch_ns)
    board = memoryview(mmap.mmap(-1, 8 * options.units)).cast("d")
    site = _Site(shown, board)
    waker, woken = socket.socketpair()
    waker.setblocking(False)  # noqa: FBT003 - the shape the socket has
    stopping: list[int] = []
    before = {
        number: signal.signal(number, lambda got, _frame: stopping.append(got))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    old_fd = signal.set_wakeup_fd(waker.fileno())
    try:
        gc.freeze()  # what is loaded by now stays shared with the children
        site.children = [_fork(plans, site) for plans in _grouped(options)]
        if _await_ready(site, woken, stopping):
            announce(_description(options, site, epoch_ns))
            _watch(site, woken, stopping)
    finally:
        _stop(site)
        signal.set_wakeup_fd(old_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        waker.close()
        woken.close()


def _frequency(options: SiteOptions, epoch_ns: int) -> Callable[[int], float]:
    if options.frequency_hz is not None:
        return frequency.constant(options.frequency_hz)
    recording = frequency.load(options.recording)
    return frequency.Replay(recording, epoch_ns, options.start_s, options.speed, options.hold)


def _grouped(options: SiteOptions) -> list[list[DevicePlan]]:
    """The devices of each process; the meter comes first."""
    from tenhertz.sim.modbus_server import ServerOptions
    from tenhertz.sim.unit_process import DevicePlan

    plans = []
    for place in range(options.units + 1):
        name = f"c{place:02d}" if place else "meter"
        wire = ServerOptions(
            options.host, options.base_port + place, options.latency_s, options.single_client
        )
        container = ContainerParameters(
            name,
            PowerPathParameters(
                options.power_w, options.delay_s, options.ramp_per_s, options.lag_s
            ),
            BatteryParameters(rated_energy_wh=options.energy_wh, soc=options.soc),
        )
        plans.append(DevicePlan(name, place, wire, container if place else None))
    count = options.processes
    if count is None:
        count = len(plans) if options.units <= ONE_PROCESS_EACH_UP_TO else 2
    count = min(count, len(plans))
    return [plans[i::count] for i in range(count)]


def _fork(plans: list[DevicePlan], site: _Site) -> _Child:
    from tenhertz.sim import unit_process

    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(
        target=unit_process.run,
        args=(plans, site.frequency_hz, site.board, there, os.getpid()),
        name="+".join(p.name for p in plans[:3]),
    )
    process.start()
    there.close()
    return _Child(plans, process, here, time.monotonic())


def _await_ready(site: _Site, woken: socket.socket, stopping: list[int]) -> bool:
    """Wait until every child listens; False when told to stop. Raises the first child's error."""
    silent = {child.pipe: child for child in site.children}
    deadline_s = time.monotonic() + _READY_WITHIN_S
    while silent:
        ready = wait([*silent, woken], max(0.0, deadline_s - time.monotonic()))
        if stopping:
            return False
        if not ready:
            raise UserError(
                f"The simulated devices did not all start within {_READY_WITHIN_S:.0f} s: the "
                "machine is overloaded. Try fewer --units."
            )
        for pipe in ready:
            if isinstance(pipe, Connection):
                _hear(silent.pop(pipe))
    return True


def _hear(child: _Child) -> None:
    """Take what a child has to say about its start."""
    try:
        error = child.pipe.recv().error
    except EOFError:
        error = f"The process of {child.process.name} ended while it was starting."
    child.pipe.close()
    if error is not None:
        raise UserError(error)


def _watch(site: _Site, woken: socket.socket, stopping: list[int]) -> None:
    """Start again whatever dies, until told to stop."""
    while not stopping:
        alive = [c.process.sentinel for c in site.children if c.restart_at_s is None]
        due_s = [c.restart_at_s for c in site.children if c.restart_at_s is not None]
        timeout_s = max(0.0, min(due_s) - time.monotonic()) if due_s else None
        wait([*alive, woken], timeout_s)
        for i, child in enumerate(site.children):
            if stopping:
                return
            if child.restart_at_s is not None:
                if time.monotonic() >= child.restart_at_s:
                    site.children[i] = _again(child, site)
            elif not child.process.is_alive():
                _mourn(child, site)


def _mourn(child: _Child, site: _Site) -> None:
    """Note a death, and when to start again: soon, but later each time it dies young."""
    code, pid = child.process.exitcode, child.process.pid
    for plan in child.plans:
        if plan.container is not None:
            site.board[plan.place - 1] = 0.0
    if time.monotonic() - child.started_s > _LIVED_LONG_S:
        child.failures = 0
    pause_s = min(_RESTART_AFTER_S * 2**child.failures, _RESTART_AT_MOST_AFTER_S)
    child.failures += 1
    child.restart_at_s = time.monotonic() + pause_s
    how = f"by signal {-code}" if code is not None and code < 0 else f"with code {code}"
    why = _last_words(child)
    _log(f"{child.process.name} (pid {pid}) ended {how}; starting again in {pause_s:.1f} s. {why}")


def _last_words(child: _Child) -> str:
    """Why a child that was started again could not listen, if that is what ended it."""
    if child.pipe.closed or not child.pipe.poll():
        return ""
    try:
        return child.pipe.recv().error or ""
    except EOFError:
        return ""


def _again(child: _Child, site: _Site) -> _Child:
    child.process.close()
    child.pipe.close()
    new = _fork(child.plans, site)
    new.failures = child.failures
    _log(f"{new.process.name} started again as pid {new.process.pid}, in its power-up state")
    return new


def _stop(site: _Site) -> None:
    """End every child: asked first, killed a second later."""
    for child in site.children:
        if child.restart_at_s is None:
            child.process.terminate()
    deadline_s = time.monotonic() + _STOP_WITHIN_S
    for child in site.children:
        if child.restart_at_s is None:
            child.process.join(max(0.0, deadline_s - time.monotonic()))
            if child.process.is_alive():
                child.process.kill()
                child.process.join()
        child.pipe.close()


def _description(options: SiteOptions, site: _Site, epoch_ns: int) -> dict[str, Any]:
    devices = [
        {
            "name": plan.name,
            "host": options.host,
            "port": plan.options.port,
            "door": plan.options.port + 1000,
            "pid": child.process.pid,
        }
        for child in site.children
        for plan in child.plans
    ]
    devices.sort(key=lambda d: int(d["port"] or 0))
    return {"ready": True, "epoch_ns": epoch_ns, "units": devices[1:], "meter": devices[0]}


def _log(text: str) -> None:
    sys.stderr.write(f"sim: {text}\n")
    sys.stderr.flush()
