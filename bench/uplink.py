"""How fast a site's database goes to the fleet, and how old the newest sample there is meanwhile.

A database with a backlog, the real uplink process, Mosquitto, and a real fleet server. Its peer, in
the same call over the same broker: one JSON message a sample at quality 1 with the same MQTT
library, received and decoded by a subscriber that stores nothing.

    python bench/uplink.py --seconds 20 --json

Prints one JSON line; docs/benchmarks.md says what each figure means.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gmqtt
import msgspec
import numpy as np

from ingest_wire import ask_status, free_port, mosquitto, process, wait_until_ready
from tenhertz.link import Kind
from tenhertz.site.config import load_config
from tenhertz.site.paths import open_parts
from tenhertz.store import SampleRow, SiteStore, TickRow
from tenhertz.store.embedded import EmbeddedReader
from tenhertz.store.embedded.catalogue import SEGMENT_FOLDER, Catalogue
from tenhertz.store.embedded.segments import read

UNITS, RATE_HZ, CHUNK = 12, 10, 12_000


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of the live part")
    parser.add_argument("--json", action="store_true", help="one JSON line (the default)")
    parser.add_argument("--backlog", type=int, default=600_000, help="samples")
    parser.add_argument("--peer-samples", type=int, default=20_000)
    return parser.parse_args()


def site_toml(folder: Path, broker_port: int) -> Path:
    """A site whose devices are never asked."""
    path = folder / "site.toml"
    units = "".join(
        f'[[unit]]\nname = "c{n:02}"\nhost = "127.0.0.1"\nport = {20_000 + n}\n'
        "power_kw = 200\nenergy_kwh = 400\n"
        for n in range(UNITS)
    )
    path.write_text(
        f'[site]\nname = "bench"\ndata_dir = "."\nruntime_dir = "{folder / "run"}"\n'
        '[frequency]\nsource = "meter"\nhost = "127.0.0.1"\n'
        f'[uplink]\nfleet = "bench"\nport = {broker_port}\n{units}'
    )
    return path


def fleet_toml(folder: Path, broker_port: int, http_port: int) -> Path:
    """Its server."""
    path = folder / "fleet.toml"
    path.write_text(
        f'[fleet]\nname = "bench"\ndata_dir = "fleet"\n[mqtt]\nport = {broker_port}\n'
        f'[http]\nlisten = "127.0.0.1:{http_port}"\n[[source]]\nmatch = "bench"\n'
    )
    return path


class Samples:
    """Rows as a site takes them."""

    def __init__(self, store: SiteStore, begin_ns: int) -> None:
        self._store = store
        self._begin_ns = begin_ns
        self.taken = 0

    def row(self, number: int, at_ns: int) -> SampleRow:
        """A sample that differs from its neighbours as real ones do."""
        tick, unit = divmod(number, UNITS)
        power_w = 50_000.0 + 10.0 * ((tick * 7 + unit * 3) % 90)
        soc = 0.5 + (tick % 5000) * 1e-5
        late_us = 20_000 + tick % 97
        return SampleRow(
            number, unit, tick, at_ns, late_us, 3, power_w, power_w, soc, 2e5, 2e5, 25.0, 0
        )

    def put(self, count: int, at_ns: int | None = None) -> None:
        """Store so many, at their place in the past or at an instant."""
        rows = []
        for number in range(self.taken + 1, self.taken + count + 1):
            past_ns = self._begin_ns + number // UNITS * (10**9 // RATE_HZ) + number % UNITS
            if at_ns is not None:  # the last instants before it
                ago = (self.taken + count - number) // UNITS
                past_ns = at_ns - ago * (10**9 // RATE_HZ) + number % UNITS
            rows.append(self.row(number, past_ns))
        self.taken += count
        at = rows[-1].measured_at_ns
        ticks = [TickRow(at, rows[-1].tick, 0, 3, UNITS, 50.0, 0.0, 0.0, 0.0)]
        self._store.put("samples", (1, self.taken, self.taken), rows, ticks)


def wait_for_rows(folder: Path, rows: int, patience_s: float = 120.0) -> float:
    """Wait until the fleet's store has so many samples; the monotonic time then."""
    until_s = time.monotonic() + patience_s
    while time.monotonic() < until_s:
        if stored(folder) >= rows:
            return time.monotonic()
        time.sleep(0.05)
    raise SystemExit(f"uplink: the fleet did not have {rows} samples after {patience_s:g} s")


def stored(folder: Path) -> int:
    """Samples in the fleet's store."""
    from tenhertz.store.account import decode_account

    reader = EmbeddedReader(folder / "fleet" / "store")
    state = reader.state().state
    reader.close()
    accounts = [decode_account(body) for key, body in state.items() if key.startswith("account/")]
    return sum(account.stored for account in accounts if account.kind == Kind.SAMPLE)


def live_lag_ms(folder: Path, backlog: int) -> dict[str, float]:
    """From the instant of a sample until the fleet had received it, of those after the backlog."""
    catalogue = Catalogue(folder / "fleet" / "store", writable=False)
    found = catalogue.segments(Kind.SAMPLE, minutes=False)
    catalogue.close()
    columns = ["source", "entity", "number", "time_ns", "received_ns"]
    blocks = read(folder / "fleet" / "store" / SEGMENT_FOLDER, found, columns=columns)
    lags = [
        (block.columns["received_ns"] - block.columns["time_ns"])[block.columns["number"] > backlog]
        for block in blocks
    ]
    p50, p99, most = np.percentile(np.concatenate(lags) / 1e6, (50, 99, 100)).round(1).tolist()
    return {"p50": p50, "p99": p99, "max": most}


async def peer(port: int, samples: list[SampleRow]) -> float:
    """Samples a second, one JSON message each, from publishing until the last is decoded."""
    done = asyncio.Event()
    heard = 0

    def on_message(_client: Any, _topic: str, payload: bytes, *_: Any) -> int:
        nonlocal heard
        msgspec.json.decode(payload)
        heard += 1
        if heard == len(samples):
            done.set()
        return 0

    one, other = gmqtt.Client("peer-site"), gmqtt.Client("peer-fleet")
    other.on_message = on_message
    await other.connect("127.0.0.1", port)
    other.subscribe("peer", qos=1)
    await one.connect("127.0.0.1", port)
    began_s = time.monotonic()
    for number, sample in enumerate(samples):
        body = msgspec.json.encode(sample._asdict())
        while True:
            try:
                one.publish("peer", body, qos=1)
                break
            except OverflowError:
                await asyncio.sleep(0.001)
        if number % 50 == 0:
            await asyncio.sleep(0)
    await asyncio.wait_for(done.wait(), 120)
    took_s = time.monotonic() - began_s
    await one.disconnect()
    await other.disconnect()
    return len(samples) / took_s


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Backlog, live, and the peer."""
    broker_port, http_port = free_port(), free_port()
    site = site_toml(folder, broker_port)
    server = fleet_toml(folder, broker_port, http_port)
    config = load_config(site)
    parts = open_parts(config, create=True)
    store = SiteStore(folder / config.store.file, [unit.name for unit in config.unit], "normal")
    span_ns = args.backlog // UNITS * (10**9 // RATE_HZ)
    samples = Samples(store, time.time_ns() - span_ns - 10**9)
    for _ in range(0, args.backlog, CHUNK):
        samples.put(min(CHUNK, args.backlog - samples.taken))
    with ExitStack() as stack:
        stack.enter_context(process(folder, *mosquitto(folder, broker_port)))
        stack.enter_context(
            process(folder, sys.executable, "-m", "tenhertz", "fleet", "serve", str(server))
        )
        wait_until_ready(http_port)
        python = (sys.executable, "-m", "tenhertz.site.uplink", str(site))
        uplink = stack.enter_context(process(folder, *python))
        began_s = time.monotonic()
        backlog_s = wait_for_rows(folder, args.backlog) - began_s
        size = _bytes_sent(parts)
        until_s = time.monotonic() + args.seconds
        while time.monotonic() < until_s:
            samples.put(3 * UNITS, time.time_ns())
            time.sleep(0.3)
        wait_for_rows(folder, samples.taken)
        status = ask_status(http_port)
        assert status is not None
        assert uplink.poll() is None
        rows = [samples.row(number, time.time_ns()) for number in range(args.peer_samples)]
        theirs = asyncio.run(peer(broker_port, rows))
        assert stored(folder) == samples.taken
    ours = args.backlog / backlog_s
    return {
        "samples_per_s": round(ours),
        "backlog_samples": args.backlog,
        "backlog_s": round(backlog_s, 2),
        "bytes_a_sample": round(size / args.backlog, 1),
        "live_lag_ms": live_lag_ms(folder, args.backlog),
        "duplicates": status["duplicates"],
        "peer": {
            "name": "a JSON message a sample, gmqtt, quality 1",
            "samples_per_s": round(theirs),
        },
        "peer_ratio": round(ours / theirs, 2),
    }


def _bytes_sent(parts: Any) -> int:
    from tenhertz.site.status import decode_uplink

    time.sleep(0.5)  # the board is written twice a second
    return decode_uplink(parts.uplink.read()).sent_bytes


def main() -> None:
    """Run and print."""
    args = options()
    folder = Path(tempfile.mkdtemp(prefix="tenhertz-uplink-"))
    try:
        print(json.dumps(run(args, folder)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
