"""The demo, from its command line to its verdict."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from tenhertz.cli.demo_fleet import FleetResult
from tenhertz.cli.demo_result import DemoResult, read_result
from tenhertz.site.status import Spread
from tenhertz.store import SampleRow, SiteStore, TickRow

FLEET = FleetResult(0, 0, 0, None, 0)
PERIOD_NS = 100_000_000
T0 = 1_800_000_000_000_000_000


def store(folder: Path, samples: list[SampleRow], ticks: list[TickRow]) -> Path:
    path = folder / "samples.sqlite"
    made = SiteStore(path, ["c01"], "normal")
    made.put("samples", (7, len(samples), len(samples)), samples, ticks)
    made.close()
    return path


def sample(number: int, late_ms: float = 0.0) -> SampleRow:
    at_ns = T0 + number * PERIOD_NS + round(late_ms * 1e6)
    return SampleRow(number, 0, number, at_ns, 0, 3, 0.0, 0.0, 0.5, 1.0, 1.0, 20.0, 0)


def tick(number: int, power_w: float = 0.0, frequency_hz: float = 50.0) -> TickRow:
    return TickRow(T0 + number * PERIOD_NS, number, 0, 3, 1, frequency_hz, 0.0, 0.0, power_w)


def result(path: Path, taken: int) -> DemoResult:
    return read_result(
        path,
        epoch=7,
        taken=taken,
        units=1,
        period_ms=100,
        capacities_w={"fcr-n": 100_000.0, "fcr-d-up": 80_000.0},
        profile="nordic-1.1",
        restarts=0,
        duration_s=10.0,
        fleet=FleetResult(taken, 0, 0, None, 0),
    )


def test_figures_come_from_what_was_stored(tmp_path: Path) -> None:
    samples = [sample(n, late_ms=30.0 if n == 50 else 0.0) for n in range(1, 101)]
    # FCR-N at 49.95 Hz is half of its capacity; one tick is 2 kW off. FCR-D asks for nothing.
    ticks = [tick(n, 48_000.0 if n == 80 else 50_000.0, 49.95) for n in range(1, 101) if n != 20]
    found = result(store(tmp_path, samples, ticks), taken=100)

    assert found.complete
    assert (found.samples, found.expected_samples, found.stored_rows) == (100, 100, 100)
    assert found.missed_ticks == 1
    assert found.spacing_ms is not None
    assert (found.spacing_ms.p50, found.spacing_ms.max) == (100.0, 130.0)
    assert found.max_response_error_kw == 2.0


def test_a_sample_that_was_taken_and_is_not_stored_shows(tmp_path: Path) -> None:
    found = result(store(tmp_path, [sample(n) for n in range(1, 10)], [tick(9)]), taken=10)

    assert not found.complete


def test_nothing_taken_is_no_success() -> None:
    nothing = DemoResult(1, 1.0, 0, 0, 0, Spread(0, 0, 0, 0), None, None, 0, 0, 0, FLEET)

    assert not nothing.complete


@pytest.mark.parametrize(
    ("fleet", "complete"),
    [
        (FleetResult(100, 0, 0, None, 0), True),
        (FleetResult(90, 0, 10, None, 0), True),
        (FleetResult(90, 0, 9, None, 0), False),
        (FleetResult(101, 1, 0, None, 0), False),
    ],
)
def test_every_sample_is_accounted_for_in_the_fleet_once(
    tmp_path: Path, fleet: FleetResult, complete: bool
) -> None:
    found = result(store(tmp_path, [sample(n) for n in range(1, 101)], [tick(100)]), taken=100)
    found = msgspec.structs.replace(found, fleet=fleet)

    assert found.complete is complete


def pids(folder: Path, part: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode().split("\0")
        except OSError:
            continue
        line = " ".join(words)
        if part in line and str(folder) in line:
            found.append(int(entry.parent.name))
    return found


def wait_for(folder: Path, part: str, but: int = 0) -> int:
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        found = [pid for pid in pids(folder, part) if pid != but]
        if found:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"no process {part}")


@pytest.mark.slow
@pytest.mark.interop
@pytest.mark.timeout(120)
def test_every_sample_is_stored_although_each_process_is_killed(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tenhertz", "demo", "--headless", "--json", "--units", "3"]
    demo = subprocess.Popen(
        [*words, "--duration", "24", "--outage", "3", "--keep", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for part in (
            "tenhertz.site.control",
            "tenhertz.site.gateway",
            "tenhertz site run",
            "tenhertz.site.uplink",
            "tenhertz.telemetry.ingest",
            "tenhertz.telemetry.writer",
            "mosquitto",
            "tenhertz.telemetry.serve",
        ):
            wait_for(tmp_path, part)
            time.sleep(2.0)  # let it live for a while: what is tested is a running site
            pid = wait_for(tmp_path, part)  # another one where its parent was killed before
            os.kill(pid, signal.SIGKILL)
            wait_for(tmp_path, "tenhertz.site.control", but=pid)
        told = json.loads(demo.communicate(timeout=55)[0])
    finally:
        demo.kill()

    assert demo.returncode == 0
    assert told["samples"] == told["stored_rows"] > 0
    assert told["restarts"] >= 6  # those within the fleet server are its own
    assert told["fleet"]["samples_stored"] == told["samples"]
    assert told["fleet"]["duplicates"] == told["fleet"]["reported_lost"] == 0
    assert {"units", "expected_samples", "missed_ticks", "max_response_error_kw"} <= told.keys()
    assert told["spacing_ms"].keys() == {"p50", "p99", "p999", "max"}
    assert not pids(tmp_path, "tenhertz.site")
