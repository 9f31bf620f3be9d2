"""The fleet server's parent process: keeps ingest, writer and notices alive, and does nothing else.

Each may die alone. Ingest goes on without a store, the writer without sources, and both go on when
nobody can be told of alerts.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

import msgspec
import structlog
import uvloop

from tenhertz.errors import UserError
from tenhertz.lock import held
from tenhertz.log import set_up_log
from tenhertz.notify import Notifier
from tenhertz.supervise import (
    BackOff,
    ChildSpec,
    Intensity,
    RestartIntensityExceeded,
    Start,
    Strategy,
    Supervisor,
    die_with_parent,
    process_child,
    say_ready,
)
from tenhertz.telemetry.check import checked_fleet
from tenhertz.telemetry.config import FleetConfig, data_dir
from tenhertz.telemetry.status_file import Alive

# Without books nothing can be taken in, and they may be in a database that is down.
_START_INGEST_S = 3600.0
_STOP_S = 10.0
# An ingest process that has told nothing for this long is started anew.
_PATIENCE_S = 30.0
_WATCH_EVERY_S = 1.0


class FleetServer:
    """One running fleet server."""

    def __init__(self, config: FleetConfig, path: Path) -> None:
        self._folder = data_dir(config, path)
        self._log = structlog.get_logger("fleet")
        self._notifier = Notifier()
        children = [
            ChildSpec(
                name="ingest",
                start=_process("ingest", path),
                start_timeout_s=_START_INGEST_S,
                stop_timeout_s=_STOP_S,
                alive=self._ingest_alive,
            ),
            ChildSpec(name="writer", start=_process("writer", path), stop_timeout_s=_STOP_S),
        ]
        if config.notify:
            children.append(ChildSpec(name="notices", start=_process("notices", path)))
        self._tree = Supervisor(
            config.fleet.name,
            children,
            strategy=Strategy.ONE_FOR_ONE,
            intensity=Intensity(restarts=60, within_s=120.0),
            backoff=BackOff(first_s=0.0, second_s=0.2, max_s=5.0, stable_s=30.0),
        )

    def _ingest_alive(self) -> bool:
        try:
            found = msgspec.json.decode((self._folder / "ingest.json").read_bytes(), type=Alive)
        except (OSError, msgspec.DecodeError):
            return True  # it has not begun to tell
        return time.monotonic_ns() - found.beat_ns < _PATIENCE_S * 1e9

    async def run(self) -> int:
        """Run until told to stop; the exit code."""
        stop = asyncio.Event()

        def end() -> None:
            self._notifier.tell("STOPPING=1")
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, end)
        die_with_parent()
        watch = asyncio.ensure_future(self._watch())
        try:
            await self._tree.run(stop)
        except RestartIntensityExceeded as gave_up:
            self._log.error("the fleet server gives up", cause=str(gave_up))
            return 1
        finally:
            watch.cancel()
        return 0

    async def _watch(self) -> None:
        """Tell systemd when ingest listens, and go on telling while it does."""
        while not (self._folder / "ingest.json").exists():
            await asyncio.sleep(0.05)
        self._notifier.tell("READY=1")
        say_ready()
        while True:
            if self._ingest_alive():
                self._notifier.tell("WATCHDOG=1")
            await asyncio.sleep(_WATCH_EVERY_S)


def _process(name: str, path: Path) -> Start:
    module = f"tenhertz.telemetry.{name}"
    return process_child([sys.executable, "-m", module, str(path)], says_ready=True)


def serve(path: Path) -> int:
    """Run the fleet server of a configuration file until SIGTERM or SIGINT; the exit code.

    Raises:
        UserError: a mistake in the configuration or its surroundings.
    """
    set_up_log()
    config = checked_fleet(path)
    folder = data_dir(config, path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ingest.json").unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{path}: fleet.data_dir {folder} cannot be used: {error.strerror}"
        ) from error
    with held(folder / "parent.lock", f"fleet server '{config.fleet.server}'"):
        return uvloop.run(FleetServer(config, path.resolve()).run())


if __name__ == "__main__":
    sys.exit(serve(Path(sys.argv[1])))
