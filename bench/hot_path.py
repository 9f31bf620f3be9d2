"""How many devices the control process carries at ten hertz, and how evenly.

Per device and 100 ms: read 40 registers, write one two-register setpoint, over real sockets to a
responder in another process. The control process is the product's own, and so is the gateway that
stores what it samples. Prints one JSON line; docs/benchmarks.md says what each figure means.

    python bench/hot_path.py --devices 12 --latency-ms 20 --seconds 30 --disturb --json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import psutil

from tenhertz.site.config import load_config
from tenhertz.site.paths import Parts, open_parts
from tenhertz.site.record import Sample, unpack
from tenhertz.site.status import ControlStatus, decode_control

HERE = Path(__file__).parent
WARM_UP_S = 4.0


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=12)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--json", action="store_true", help="one JSON line (the default)")
    parser.add_argument("--peer", choices=("sequential", "threads", "pymodbus-async"))
    parser.add_argument(
        "--disturb",
        action="store_true",
        help="lock the database for 300 ms every second and run a CPU-bound job in the gateway",
    )
    parser.add_argument(
        "--hostile",
        action="store_true",
        help="a CPU-bound thread and a million objects inside the control process itself",
    )
    parser.add_argument(
        "--no-gateway", action="store_true", help="store nothing: the control process alone"
    )
    return parser.parse_args()


def site_toml(folder: Path, port: int, args: argparse.Namespace) -> Path:
    """A site that writes every setpoint in every period."""
    units = "".join(
        f'[[unit]]\nname = "d{n}"\nhost = "127.0.0.1"\nport = {port + n}\n'
        "power_kw = 200\nenergy_kwh = 400\n"
        for n in range(args.devices)
    )
    text = f"""
[site]
name = "bench"
data_dir = "."
runtime_dir = "/dev/shm/{folder.name}"
[frequency]
source = "recording"
recording = "nordic-2024-04-08"
[gate]
delta = 0.0
refresh_ms = 20
[ring]
hold_s = {args.seconds + WARM_UP_S + 30}
largest_mb = 2000
[[contract]]
product = "fcr-n"
capacity_kw = {args.devices * 50}
{units}"""
    path = folder / "site.toml"
    path.write_text(text)
    return path


def free_ports(count: int) -> int:
    """The first of `count` consecutive ports that are free now."""
    for first in range(20_000, 32_000 - count, 500):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise SystemExit(f"no {count} free ports in a row were found above 20000")


def start(*command: str, pipe: bool = False) -> subprocess.Popen[str]:
    """A Python process."""
    # What a child logs is not read here: a full pipe must not hold it up.
    stdout = subprocess.PIPE if pipe else subprocess.DEVNULL
    stderr = None if pipe else subprocess.DEVNULL
    return subprocess.Popen([sys.executable, *command], stdout=stdout, stderr=stderr, text=True)


def lock_database(path: Path, until_s: float) -> None:
    """Hold the database's write lock for 300 ms every second."""
    while time.monotonic() < until_s:
        time.sleep(0.7)
        if not path.exists():  # the gateway beside its busy thread takes a while to start
            continue
        db = sqlite3.connect(path, isolation_level=None, timeout=5)
        db.execute("BEGIN EXCLUSIVE")
        time.sleep(0.3)
        db.execute("ROLLBACK")
        db.close()


def status(parts: Parts) -> ControlStatus:
    """The newest status that the control process has posted."""
    return decode_control(parts.control.read())


def wait_for_units(parts: Parts, devices: int) -> None:
    """Wait until every device is under control."""
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        notice = parts.control.read()
        if notice:
            found = decode_control(notice)
            if sum(unit.condition == "controlled" for unit in found.units) == devices:
                return
        time.sleep(0.2)
    raise SystemExit("hot_path: not every device came under control within a minute")


def spacing(parts: Parts, begin_ns: int, end_ns: int) -> dict[str, float]:
    """Time between consecutive samples of a device as they arrived, between two UTC instants."""
    arrived: dict[int, list[int]] = {}
    position = 0
    while True:
        batch = parts.samples.read(position, 100_000)
        if not batch.records:
            break
        position = batch.first + len(batch.records)
        for body in batch.records:
            record = unpack(body)
            if isinstance(record, Sample) and begin_ns <= record.measured_at_ns <= end_ns:
                at_ns = record.measured_at_ns + record.round_trip_us * 500
                arrived.setdefault(record.unit, []).append(at_ns)
    gaps = sorted((b - a) / 1e6 for times in arrived.values() for a, b in pairwise(times))
    quantiles = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    found = {name: gaps[min(len(gaps) - 1, int(q * len(gaps)))] for name, q in quantiles.items()}
    return {name: round(ms, 2) for name, ms in {**found, "max": gaps[-1]}.items()}


def measure(folder: Path, port: int, other_pid: int, args: argparse.Namespace) -> dict[str, object]:
    """Run the control process and watch it from outside."""
    path = site_toml(folder, port, args)
    config = load_config(path)
    parts = open_parts(config, create=True)
    hostile = str(HERE / "hostile.py")
    prefix = [hostile, "--hog", "--objects", "1000000"] if args.hostile else ["-m"]
    control = start(*prefix, "tenhertz.site.control", str(path))
    children = [control]
    if not args.no_gateway:
        prefix = [hostile, "--hog"] if args.disturb else ["-m"]
        children.append(start(*prefix, "tenhertz.site.gateway", str(path)))
    try:
        wait_for_units(parts, args.devices)
        if args.disturb:
            until_s = time.monotonic() + WARM_UP_S + args.seconds
            locker = (folder / "samples.sqlite", until_s)
            threading.Thread(target=lock_database, args=locker, daemon=True).start()
        time.sleep(WARM_UP_S)
        process = psutil.Process(control.pid)
        other = psutil.Process(other_pid)
        other_cpu = sum(other.cpu_times()[:2])
        first, begin_s, cpu = status(parts), time.monotonic(), sum(process.cpu_times()[:2])
        time.sleep(args.seconds)
        last, took_s = status(parts), time.monotonic() - begin_s
        cpu = sum(process.cpu_times()[:2]) - cpu
        other_cpu = sum(other.cpu_times()[:2]) - other_cpu
        rss_mb = process.memory_info().rss / 1e6
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(10)
    periods = last.tick - first.tick
    expected = periods * args.devices
    reads = sum(u.samples for u in last.units) - sum(u.samples for u in first.units)
    writes = sum(u.writes for u in last.units) - sum(u.writes for u in first.units)
    missed = max(0, expected - min(reads, writes))
    return {
        "devices": args.devices,
        "latency_ms": args.latency_ms,
        "seconds": round(took_s, 1),
        "missed_pct": round(100 * missed / expected, 4),
        "missed_ticks": last.missed_ticks - first.missed_ticks,
        "spacing_ms": spacing(parts, first.at_ns, last.at_ns),
        "cpu_pct": round(100 * cpu / took_s, 2),
        "responder_cpu_pct": round(100 * other_cpu / took_s, 2),
        "rss_mb": round(rss_mb, 1),
        "scheduling": last.scheduling,
        "cycles_per_device_s": round(min(reads, writes) / args.devices / (periods * 0.1), 3),
    }


@contextmanager
def responder(devices: int, latency_ms: float) -> Iterator[tuple[int, int]]:
    """The devices, in a process of their own; yields their first port and its process number."""
    port = free_ports(devices)
    words = (str(port), str(devices), str(latency_ms))
    process = start(str(HERE / "responder.py"), *words, pipe=True)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield port, process.pid
    finally:
        process.kill()


def leave() -> NoReturn:
    """End at once: mapped rings and daemon threads need no tidy end."""
    sys.stdout.flush()
    os._exit(0)


def main() -> None:
    """Measure, and compare where a peer is asked for."""
    args = options()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    folder = Path(tempfile.mkdtemp(prefix="tenhertz-bench-"))
    with responder(args.devices, args.latency_ms) as (port, pid):
        try:
            result = measure(folder, port, pid, args)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(Path("/dev/shm") / folder.name, ignore_errors=True)  # noqa: S108
        result["peer_ratio"] = None
        if args.peer:
            words = (args.peer, str(port), str(args.devices), str(args.seconds))
            found = start(str(HERE / "peers.py"), *words, pipe=True).communicate()[0]
            peer = json.loads(found)
            result["peer"] = {"name": args.peer, **peer}
            ours, theirs = result["cycles_per_device_s"], peer["cycles_per_device_s"]
            result["peer_ratio"] = round(float(str(ours)) / theirs, 2) if theirs else None
    print(json.dumps(result))
    leave()


if __name__ == "__main__":
    main()
