"""The site's parent process: makes the shared memory, keeps control and gateway alive.

It is small on purpose and does nothing per sample. When the control process dies or hangs, it
de-energises the units first and then starts the process again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import structlog
import uvloop

from tenhertz.errors import UserError
from tenhertz.lock import held
from tenhertz.log import set_up_log
from tenhertz.notify import Notifier
from tenhertz.site.check import checked_config
from tenhertz.site.config import SiteConfig
from tenhertz.site.paths import Parts, data_dir, open_parts
from tenhertz.site.record import SITE, Event, pack_event
from tenhertz.site.release import de_energise
from tenhertz.site.segment import runtime_dir
from tenhertz.site.status import ENCODE, ParentStatus
from tenhertz.supervise import (
    BackOff,
    ChildSpec,
    Exit,
    Intensity,
    RestartIntensityExceeded,
    Strategy,
    Supervisor,
    die_with_parent,
    process_child,
    say_ready,
)

# Both children together stop within the two seconds that a clean stop may take.
_STOP_CONTROL_S = 1.2
_STOP_GATEWAY_S = 1.9
_STOP_UPLINK_S = 1.5
_WATCH_EVERY_S = 0.2
# A control process beats with every tick; one that has not for this long is being watched.
_BEAT_S = 0.4
# The gateway may be frozen for long without harm; the ring holds. But not for ever.
_GATEWAY_PATIENCE_S = 60.0


class SiteProcess:
    """One running site."""

    def __init__(self, config: SiteConfig, config_path: Path, parts: Parts) -> None:
        self._config = config
        self._parts = parts
        self._log = structlog.get_logger("site")
        self._notifier = Notifier()
        self._beats_before = 0
        arguments = [str(config_path)]
        children = [
            ChildSpec(
                name="gateway",
                start=process_child(
                    [sys.executable, "-m", "tenhertz.site.gateway", *arguments], says_ready=True
                ),
                stop_timeout_s=_STOP_GATEWAY_S,
                alive=lambda: self._beating(parts.gateway.heartbeat[1], _GATEWAY_PATIENCE_S),
            ),
            ChildSpec(
                name="control",
                start=process_child(
                    [sys.executable, "-m", "tenhertz.site.control", *arguments], says_ready=True
                ),
                stop_timeout_s=_STOP_CONTROL_S,
                on_exit=self._control_died,
                alive=lambda: self._beating(parts.control.heartbeat[1], _BEAT_S),
                alive_patience_s=config.control.hung_after_ms / 1000 - _BEAT_S,
            ),
        ]
        if config.uplink is not None:
            children.append(
                ChildSpec(
                    name="uplink",
                    start=process_child(
                        [sys.executable, "-m", "tenhertz.site.uplink", *arguments], says_ready=True
                    ),
                    stop_timeout_s=_STOP_UPLINK_S,
                    alive=lambda: self._beating(parts.uplink.heartbeat[1], _GATEWAY_PATIENCE_S),
                )
            )
        self._tree = Supervisor(
            config.site.name,
            children,
            strategy=Strategy.ONE_FOR_ONE,
            intensity=Intensity(restarts=30, within_s=60.0),
            backoff=BackOff(first_s=0.0, second_s=0.2, max_s=5.0, stable_s=30.0),
        )

    def _status(self) -> ParentStatus:
        children = self._tree.statistics().children
        return ParentStatus(os.getpid(), {child.name: child.restarts for child in children})

    @staticmethod
    def _beating(beat_ns: int, patience_s: float) -> bool:
        return beat_ns == 0 or time.monotonic_ns() - beat_ns < patience_s * 1e9

    async def _control_died(self, exit_: Exit) -> None:
        started_ns = time.monotonic_ns()
        held = await de_energise(self._config, time.monotonic_ns)
        took_ms = (time.monotonic_ns() - started_ns) / 1e6
        text = f"control process ended ({exit_}); units de-energised in {took_ms:.0f} ms"
        if held:
            text += f", but not {', '.join(held)}"
        self._log.error(text)
        # The control process, the ring's only writer, is dead while this runs.
        event = Event(time.time_ns(), SITE, 2, text)
        self._parts.events.open_for_writing()
        self._parts.events.append([pack_event(event)])
        self._parts.control.beat(time.monotonic_ns())

    async def run(self) -> int:
        """Run until told to stop; the exit code."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def end() -> None:
            self._notifier.tell("STOPPING=1")
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        die_with_parent()
        now_ns = time.monotonic_ns()
        self._parts.gateway.beat(now_ns)
        self._parts.uplink.beat(now_ns)
        self._parts.control.beat(now_ns)
        self._beats_before = self._parts.control.heartbeat[0]
        watch = loop.create_task(self._watch(stop))
        try:
            await self._tree.run(stop)
        except RestartIntensityExceeded as gave_up:
            self._log.error("the site gives up", cause=str(gave_up))
            await de_energise(self._config, time.monotonic_ns)
            return 1
        finally:
            watch.cancel()
        return 0

    async def _watch(self, stop: asyncio.Event) -> None:
        """Tell systemd that the site is ready, and after that only while the beat goes on."""
        while self._parts.control.heartbeat[0] == self._beats_before and not stop.is_set():
            await asyncio.sleep(_WATCH_EVERY_S)
        self._notifier.tell("READY=1")
        say_ready()
        while not stop.is_set():
            if self._beating(self._parts.control.heartbeat[1], 1.0):
                self._notifier.tell("WATCHDOG=1")
            self._parts.parent.post(ENCODE(self._status()))
            await asyncio.sleep(_WATCH_EVERY_S)


def run_site(config_path: Path) -> int:
    """Run the site of a configuration file until SIGTERM or SIGINT; returns the exit code.

    Raises:
        UserError: a mistake in the configuration or its surroundings.
    """
    set_up_log()
    config = checked_config(config_path)
    folder = data_dir(config, config_path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{config_path}: site.data_dir {folder} cannot be made: {error.strerror}"
        ) from error
    lock = runtime_dir(config.site.name, config.site.runtime_dir) / "parent.lock"
    with held(lock, f"site '{config.site.name}'"):
        parts = open_parts(config, create=True)
        return uvloop.run(SiteProcess(config, config_path.resolve(), parts).run())
