"""What the interop tests share: our line to a port, and the foreign library."""

import asyncio
import contextlib
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tenhertz.devices import Line, Session

PROGRAM = Path(__file__).with_name("libmodbus.py")
PATIENCE_S = 20


def _module():
    spec = importlib.util.spec_from_file_location("libmodbus_by_ctypes", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def libmodbus():
    """The module `libmodbus.py`, for those who have the library."""
    module = _module()
    try:
        module.load()
    except OSError:
        pytest.skip("libmodbus.so.5 is not installed; run: sh scripts/interop-setup")
    return module


class Slave:
    """libmodbus as a device, in a process of its own."""

    def __init__(self, preset):
        command = [sys.executable, str(PROGRAM), json.dumps(preset)]
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = self._line()["port"]

    def _line(self):
        return json.loads(self._child.stdout.readline())

    def heard(self, count):
        """The next `count` requests as libmodbus saw them."""
        return [self._line() for _ in range(count)]

    def end(self):
        self._child.kill()
        self._child.wait()
        self._child.stdout.close()


@pytest.fixture
def slave(libmodbus):
    """Starts libmodbus as a slave with the registers given."""
    with contextlib.ExitStack() as ending:

        def start(preset):
            started = Slave({str(address): words for address, words in preset.items()})
            ending.callback(started.end)
            return started

        yield start


class Talk:
    """Our line to a foreign device, waiting for what must come."""

    def __init__(self, wiring, port):
        self.said = []
        self.line = Line(
            Session("unit 1", wiring),
            "127.0.0.1",
            port,
            clock_ns=time.monotonic_ns,
            random=lambda: 0.5,
            connecting=asyncio.Semaphore(1),
            changed=lambda line, reason: self.said.append(reason),
        )
        self.session = self.line.session
        self.counters = self.session.counters

    async def until(self, holds):
        """Wait until `holds()`, giving up what is overdue on the way."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self.line.check(time.monotonic_ns())
                await asyncio.sleep(0.005)

    async def sample(self):
        before = self.counters.samples
        self.line.sample(time.monotonic_ns())
        await self.until(lambda: self.counters.samples > before)
        return self.session.reading

    async def power(self, power_w):
        before = self.session.acknowledged_ns
        self.line.set_power(power_w, time.monotonic_ns())
        await self.until(lambda: self.session.acknowledged_ns > before)

    async def demand(self, demand):
        self.line.demand(demand, time.monotonic_ns())
        await self.until(lambda: self.session.settled)

    def now(self):
        return time.monotonic_ns()


@pytest.fixture
def talk():
    """A running line to a port, for the length of an `async with`."""

    @contextlib.asynccontextmanager
    async def talking(wiring, port):
        talk = Talk(wiring, port)
        task = asyncio.create_task(talk.line.run())
        try:
            await talk.until(lambda: talk.session.connected)
            yield talk
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return talking
