"""The line on real sockets of this machine, in time that jumps: no test waits for a clock."""

import asyncio
import contextlib
import itertools
import selectors
import socket

import pytest
import uvloop

from tenhertz.devices import Condition, Demand, Line, Session

STOP = [("write", 500, bytes(2)), ("write", 501, b"\x00\x02")]
RELEASE = [("write", 500, bytes(2)), ("write", 501, bytes(2))]
SAMPLE = [("read", 10, 2), ("read", 400, 3)]


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


@pytest.mark.parametrize("loop", [JumpingLoop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_line_connects_without_delay_on_small_frames_and_samples(made, device, loop):
    async def scenario():
        said = []
        async with device() as unit:
            line = made(unit.port, said)
            async with running(line):
                while not unit.open:
                    await settle()
                line.sample(clock_ns())
                while line.session.counters.samples < 1:
                    await settle()
                raw = line._transport.get_extra_info("socket")
                options = [
                    raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
                    raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                ]
        return said, options, unit.asked

    with asyncio.Runner(loop_factory=loop) as runner:
        said, options, asked = runner.run(scenario())
    assert said == [""]
    assert all(options)
    assert asked == SAMPLE


def test_a_dropped_line_comes_back_and_samples_again(made, device):
    async def scenario():
        said = []
        async with device() as unit:
            line = made(unit.port, said)
            async with running(line):
                await beat(line, times=3)
                unit.drop()
                await settle()
                assert line.session.condition(clock_ns()) is Condition.ABSENT
                before = line.session.counters.samples
                await beat(line, times=10)
                assert line.session.counters.samples > before
                assert line.session.counters.connects == 2
        return said

    first, lost, again = run(scenario())
    assert (first, again) == ("", "")
    assert lost


@pytest.mark.slow
def test_pauses_between_attempts_double_up_to_ten_seconds(made, device):
    async def scenario(random):
        async with device(lambda request: b"not Modbus at all") as unit:
            line = made(unit.port, random=random)
            async with running(line):
                while len(unit.connected_s) < 9:
                    await beat(line)
        return unit.connected_s

    times = run(scenario(lambda: 0.5))
    pauses = [round(b - a, 1) for a, b in itertools.pairwise(times)]
    # The line is dropped by the first beat after it stands, at most 0.1 s later.
    for pause, wanted in zip(pauses, [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10], strict=True):
        assert wanted - 0.01 <= pause <= wanted + 0.11
    times = run(scenario(lambda: 0.0))
    assert 4.9 <= times[-1] - times[-2] <= 5.11


@pytest.mark.slow
def test_a_device_that_proved_itself_is_tried_again_soon(made, device):
    async def scenario():
        async with device(lambda request: b"not Modbus at all") as unit:
            line = made(unit.port)
            async with running(line):
                while len(unit.connected_s) < 6:
                    await beat(line)
                unit.answer = healthy
                while line.session.counters.samples < 12:
                    await beat(line)
                connected = len(unit.connected_s)
                unit.drop()
                lost_s = asyncio.get_running_loop().time()
                while len(unit.connected_s) == connected:
                    await beat(line)
        return unit.connected_s[-1] - lost_s

    assert run(scenario()) == pytest.approx(0.2, abs=0.01)


@pytest.mark.slow
def test_ports_that_refuse_never_block_a_device_that_answers(made, device):
    async def scenario():
        said = []
        connecting = asyncio.Semaphore(1)
        async with device() as unit:
            dead = [made(free_port(), said, connecting=connecting) for _ in range(5)]
            line = made(unit.port, connecting=connecting)
            async with running(*dead, line):
                await settle()
                await beat(*dead, line, times=100)
        return line.session.counters, said

    counters, said = run(scenario())
    assert counters.samples == 100
    assert counters.missed == 0
    assert said == ["Connection refused"] * 5, "each says it once, not at every attempt"


def test_an_attempt_that_gets_no_answer_is_given_up_and_said(made):
    async def scenario():
        said = []
        attempts = []
        loop = asyncio.get_running_loop()

        async def nobody(*_):
            attempts.append(loop.time())
            await asyncio.Event().wait()

        loop.create_connection = nobody
        async with running(made(1, said)):
            await asyncio.sleep(5)
        return said, [at - attempts[0] for at in attempts]

    said, attempts = run(scenario())
    assert said == ["no answer to the connection attempt within 2 s"]
    assert attempts == pytest.approx([0, 2.2, 4.6])


def test_a_peer_that_accepts_and_never_answers_is_dropped_after_its_time_outs(made, device):
    async def scenario():
        said = []
        async with device(mute) as unit:
            line = made(unit.port, said)
            async with running(line):
                await beat(line, times=11)
                assert line.session.condition(clock_ns()) is Condition.ABSENT
                assert unit.open == []
                await beat(line, times=5)
                assert len(unit.connected_s) == 2
        return said, line.session.counters.timeouts

    said, timeouts = run(scenario())
    assert said == ["", "3 requests in a row were not answered", ""]
    assert timeouts >= 3


def test_bytes_that_are_not_modbus_end_the_connection_with_the_reason(made, device):
    async def scenario():
        said = []
        async with device(lambda request: b"HTTP/1.1 400 Bad Request") as unit:
            line = made(unit.port, said)
            async with running(line):
                await settle()
                await beat(line)
                assert unit.open == []
        return said

    assert "not Modbus" in run(scenario())[1]


def test_a_stop_reaches_the_device_over_an_open_sample(made, device):
    async def scenario():
        async with device(lambda r: None if r.function == 3 else r.reply()) as unit:
            line = made(unit.port)
            async with running(line):
                await settle()
                line.sample(clock_ns())
                line.demand(Demand.STOP, clock_ns())
                await settle()
        return unit.asked, line.session.settled

    assert run(scenario()) == ([SAMPLE[0], *STOP], True)


def test_a_stop_asked_for_without_a_connection_is_the_first_thing_on_it(made, device):
    async def scenario():
        async with device() as unit:
            line = made(unit.port)
            line.demand(Demand.STOP, clock_ns())
            async with running(line):
                await settle()
        return unit.asked

    assert run(scenario()) == STOP


def test_a_stop_outlives_connections_that_never_answer_it(made, device):
    async def scenario():
        async with device(mute) as unit:
            line = made(unit.port)
            async with running(line):
                await settle()
                line.demand(Demand.STOP, clock_ns())
                while len(unit.connected_s) < 3:
                    await beat(line)
                unit.answer = healthy
                await beat(line, times=4)
        return unit.asked, line.session.settled

    asked, settled = run(scenario())
    assert settled
    assert set(asked[: asked.index(STOP[1])]) == {STOP[0]}


def test_what_waits_for_the_pause_after_a_write_is_sent_when_it_ends(made, device):
    async def scenario():
        async with device() as unit:
            line = made(unit.port)
            async with running(line):
                await settle()
                line.demand(Demand.RELEASE, clock_ns())
                while not line.session.settled:
                    await settle()
                line.sample(clock_ns())
                await asyncio.sleep(0.06)
        return unit.asked

    assert run(scenario()) == [*RELEASE, *SAMPLE]


def test_a_long_pause_does_not_hold_up_what_waits_for_a_short_one(made, device):
    async def scenario():
        def refusing(request):
            return request.refusal() if request.function == 16 else healthy(request)

        async with device(refusing) as unit:
            line = made(unit.port)
            async with running(line):
                await settle()
                line.demand(Demand.RELEASE, clock_ns())
                await asyncio.sleep(0.06)
                assert unit.asked == RELEASE
                line.sample(clock_ns())
                await asyncio.sleep(0.06)
                assert unit.asked == [*RELEASE, *SAMPLE]
                unit.answer = healthy
                await asyncio.sleep(3.1)
        return unit.asked[4:], line.session.settled

    assert run(scenario()) == (RELEASE, True)


def test_a_line_with_nothing_to_send_sleeps(made, device, monkeypatch):
    woken = []
    wake = Line._wake
    monkeypatch.setattr(Line, "_wake", lambda line: (woken.append(1), wake(line)))

    async def scenario():
        async with device() as unit:
            line = made(unit.port)
            async with running(line):
                await settle()
                line.demand(Demand.POWER, clock_ns())
                line.set_power(5, clock_ns())
                line.demand(Demand.STOP, clock_ns())
                await settle()
                line.set_power(6, clock_ns())
                await asyncio.sleep(10)
                assert line.session.settled

    run(scenario())
    assert len(woken) <= 2


def test_a_cancelled_line_closes_its_connection(made, device):
    async def scenario():
        async with device() as unit:
            async with running(made(unit.port)):
                await settle()
                assert len(unit.open) == 1
            await settle()
            assert unit.open == []

    run(scenario())


def test_calls_without_a_connection_do_nothing_and_do_not_fail(made):
    async def scenario():
        line = made(free_port())
        line.sample(0)
        line.set_power(5, 0)
        line.demand(Demand.POWER, 0)
        line.check(0)
        with pytest.raises(ValueError, match="setpoint"):
            line.set_power(float("nan"), 0)

    run(scenario())
