"""`tenhertz demo`: a site and its fleet server on one machine, against a recording of the grid.

Simulated containers and a meter, a real site, a broker and a real fleet server run in processes of
their own, kept alive by supervisors: kill any of them and watch it come back.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tenhertz.cli.demo_fleet import FleetSight, Relay, children, read_fleet, sight
from tenhertz.cli.demo_result import DemoResult, read_result
from tenhertz.cli.demo_setting import (
    ENERGY_KWH,
    POWER_KW,
    PROFILE,
    Setting,
    fleet_toml,
    free_base_port,
    free_port,
    listens,
    runtime,
    site_toml,
)
from tenhertz.cli.demo_view import DemoView
from tenhertz.errors import UserError
from tenhertz.link.signature import new_key
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

_LOOK_EVERY_S = 0.25
# How long the end of a demo waits until the fleet holds the last rows.
_SEND_LIMIT_S = 60.0


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
    outage: Annotated[
        float, typer.Option(min=0, help="Cut the link to the fleet for so long in the middle.")
    ] = 0.0,
    keep: Annotated[
        Path | None, typer.Option(help="Keep configuration, database and log in this folder.")
    ] = None,
) -> None:
    """Run a simulated site and its fleet server against a recording of the real Nordic grid.

    Exits with 1 if a sample that was taken is neither stored at both ends nor reported as lost.
    """
    if not headless and not sys.stderr.isatty():
        typer.echo("no terminal to draw on: running without a screen", err=True)
        headless = True
    with _folder(keep) as folder:
        setting = Setting(
            units, latency_ms, start_s, folder, free_base_port(units), free_port(), free_port()
        )
        trusted_key = new_key(folder / "fleet.key")
        config_path = folder / "site.toml"
        config_path.write_text(site_toml(setting, trusted_key), encoding="utf-8")
        (folder / "fleet.toml").write_text(fleet_toml(setting), encoding="utf-8")
        limit_s = duration if duration is not None else (30.0 if headless else None)
        if outage and limit_s is None:
            raise UserError("--outage needs --duration, to know where the middle is")
        with _own_screen(folder / "demo.log") as screen:
            set_up_log()
            show = DemoView(screen, headless=headless, json=json, limit_s=limit_s)
            result = asyncio.run(_Run(setting, config_path, show).run(limit_s, outage))
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
        self._relay = Relay(setting)
        self._cloud = _tree("cloud", children(setting))
        self._edge = _tree(
            "edge",
            [
                ChildSpec(
                    name="simulator",
                    start=process_child(
                        [*python, "tenhertz.sim", "site", "--json", *self._sim_options()],
                        ready=lambda: all(map(listens, ports)),
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

    async def run(self, limit_s: float | None, outage_s: float) -> DemoResult:
        stop, end = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await self._relay.start()
        cloud = loop.create_task(self._cloud.run(end))
        edge = loop.create_task(self._edge.run(stop))
        began_s = 0.0
        with self._show:
            while not stop.is_set() and not edge.done() and not cloud.done():
                parts = self._parts()
                if parts is not None:
                    began_s = began_s or time.monotonic()
                    elapsed_s = time.monotonic() - began_s
                    self._cut(elapsed_s, limit_s, outage_s)
                    self._look(parts, elapsed_s, sight(self._setting.folder))
                    if limit_s is not None and elapsed_s >= limit_s:
                        stop.set()
                await asyncio.wait([edge, cloud], timeout=_LOOK_EVERY_S)
        self._relay.set_cut(cut=False)
        stop.set()
        duration_s = time.monotonic() - began_s
        try:
            await edge
            if began_s:
                await self._send_the_rest()
            end.set()
            await cloud
        except RestartIntensityExceeded as gave_up:
            raise UserError(f"the demo could not be kept running: {gave_up}") from gave_up
        finally:
            end.set()
            await asyncio.gather(cloud, self._relay.stop(), return_exceptions=True)
        if not began_s:
            raise UserError("the demo was ended before the site had started")
        return self._result(duration_s)

    def _cut(self, elapsed_s: float, limit_s: float | None, outage_s: float) -> None:
        if outage_s and limit_s is not None:
            middle_s = limit_s / 2
            cut = abs(elapsed_s - middle_s) < outage_s / 2
            if cut != self._relay.cut:
                self._relay.set_cut(cut=cut)

    async def _send_the_rest(self) -> None:
        """The site has ended; what its database still has for the fleet goes now."""
        uplink = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tenhertz.site.uplink", str(self._config_path)), "--until-sent"
        )
        try:
            async with asyncio.timeout(_SEND_LIMIT_S):
                await uplink.wait()
        except TimeoutError:  # the result tells what is missing
            uplink.kill()
            await uplink.wait()

    def _parts(self) -> Parts | None:
        try:
            parts = open_parts(self._config, create=False)
        except (FileNotFoundError, ValueError):  # not made yet, or being made
            return None
        return parts if parts.control.read() else None

    def _look(self, parts: Parts, elapsed_s: float, fleet: FleetSight | None) -> None:
        notice = parts.parent.read()
        if notice:
            parent = decode_parent(notice)
            self._restarts[parent.pid] = sum(parent.restarts.values())
        self._show.update(parts, elapsed_s, fleet, cut=self._relay.cut)

    def _result(self, duration_s: float) -> DemoResult:
        parts = open_parts(self._config, create=False)
        outer = (*self._edge.statistics().children, *self._cloud.statistics().children)
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
            fleet=read_fleet(self._setting.folder),
        )


def _tree(name: str, specs: list[ChildSpec]) -> Supervisor:
    return Supervisor(
        name,
        specs,
        intensity=Intensity(restarts=30, within_s=60.0),
        backoff=BackOff(first_s=0.1, max_s=2.0),
    )


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
        shutil.rmtree(runtime(folder), ignore_errors=True)
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


def _tell(result: DemoResult, *, json: bool) -> None:
    if json:
        typer.echo(msgspec.json.encode(result).decode())
        return
    typer.echo(
        f"{result.units} units, {result.samples} samples taken of {result.expected_samples} "
        f"expected, {result.stored_rows} stored at the site, {result.fleet.samples_stored} in the "
        f"fleet, {result.fleet.reported_lost} reported lost, {result.fleet.duplicates} duplicates: "
        + ("every one is accounted for" if result.complete else "SOME ARE NOT ACCOUNTED FOR")
    )
    typer.echo(f"{result.missed_ticks} ticks missed, {result.restarts} restarts")
    if result.fleet.uplink_lag_ms:
        lag = result.fleet.uplink_lag_ms
        typer.echo(f"from measurement to the fleet p50 {lag.p50} p99 {lag.p99} ms")
    if result.spacing_ms and result.response_error_kw:
        typer.echo(
            f"spacing p50 {result.spacing_ms.p50} p99.9 {result.spacing_ms.p999} ms; "
            f"response error p99 {result.response_error_kw.p99} "
            f"max {result.max_response_error_kw} kW"
        )
