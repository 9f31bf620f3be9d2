"""A real site beside a simulated one, as processes, for tests that kill and stop them.

Everything is waited for by its condition, with bounds that only a broken program meets.
"""

import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tenhertz.errors import UserError
from tenhertz.site.config import load_config
from tenhertz.site.paths import open_parts
from tenhertz.site.status import decode_control, decode_gateway
from tenhertz.store import open_for_reading

PATIENCE_S = 40.0
DOORS = 1000
RUNNING, LOCAL = 3, 0
TENHERTZ = [sys.executable, "-m", "tenhertz"]


def free_base(count):
    """The first of `count` ports that are free, with their doors, below the ephemeral ones."""
    for _ in range(200):
        base = random.randrange(20_000, 30_000, 10)  # other tests look for ports at the same time
        if all(map(_is_free, [base + n + door for n in range(count) for door in (0, DOORS)])):
            return base
    raise AssertionError("no free ports")


def _is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_for(condition, what):
    """Wait until `condition` yields something true, and return that."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come to pass")


class RunningSite:
    """Simulated units and a meter at 49.95 Hz, and a site that answers with half its FCR-N."""

    def __init__(self, folder, units=2, simulated=True):
        self.units = units
        self.base = free_base(units + 1)
        self.path = folder / "site.toml"
        self.log = folder / "site.log"
        self.database = folder / "var" / "samples.sqlite"
        self.path.write_text(self._toml(folder), encoding="utf-8")
        self._simulated = simulated
        self._processes = []

    def __enter__(self):
        try:
            if self._simulated:
                self._simulate()
            self.parent = self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with suppress(UserError):  # then the site never ran
            for pid in filter(None, (self.pid_of("gateway"), self.pid_of("control"))):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.wait(15)
            if process.stdout:
                process.stdout.close()

    def _toml(self, folder):
        lines = [
            "[site]",
            f'name = "test-{self.base}"',
            f'runtime_dir = "{folder / "run"}"',
            "[control]",
            'scheduling = "normal"',
            "hung_after_ms = 10000",
            "[frequency]",
            'source = "meter"',
            'host = "127.0.0.1"',
            f"port = {self.base}",
            "[[contract]]",
            'product = "fcr-n"',
            f"capacity_kw = {100 * self.units}",
        ]
        for number in range(1, self.units + 1):
            lines += ["[[unit]]", f'name = "c{number}"', 'host = "127.0.0.1"']
            lines += [f"port = {self.base + number}", "power_kw = 200", "energy_kwh = 400"]
        return "\n".join(lines) + "\n"

    def _simulate(self):
        options = ["--units", str(self.units), "--base-port", str(self.base), "--json"]
        command = [sys.executable, "-m", "tenhertz.sim", "site", *options]
        command += ["--frequency-hz", "49.95"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._processes.append(process)
        assert json.loads(process.stdout.readline())["ready"]

    def start(self):
        """Start the site's parent process."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*TENHERTZ, "site", "run", str(self.path)], stdout=log, stderr=log
            )
        self._processes.append(process)
        return process

    def command(self, *words):
        """Run `tenhertz site <words> site.toml`; its exit code, output and errors."""
        done = subprocess.run(
            [*TENHERTZ, "site", *words, str(self.path)], capture_output=True, text=True, timeout=30
        )
        return done.returncode, done.stdout, done.stderr

    # -- how it stands --------------------------------------------------------------------------

    @property
    def parts(self):
        return open_parts(load_config(self.path), create=False)

    @property
    def control(self):
        """What the control process posted last; None before the first."""
        return self._posted("control", decode_control)

    @property
    def gateway(self):
        return self._posted("gateway", decode_gateway)

    def _posted(self, board, decode):
        try:
            notice = getattr(self.parts, board).read()
        except (FileNotFoundError, ValueError):  # being made
            return None
        return decode(notice) if notice else None

    def pid_of(self, name):
        found = getattr(self, name)
        return found.pid if found else 0

    @property
    def tally(self):
        return self.parts.samples.state.tally

    def door(self, unit):
        """What the simulator itself tells of the unit, whatever its registers show."""
        address = ("127.0.0.1", self.base + unit + DOORS)
        with socket.create_connection(address, timeout=5) as door:
            door.sendall(b'{"do": "state"}\n')
            with door.makefile() as answers:
                return json.loads(answers.readline())

    @property
    def states(self):
        return [self.door(unit) for unit in range(1, self.units + 1)]

    def delivering(self):
        """Whether every unit follows a setpoint and delivers."""
        return all(
            state["pcs_state"] == RUNNING and state["setpoint_w"] > 1000 and state["power_w"] > 1000
            for state in self.states
        )

    def stopped(self):
        """Whether no unit runs or is asked for power."""
        return all(
            state["pcs_state"] != RUNNING and state["setpoint_w"] == 0 for state in self.states
        )

    def released(self):
        """Whether every unit is back in its own hands, without power."""
        return all(
            state["source"] == LOCAL and state["setpoint_w"] == 0 and abs(state["power_w"]) < 1
            for state in self.states
        )

    def ticks_go_on(self, count):
        """Wait until control has made `count` more ticks."""
        first = wait_for(lambda: self.control, "a first notice").tick
        wait_for(lambda: self.control.tick >= first + count, f"{count} more ticks")

    def rows(self, query):
        try:
            with open_for_reading(self.database) as db:
                return db.execute(query).fetchall()
        except sqlite3.OperationalError:  # not made yet
            return []

    def wait_for_delivery(self):
        def delivering():
            assert self.parent.poll() is None, self.log.read_text()
            return self.delivering()

        wait_for(delivering, "delivery by every unit")
        wait_for(lambda: self.rows("SELECT 1 FROM sample LIMIT 1"), "a first stored sample")

    def end(self, signal_number=signal.SIGTERM):
        """End the parent; its exit code."""
        self.parent.send_signal(signal_number)
        return self.parent.wait(PATIENCE_S)

    def assert_all_stored(self):
        """Every sample that was taken is in the database once, and none is missing."""
        taken = self.tally
        assert taken > 0
        numbers = [row[0] for row in self.rows("SELECT number FROM sample ORDER BY number")]
        assert self.rows("SELECT * FROM loss") == []
        assert numbers == list(range(1, taken + 1))


def alive(pid):
    """Whether the process runs; a zombie does not."""
    try:
        with Path(f"/proc/{pid}/stat").open() as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
