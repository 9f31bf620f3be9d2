"""The other end of the demo: a broker, a fleet server, and the link between them and the site."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import shutil
import sys
from pathlib import Path

import msgspec

from tenhertz.cli.demo_setting import SITE, Setting, listens
from tenhertz.errors import UserError
from tenhertz.supervise import ChildSpec, process_child


class LagFigures(msgspec.Struct, frozen=True):
    """How long samples took from their measurement until the fleet had received them, in ms."""

    p50: float
    p99: float


class FleetResult(msgspec.Struct, frozen=True):
    """What the fleet's store holds of the demo, counted there."""

    samples_stored: int
    duplicates: int  # rows of the store beyond the first of their sequence number
    reported_lost: int  # samples that the site reported as lost, with a cause
    uplink_lag_ms: LagFigures | None
    alerts: int


class FleetSight(msgspec.Struct, frozen=True):
    """What the server's status page says, as far as the screen shows it."""

    rows: int
    duplicates: int
    spool_bytes: int
    alerts_open: dict[str, int]
    writer: dict[str, object] | None


def mosquitto() -> str:
    """Where the broker's program is.

    Raises:
        UserError: it is not installed.
    """
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    found = shutil.which("mosquitto", path=path)
    if found is None:
        raise UserError("the demo needs the MQTT broker Mosquitto; install the package 'mosquitto'")
    return found


def children(setting: Setting) -> list[ChildSpec]:
    """The broker and the fleet server."""
    conf = setting.folder / "mosquitto.conf"
    conf.write_text(
        f"listener {setting.broker_port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n",
        encoding="utf-8",
    )
    python = [sys.executable, "-m", "tenhertz.telemetry.serve"]
    return [
        ChildSpec(
            name="broker",
            start=process_child(
                [mosquitto(), "-c", str(conf)],
                ready=lambda: listens(setting.broker_port),
                ready_every_s=0.05,
            ),
        ),
        ChildSpec(
            name="fleet",
            start=process_child([*python, str(setting.folder / "fleet.toml")], says_ready=True),
            start_timeout_s=60.0,
            stop_timeout_s=20.0,
        ),
    ]


class Relay:
    """The link between site and broker, which can be cut."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.cut = False

    async def start(self) -> None:
        """Listen where the site expects the broker."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._setting.link_port)

    def set_cut(self, *, cut: bool) -> None:
        """Break all connections and refuse new ones, or carry again."""
        self.cut = cut
        if cut:
            for writer in self._writers:
                writer.transport.abort()

    async def stop(self) -> None:
        """Break everything."""
        self.set_cut(cut=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError):
            if self.cut:
                return
            there = await asyncio.open_connection("127.0.0.1", self._setting.broker_port)
            self._writers.add(there[1])
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
            self._writers.discard(there[1])
        self._writers.discard(writer)
        writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.transport.abort()


def sight(folder: Path) -> FleetSight | None:
    """What the fleet server says of itself now; None while it cannot be asked."""
    try:
        listening = msgspec.json.decode((folder / "fleet" / "addresses.json").read_bytes())
        host, port = listening["http"]
        connection = http.client.HTTPConnection(host, port, timeout=0.5)
        connection.request("GET", "/status")
        return msgspec.json.decode(connection.getresponse().read(), type=FleetSight)
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return None


def read_fleet(folder: Path) -> FleetResult:
    """Count what the fleet's store holds, after everything has ended."""
    import numpy as np

    from tenhertz.link import Kind
    from tenhertz.store.account import decode_account
    from tenhertz.store.embedded import segments
    from tenhertz.store.embedded.catalogue import SEGMENT_FOLDER, Catalogue
    from tenhertz.telemetry.alerts import AlertBook

    store = folder / "fleet" / "store"
    catalogue = Catalogue(store, writable=False)
    try:
        stored = catalogue.segments(Kind.SAMPLE, minutes=False)
        losses = catalogue.segments(Kind.LOSS, minutes=False)
        state = catalogue.recovered().state
    finally:
        catalogue.close()
    there = store / SEGMENT_FOLDER
    blocks = segments.read(
        there, stored, columns=["source", "entity", "stream", "sequence", "time_ns", "received_ns"]
    )
    sequence = np.concatenate([np.zeros(0, np.int64), *(b.columns["sequence"] for b in blocks)])
    lags = [(b.columns["received_ns"] - b.columns["time_ns"]) / 1e6 for b in blocks]
    lost = sum(int(b.columns["samples"].sum()) for b in segments.read(there, losses))
    for key, body in state.items():
        if key.startswith(f"account/{SITE}/") and decode_account(body).kind == Kind.SAMPLE:
            lost += decode_account(body).lost
    alerts = AlertBook(folder / "fleet" / "alerts.sqlite")
    raised = len(alerts.history(10_000))
    alerts.close()
    figures = None
    if len(sequence):
        p50, p99 = np.percentile(np.concatenate(lags), (50, 99)).round(1).tolist()
        figures = LagFigures(p50, p99)
    distinct = len(np.unique(sequence))
    return FleetResult(len(sequence), len(sequence) - distinct, lost, figures, raised)
