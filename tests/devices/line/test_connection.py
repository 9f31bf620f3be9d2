"""How a line connects, comes back, gives up; on real sockets, in time that jumps."""

import asyncio
import itertools
import socket

import pytest
import uvloop

from tenhertz.devices import Condition

SAMPLE = [("read", 10, 2), ("read", 400, 3)]


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_line_connects_without_delay_on_small_frames_and_samples(net, made, device, kind):
    async def scenario():
        said = []
        async with device() as unit:
            line = made(unit.port, said)
            async with net.running(line):
                while not unit.open:
                    await net.settle()
                line.sample(net.clock_ns())
                while line.session.counters.samples < 1:
                    await net.settle()
                raw = line._transport.get_extra_info("socket")
                options = [
                    raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
                    raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                ]
        return said, options, unit.asked

    loop = net.JumpingLoop if kind == "asyncio" else uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop) as runner:
        said, options, asked = runner.run(scenario())
    assert said == [""]
    assert all(options)
    assert asked == SAMPLE


def test_a_dropped_line_comes_back_and_samples_again(net, made, device):
    async def scenario():
        said = []
        async with device() as unit:
            line = made(unit.port, said)
            async with net.running(line):
                await net.beat(line, times=3)
                unit.drop()
                await net.settle()
                assert line.session.condition(net.clock_ns()) is Condition.ABSENT
                before = line.session.counters.samples
                await net.beat(line, times=10)
                assert line.session.counters.samples > before
                assert line.session.counters.connects == 2
        return said

    first, lost, again = net.run(scenario())
    assert (first, again) == ("", "")
    assert lost


@pytest.mark.slow
def test_pauses_between_attempts_double_up_to_ten_seconds(net, made, device):
    async def scenario(random):
        async with device(lambda request: b"not Modbus at all") as unit:
            line = made(unit.port, random=random)
            async with net.running(line):
                while len(unit.connected_s) < 9:
                    await net.beat(line)
        return unit.connected_s

    times = net.run(scenario(lambda: 0.5))
    pauses = [round(b - a, 1) for a, b in itertools.pairwise(times)]
    # The line is dropped by the first net.beat after it stands, at most 0.1 s later.
    for pause, wanted in zip(pauses, [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10], strict=True):
        assert wanted - 0.01 <= pause <= wanted + 0.11
    times = net.run(scenario(lambda: 0.0))
    assert 4.9 <= times[-1] - times[-2] <= 5.11


@pytest.mark.slow
def test_a_device_that_proved_itself_is_tried_again_soon(net, made, device):
    async def scenario():
        async with device(lambda request: b"not Modbus at all") as unit:
            line = made(unit.port)
            async with net.running(line):
                while len(unit.connected_s) < 6:
                    await net.beat(line)
                unit.answer = net.healthy
                while line.session.counters.samples < 12:
                    await net.beat(line)
                connected = len(unit.connected_s)
                unit.drop()
                lost_s = asyncio.get_running_loop().time()
                while len(unit.connected_s) == connected:
                    await net.beat(line)
        return unit.connected_s[-1] - lost_s

    assert net.run(scenario()) == pytest.approx(0.2, abs=0.01)


@pytest.mark.slow
def test_ports_that_refuse_never_block_a_device_that_answers(net, made, device):
    async def scenario():
        said = []
        connecting = asyncio.Semaphore(1)
        async with device() as unit:
            dead = [made(net.free_port(), said, connecting=connecting) for _ in range(5)]
            line = made(unit.port, connecting=connecting)
            async with net.running(*dead, line):
                await net.settle()
                await net.beat(*dead, line, times=100)
        return line.session.counters, said

    counters, said = net.run(scenario())
    assert counters.samples == 100
    assert counters.missed == 0
    assert said == ["Connection refused"] * 5, "each says it once, not at every attempt"


def test_an_attempt_that_gets_no_answer_is_given_up_and_said(net, made):
    async def scenario():
        said = []
        attempts = []
        loop = asyncio.get_running_loop()

        async def nobody(*_):
            attempts.append(loop.time())
            await asyncio.Event().wait()

        loop.create_connection = nobody
        async with net.running(made(1, said)):
            await asyncio.sleep(5)
        return said, [at - attempts[0] for at in attempts]

    said, attempts = net.run(scenario())
    assert said == ["no answer to the connection attempt within 2 s"]
    assert attempts == pytest.approx([0, 2.2, 4.6])


def test_a_peer_that_accepts_and_never_answers_is_dropped_after_its_time_outs(net, made, device):
    async def scenario():
        said = []
        async with device(net.mute) as unit:
            line = made(unit.port, said)
            async with net.running(line):
                await net.beat(line, times=11)
                assert line.session.condition(net.clock_ns()) is Condition.ABSENT
                assert unit.open == []
                await net.beat(line, times=5)
                assert len(unit.connected_s) == 2
        return said, line.session.counters.timeouts

    said, timeouts = net.run(scenario())
    assert said == ["", "3 requests in a row were not answered", ""]
    assert timeouts >= 3


def test_bytes_that_are_not_modbus_end_the_connection_with_the_reason(net, made, device):
    async def scenario():
        said = []
        async with device(lambda request: b"HTTP/1.1 400 Bad Request") as unit:
            line = made(unit.port, said)
            async with net.running(line):
                await net.settle()
                await net.beat(line)
                assert unit.open == []
        return said

    assert "not Modbus" in net.run(scenario())[1]
