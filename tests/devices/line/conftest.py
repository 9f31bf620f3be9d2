"""Devices of a few lines on real sockets of this machine, and a loop whose time jumps."""

import asyncio
import contextlib
import selectors
import socket
import types

import pytest

from tenhertz.devices import Line, Session


class JumpingLoop(asyncio.SelectorEventLoop):
    """When no socket has anything to say, the next timer is now."""

    def __init__(self):
        self.now_s = 1000.0
        jumping = self

        class Selector(selectors.DefaultSelector):
            def select(self, timeout=None):
                # The kernel may be slow to deliver on a loaded machine: grant it some real time.
                ready = super().select(0 if timeout is not None and timeout <= 0 else 0.003)
                if not ready and timeout is not None and timeout > 0:
                    jumping.now_s += timeout
                return ready

        super().__init__(Selector())

    def time(self):
        return self.now_s


def run(scenario):
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(scenario)


class Device:
    """A Modbus server of a few lines; `answer(request)` gives what to send, None is silence."""

    def __init__(self, answer, request_of):
        self.answer = answer
        self.requests = []
        self.connected_s = []
        self.open = []
        self._request_of = request_of
        self._server = None

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Peer(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.drop()

    def drop(self):
        for transport in self.open:
            transport.abort()

    @property
    def asked(self):
        return [request.what for request in self.requests]

    def heard(self, frame):
        self.requests.append(self._request_of(frame))
        return self.answer(self.requests[-1])


class Peer(asyncio.Protocol):
    def __init__(self, device):
        self.device = device
        self.held = b""

    def connection_made(self, transport):
        self.transport = transport
        self.device.open.append(transport)
        self.device.connected_s.append(asyncio.get_running_loop().time())

    def connection_lost(self, exc):
        self.device.open.remove(self.transport)

    def data_received(self, data):
        self.held += data
        while len(self.held) >= 6 and len(self.held) >= 6 + self.held[5]:
            size = 6 + self.held[5]
            frame, self.held = self.held[:size], self.held[size:]
            reply = self.device.heard(frame)
            if reply is not None:
                self.transport.write(reply)


def healthy(request):
    return request.reply(bytes(2 * request.count) if request.function == 3 else b"")


def mute(request):
    return None


def clock_ns():
    return round(asyncio.get_running_loop().time() * 1e9)


@pytest.fixture
def device(request_of):
    return lambda answer=healthy: Device(answer, request_of)


@pytest.fixture
def made(split):
    """Makes lines to a port; `said` gathers what they report."""

    def make(port, said=None, *, random=lambda: 0.5, connecting=None, clock=clock_ns):
        return Line(
            Session("unit 1", split),
            "127.0.0.1",
            port,
            clock_ns=clock,
            random=random,
            connecting=connecting or asyncio.Semaphore(10),
            changed=lambda line, reason: said is not None and said.append(reason),
        )

    return make


@contextlib.asynccontextmanager
async def running(*lines):
    tasks = [asyncio.create_task(line.run()) for line in lines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def beat(*lines, times=1):
    """What the site does, `times` periods long."""
    for _ in range(times):
        for line in lines:
            line.check(clock_ns())
            line.sample(clock_ns())
        await asyncio.sleep(0.1)


async def settle():
    """Long enough for whatever is on its way, shorter than any time-out."""
    await asyncio.sleep(0.01)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture(scope="session")
def net():
    """The functions above, for tests to call."""
    return types.SimpleNamespace(
        JumpingLoop=JumpingLoop,
        beat=beat,
        clock_ns=clock_ns,
        free_port=free_port,
        healthy=healthy,
        mute=mute,
        run=run,
        running=running,
        settle=settle,
    )
