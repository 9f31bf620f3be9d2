"""What a stalling database does to the beat: storage inside the loop against the ring.

Twelve devices with 20 ms replies; another process holds the database's write lock for 300 ms every
second. Once the loop itself commits each tick's samples, as a simple controller would; once the
product's control process hands them to its gateway through the ring. Prints one JSON line.

    python bench/store_stall.py --seconds 15 --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path

import uvloop

import hot_path
from tenhertz.devices import Demand, Line, Session, wiring_for
from tenhertz.site.beat import Beat, Histogram

PERIOD_NS = 100_000_000


async def loop_with_storage(
    port: int, args: argparse.Namespace, database: Path
) -> dict[str, object]:
    """A beat that samples, writes setpoints and commits its samples, all in one loop."""
    db = sqlite3.connect(database, isolation_level=None, timeout=5)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE sample (unit, at_ns, power_w, soc)")
    arrived: dict[str, int] = {}
    spacing = Histogram()
    rows: list[tuple[str, int, float, float]] = []

    def sampled(session: Session) -> None:
        now_ns = time.monotonic_ns()
        reading = session.reading
        assert reading is not None
        if session.name in arrived:
            spacing.add(now_ns - arrived[session.name])
        arrived[session.name] = now_ns
        rows.append((session.name, now_ns, reading.power_w, reading.soc))

    wiring = wiring_for("generic-container")
    connecting = asyncio.Semaphore(100)
    lines = [
        Line(
            Session(f"d{n}", wiring, 200_000, sampled=sampled),
            "127.0.0.1",
            port + n,
            clock_ns=time.monotonic_ns,
            random=lambda: 0.5,
            connecting=connecting,
            changed=lambda _line, _reason: None,
        )
        for n in range(args.devices)
    ]
    tasks = [asyncio.create_task(line.run()) for line in lines]
    for line in lines:
        line.demand(Demand.POWER, time.monotonic_ns())
    await asyncio.sleep(1.0)
    locker = (database, time.monotonic() + args.seconds)
    threading.Thread(target=hot_path.lock_database, args=locker, daemon=True).start()
    beat = Beat(PERIOD_NS, time.monotonic_ns())
    end_ns = time.monotonic_ns() + round(args.seconds * 1e9)
    while (now_ns := time.monotonic_ns()) < end_ns:
        if now_ns < beat.next_ns:
            await asyncio.sleep((beat.next_ns - now_ns) / 1e9)
            continue
        due = beat.due(now_ns)
        for line in lines:
            line.sample(now_ns)
        await asyncio.sleep(0.05)
        for line in lines:
            line.set_power(float(due.number % 1000), time.monotonic_ns())
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO sample VALUES (?, ?, ?, ?)", rows)
        db.execute("COMMIT")
        rows.clear()
    for task in tasks:
        task.cancel()
    expected = args.seconds * 10 * args.devices
    q = spacing.quantile_ms
    return {
        "missed_pct": round(100 * max(0.0, 1 - spacing.total / expected), 3),
        "missed_ticks": beat.skipped,
        "spacing_ms": {
            "p50": q(0.5),
            "p99": q(0.99),
            "p999": q(0.999),
            "max": round(spacing.largest_ns / 1e6, 2),
        },
    }


def main() -> None:
    """Measure both ways in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=12)
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--json", action="store_true", help="one JSON line (the default)")
    args = parser.parse_args()
    args.disturb, args.hostile, args.no_gateway = True, False, False
    folder = Path(tempfile.mkdtemp(prefix="tenhertz-bench-"))
    with hot_path.responder(args.devices, args.latency_ms) as (port, pid):
        try:
            inside = uvloop.run(loop_with_storage(port, args, folder / "inside.sqlite"))
            ring = hot_path.measure(folder, port, pid, args)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(Path("/dev/shm") / folder.name, ignore_errors=True)  # noqa: S108
    p999 = [float(way["spacing_ms"]["p999"]) for way in (inside, ring)]  # type: ignore[index]
    told = {"storage_inside_the_loop": inside, "ring": ring}
    print(json.dumps({**told, "peer_ratio": round(p999[0] / p999[1], 2)}))
    sys.stdout.flush()
    hot_path.leave()


if __name__ == "__main__":
    main()
