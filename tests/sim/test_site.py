"""The whole simulator as a program: its processes, its verbs, its end."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tenhertz.errors import UserError
from tenhertz.sim.options import SiteOptions

SIM = [sys.executable, "-m", "tenhertz.sim"]


class Site:
    """A simulator started as another program would start it."""

    def __init__(self, base_port: int, *options: str) -> None:
        command = [*SIM, "site", "--json", "--base-port", str(base_port), *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.ready: dict[str, Any] = json.loads(line)


@contextlib.contextmanager
def site(base_port: int, *options: str) -> Iterator[Site]:
    running = Site(base_port, *options)
    try:
        yield running
    finally:
        running.process.terminate()
        running.process.communicate(timeout=5)


def read(port: int, address: int, count: int) -> bytes:
    """Ask once over a connection of its own; return the registers."""
    with socket.create_connection(("127.0.0.1", port), 2) as wire, wire.makefile("rb") as replies:
        wire.sendall(struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, address, count))
        header = replies.read(9)
        if len(header) < 9:
            raise ConnectionError("the session ended without a reply")
        return replies.read(header[8])


def verb(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SIM, *arguments], capture_output=True, text=True, timeout=20)


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie has ended, whoever is late to fetch it)."""
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(true: Any, within_s: float = 5.0) -> bool:
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError):
            if true():
                return True
        time.sleep(0.02)
    return False


@pytest.mark.slow
@pytest.mark.interop
def test_every_device_is_a_process_and_shows_the_same_grid(base_port: int) -> None:
    with site(base_port, "--units", "2", "--start-s", "100") as s:
        devices = [s.ready["meter"], *s.ready["units"]]
        assert [d["port"] for d in devices] == [base_port, base_port + 1, base_port + 2]
        assert len({d["pid"] for d in devices}) == 3
        shown_hz = struct.unpack(">f", read(base_port, 19050, 2))[0]
        for unit in s.ready["units"]:
            at_unit_hz = struct.unpack(">H", read(unit["port"], 108, 1))[0] / 1000
            assert at_unit_hz == pytest.approx(shown_hz, abs=0.01)
        began = time.monotonic()
        s.process.terminate()
        assert s.process.wait(5) == 0
        assert time.monotonic() - began < 2
        assert not any(alive(d["pid"]) for d in devices)


@pytest.mark.slow
@pytest.mark.interop
def test_a_killed_unit_comes_back_in_its_power_up_state(base_port: int) -> None:
    with site(base_port, "--units", "2", "--frequency-hz", "50") as s:
        victim = s.ready["units"][0]
        assert verb("fault", "--port", str(victim["port"]), "stall").returncode == 0
        os.kill(victim["pid"], signal.SIGKILL)
        assert until(lambda: not alive(victim["pid"]))
        assert until(lambda: read(victim["port"], 101, 1) == b"\0\1")
        assert alive(s.ready["units"][1]["pid"])


@pytest.mark.slow
@pytest.mark.interop
def test_the_children_die_with_their_parent(base_port: int) -> None:
    with site(base_port, "--units", "2") as s:
        s.process.kill()
        pids = [d["pid"] for d in [s.ready["meter"], *s.ready["units"]]]
        assert until(lambda: not any(alive(p) for p in pids), 2)


@pytest.mark.slow
@pytest.mark.interop
def test_many_units_share_the_processes_asked_for(base_port: int) -> None:
    with site(base_port, "--units", "5", "--processes", "2") as s:
        assert len({d["pid"] for d in [s.ready["meter"], *s.ready["units"]]}) == 2
        assert read(base_port + 5, 56, 2) == struct.pack(">I", 200_000)


@pytest.mark.slow
@pytest.mark.interop
def test_faults_and_state_are_reached_by_their_verbs(base_port: int) -> None:
    port = str(base_port + 1)
    with site(base_port, "--units", "1", "--soc", "0.25"):
        done = verb("fault", "--port", port, "late", "--ms", "1", "--seconds", "60", "--json")
        assert json.loads(done.stdout)["active_faults"] == ["late"]
        state = json.loads(verb("state", "--port", port, "--json").stdout)
        assert state["soc"] == pytest.approx(0.25)
        assert state["active_faults"] == ["late"]
        assert "none" in verb("fault", "--port", port, "clear").stdout
        refused = verb("fault", "--port", str(base_port), "clamp")
        assert refused.returncode == 2
        assert "no setpoint" in refused.stderr


@pytest.mark.slow
def test_a_taken_port_is_one_sentence_and_exit_code_two(base_port: int) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", base_port + 1))
        holder.listen()
        done = verb("site", "--units", "2", "--base-port", str(base_port))
    assert done.returncode == 2
    assert f"Port {base_port + 1}" in done.stderr
    assert "--base-port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_asking_where_nobody_is_is_one_sentence_and_exit_code_two(base_port: int) -> None:
    done = verb("state", "--port", str(base_port))
    assert done.returncode == 2
    assert "tenhertz sim site" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (SiteOptions(units=0), "--units"),
        (SiteOptions(units=1000), "--units"),
        (SiteOptions(base_port=65_000), "--base-port"),
        (SiteOptions(soc=50.0), "--soc"),
        (SiteOptions(power_w=0.0), "--power-kw"),
        (SiteOptions(latency_s=-0.1), "--latency-ms"),
        (SiteOptions(speed=float("nan")), "--speed"),
        (SiteOptions(frequency_hz=500.0), "--frequency-hz"),
        (SiteOptions(processes=0), "--processes"),
    ],
)
def test_an_option_that_cannot_be_followed_is_named(options: SiteOptions, says: str) -> None:
    with pytest.raises(UserError, match=says):
        options.check()
