"""`tenhertz demo`: a whole site on one machine, against a recording of the real grid.

Simulated containers and a meter run in processes of their own, and a real site beside them, both
kept alive by a supervisor: kill any process and watch it come back.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer

from tenhertz.cli.demo_result import DemoResult, read_result
from tenhertz.cli.demo_view import DemoView
from tenhertz.errors import UserError
from tenhertz.log import set_up_log
from tenhertz.site.config import SiteConfig, load_config
from tenhertz.site.paths import Parts, open_parts
from tenhertz.site.status import decode_parent
from tenhertz.supervise import (
    BackOff,
    ChildSpec,
    Intensity,
    RestartIntensityExceeded,
    Supervisor,
    process_child,
)

POWER_KW, ENERGY_KWH = 200, 400
PROFILE = "nordic-1.1"
# Half of the power for FCR-N, whose energy management wants 34 % on top, the rest for FCR-D.
SHARES = {"fcr-n": 0.35, "fcr-d-up": 0.4, "fcr-d-down": 0.4}
_DOORS = 1000  # each simulated device has a second port this far above its own
_FIRST_PORT = 15020
_LOOK_EVERY_S = 0.25


class Setting(NamedTuple):
    """What the demo is made of."""

    units: int
    latency_ms: float
    start_s: float
    folder: Path
    base_port: int

    @property
    def capacities_w(self) -> dict[str, float]:
        """What the demo site has sold."""
        power_w = self.units * POWER_KW * 1000
        return {product: round(power_w * share) for product, share in SHARES.items()}


def demo(
    *,
    headless: Annotated[bool, typer.Option("--headless", help="Without a screen.")] = False,
    duration: Annotated[
        float | None,
        typer.Option(min=2, help="Seconds; default: 30 without a screen, else until Ctrl-C."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
    units: Annotated[int, typer.Option(min=1, max=200, help="Containers of 200 kW.")] = 12,
    latency_ms: Annotated[float, typer.Option(min=0, help="Reply time of each device.")] = 20.0,
    start_s: Annotated[float, typer.Option(min=0, help="Where in the recording.")] = 95.0,
    keep: Annotated[
        Path | None, typer.Option(help="Keep configuration, database and log in this folder.")
    ] = None,
) -> None:
    """Run a simulated site against a recording of the real Nordic grid.

    Exits with 1 if a sample that was taken is not in the database.
    """
    if not headless and not sys.stderr.isatty():
        typer.echo("no terminal to draw on: running without a screen", err=True)
        headless = True
    with _folder(keep) as folder:
        setting = Setting(units, latency_ms, start_s, folder, _free_ports(units))
        config_path = folder / "site.toml"
        config_path.write_text(_site_toml(setting), encoding="utf-8")
        limit_s = duration if duration is not None else (30.0 if headless else None)
        with _own_screen(folder / "demo.log") as screen:
            set_up_log()
            show = DemoView(screen, headless=headless, json=json, limit_s=limit_s)
            result = asyncio.run(_Run(setting, config_path, show).run(limit_s))
        _tell(result, json=json)
    if not result.complete:
        raise typer.Exit(1)


class _Run:
    """One demo from start to end."""

    def __init__(self, setting: Setting, config_path: Path, show: DemoView) -> None:
        self._setting = setting
        self._config_path = config_path
        self._config: SiteConfig = load_config(config_path)
        self._show = show
        self._restarts: dict[int, int] = {}  # by the parent's process number
        python = [sys.executable, "-m"]
        ports = [setting.base_port + i for i in range(setting.units + 1)]
        self._tree = Supervisor(
            "demo",
            [
                ChildSpec(
                    name="simulator",
                    start=process_child(
                        [*python, "tenhertz.sim", "site", "--json", *self._sim_options()],
                        ready=lambda: all(map(_listens, ports)),
                        ready_every_s=0.1,
                    ),
                    start_timeout_s=60.0,
                ),
                ChildSpec(
                    name="site",
                    start=process_child(
                        [*python, "tenhertz", "site", "run", str(config_path)], says_ready=True
                    ),
                    start_timeout_s=30.0,
                ),
            ],
            intensity=Intensity(restarts=30, within_s=60.0),
            backoff=BackOff(first_s=0.1, max_s=2.0),
        )

    def _sim_options(self) -> list[str]:
        s = self._setting
        options = {
            "--units": s.units,
            "--base-port": s.base_port,
            "--power-kw": POWER_KW,
            "--energy-kwh": ENERGY_KWH,
            "--latency-ms": s.latency_ms,
            "--start-s": s.start_s,
        }
        return [word for name, value in options.items() for word in (name, f"{value:g}")]

    async def run(self, limit_s: float | None) -> DemoResult:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        tree = loop.create_task(self._tree.run(stop))
        began_s = 0.0
        with self._show:
            while not stop.is_set() and not tree.done():
                parts = self._parts()
                if parts is not None:
                    began_s = began_s or time.monotonic()
                    self._look(parts, time.monotonic() - began_s)
                    if limit_s is not None and time.monotonic() - began_s >= limit_s:
                        stop.set()
                await asyncio.wait([tree], timeout=_LOOK_EVERY_S)
        stop.set()
        try:
            await tree
        except RestartIntensityExceeded as gave_up:
            raise UserError(f"the demo could not be kept running: {gave_up}") from gave_up
        if not began_s:
            raise UserError("the demo was ended before the site had started")
        return self._result(time.monotonic() - began_s)

    def _parts(self) -> Parts | None:
        try:
            parts = open_parts(self._config, create=False)
        except FileNotFoundError:
            return None
        return parts if parts.control.read() else None

    def _look(self, parts: Parts, elapsed_s: float) -> None:
        notice = parts.parent.read()
        if notice:
            parent = decode_parent(notice)
            self._restarts[parent.pid] = sum(parent.restarts.values())
        self._show.update(parts, elapsed_s)

    def _result(self, duration_s: float) -> DemoResult:
        parts = open_parts(self._config, create=False)
        outer = self._tree.statistics().children
        state = parts.samples.state
        return read_result(
            self._setting.folder / "samples.sqlite",
            epoch=state.epoch,
            taken=state.tally,
            units=self._setting.units,
            period_ms=self._config.control.period_ms,
            capacities_w=self._setting.capacities_w,
            profile=PROFILE,
            restarts=sum(child.restarts for child in outer) + sum(self._restarts.values()),
            duration_s=duration_s,
        )


def _site_toml(setting: Setting) -> str:
    lines = [
        "# Made by `tenhertz demo`.",
        "[site]",
        'name = "demo"',
        'data_dir = "."',
        f'runtime_dir = "{_runtime(setting.folder)}"',
        "",
        "[frequency]",
        'source = "meter"',
        'host = "127.0.0.1"',
        f"port = {setting.base_port}",
    ]
    for product, capacity_w in setting.capacities_w.items():
        lines += ["", "[[contract]]", f'product = "{product}"', f"capacity_kw = {capacity_w / 1e3}"]
    for number in range(1, setting.units + 1):
        lines += [
            "",
            "[[unit]]",
            f'name = "c{number:02}"',
            'host = "127.0.0.1"',
            f"port = {setting.base_port + number}",
            f"power_kw = {POWER_KW}",
            f"energy_kwh = {ENERGY_KWH}",
        ]
    return "\n".join(lines) + "\n"


def _runtime(folder: Path) -> Path:
    return Path("/dev/shm") / f"tenhertz-{folder.name}"  # noqa: S108 - named after a fresh folder


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """A fresh folder, removed afterwards unless it is to be kept."""
    try:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="demo-", dir=keep))
    except OSError as error:
        raise UserError(f"--keep {keep} cannot be used: {error.strerror}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(_runtime(folder), ignore_errors=True)
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _own_screen(log: Path) -> Iterator[int]:
    """Send what all processes print to `log`; yields a handle of the real standard error."""
    sys.stdout.flush()
    kept_out, kept_err = os.dup(1), os.dup(2)
    handle = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    try:
        yield kept_err
    finally:
        os.dup2(kept_out, 1)
        os.dup2(kept_err, 2)
        os.close(kept_out)
        os.close(kept_err)


def _free_ports(units: int) -> int:
    """The first port of a free range for the meter, the units, and their fault doors."""
    for base in range(_FIRST_PORT, 30_000, 2 * _DOORS + 10):
        wanted = [base + i + door for i in range(units + 1) for door in (0, _DOORS)]
        if all(map(_is_free, wanted)):
            return base
    raise UserError(
        f"no {2 * units + 2} free ports were found above {_FIRST_PORT}; stop some servers"
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _tell(result: DemoResult, *, json: bool) -> None:
    if json:
        typer.echo(msgspec.json.encode(result).decode())
        return
    verdict = "every one is stored" if result.complete else f"{result.stored_rows} are stored"
    typer.echo(
        f"{result.units} units, {result.samples} samples taken of {result.expected_samples} "
        f"expected, {verdict}; {result.missed_ticks} ticks missed, {result.restarts} restarts"
    )
    if result.spacing_ms and result.response_error_kw:
        typer.echo(
            f"spacing p50 {result.spacing_ms.p50} p99.9 {result.spacing_ms.p999} ms; "
            f"response error p99 {result.response_error_kw.p99} "
            f"max {result.max_response_error_kw} kW"
        )
