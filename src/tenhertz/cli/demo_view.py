"""What the demo shows while it runs: a live screen, a progress bar, or nothing."""

from __future__ import annotations

import os
import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import Progress, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from tenhertz.cli.chart import line_chart
from tenhertz.cli.demo_fleet import FleetSight
from tenhertz.cli.site_view import site_panel
from tenhertz.site.paths import Parts
from tenhertz.site.status import (
    ControlStatus,
    decode_control,
    decode_gateway,
    decode_uplink,
)

_HISTORY = 240
_CHART_HEIGHT = 5


class DemoView:
    """Shows a running demo on the terminal behind a file handle."""

    def __init__(self, handle: int, *, headless: bool, json: bool, limit_s: float | None) -> None:
        self._console = Console(file=os.fdopen(os.dup(handle), "w", encoding="utf-8"))
        self._limit_s = limit_s
        self._hertz: deque[float] = deque(maxlen=_HISTORY)
        self._target_kw: deque[float] = deque(maxlen=_HISTORY)
        self._power_kw: deque[float] = deque(maxlen=_HISTORY)
        self._live: Live | None = None
        self._progress: Progress | None = None
        if not headless and self._console.is_terminal:
            self._live = Live(
                Text("starting the simulator and the site ..."), console=self._console, screen=True
            )
        elif self._console.is_terminal and not json and limit_s:
            columns = (*Progress.get_default_columns()[:-1], TimeRemainingColumn())
            self._progress = Progress(*columns, console=self._console)

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        if self._progress:
            self._progress.start()
            self._progress.add_task("running", total=self._limit_s)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()
        if self._progress:
            self._progress.stop()

    def update(
        self, parts: Parts, elapsed_s: float, fleet: FleetSight | None, *, cut: bool
    ) -> None:
        """Show the newest state."""
        if self._progress:
            self._progress.update(self._progress.task_ids[0], completed=elapsed_s)
        if self._live:
            self._live.update(self._screen(parts, elapsed_s, fleet, cut=cut))

    def _screen(
        self, parts: Parts, elapsed_s: float, fleet: FleetSight | None, *, cut: bool
    ) -> RenderableType:
        control, gateway = parts.control.read(), parts.gateway.read()
        if not control or not gateway:
            return Text("the site is starting ...")
        status = decode_control(control)
        self._remember(status)
        age_s = (time.monotonic_ns() - parts.control.heartbeat[1]) / 1e9
        width = max(20, min(self._console.width - 14, _HISTORY // 2))
        left = f"{self._limit_s - elapsed_s:.0f} s left" if self._limit_s else "Ctrl-C ends it"
        return Group(
            Text.assemble(("tenhertz demo", "bold"), f"   {elapsed_s:.0f} s, {left}"),
            self._chart("Hz", list(self._hertz), [], width, "{:.3f}"),
            self._chart("kW", list(self._power_kw), list(self._target_kw), width, "{:+.0f}"),
            site_panel(status, decode_gateway(gateway), age_s),
            _link_panel(status, parts, fleet, cut=cut),
        )

    def _remember(self, status: ControlStatus) -> None:
        if status.frequency_hz is not None:
            self._hertz.append(status.frequency_hz)
            self._target_kw.append(status.target_w / 1000)
            self._power_kw.append(status.power_w / 1000)

    def _chart(
        self, unit: str, values: list[float], beside: list[float], width: int, form: str
    ) -> RenderableType:
        if not values:
            return Text(f"no {unit} yet")
        low, high = min(values + beside), max(values + beside)
        grid = Table.grid(padding=(0, 1))
        rows = line_chart(values, width, _CHART_HEIGHT, low, high)
        for index, row in enumerate(rows):
            label = {0: form.format(high), _CHART_HEIGHT - 1: form.format(low)}.get(index, "")
            grid.add_row(Text(f"{label:>9} {unit if index == 0 else '  '}", "dim"), row)
        return grid


def _link_panel(
    status: ControlStatus, parts: Parts, fleet: FleetSight | None, *, cut: bool
) -> RenderableType:
    """What was taken, sent, stored and alerted."""
    notice = parts.uplink.read()
    grid = Table(box=None, pad_edge=False)
    for name in ("taken", "sent", "waiting", "round trip", "fleet has", "stored", "alerts"):
        grid.add_column(name, justify="right", style="bold")
    cells = [f"{status.samples:,}"]
    if notice:
        sent = decode_uplink(notice)
        up = "" if sent.talking else " (no link)"
        cells += [f"{sent.sent_rows:,} rows", f"{sent.waiting_rows:,}{up}"]
        cells.append(f"{sent.round_trip_ms:.0f} ms")
    else:
        cells += ["-", "-", "-"]
    if fleet is not None:
        stored = (fleet.writer or {}).get("rows", 0)
        alerts = sum(fleet.alerts_open.values())
        cells += [f"{fleet.rows:,} rows", f"{stored:,} rows", str(alerts)]
    else:
        cells += ["starting", "-", "-"]
    grid.add_row(*cells)
    title = Text("the link is cut", "bold red") if cut else Text("site to fleet", "dim")
    return Group(title, grid)
