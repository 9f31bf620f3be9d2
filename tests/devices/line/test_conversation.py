"""What a line lets through and when it wakes; on real sockets, in time that jumps."""

import asyncio

import pytest

from tenhertz.devices import Demand, Line

STOP = [("write", 500, bytes(2)), ("write", 501, b"\x00\x02")]
RELEASE = [("write", 500, bytes(2)), ("write", 501, bytes(2))]
SAMPLE = [("read", 10, 2), ("read", 400, 3)]


def test_a_stop_reaches_the_device_over_an_open_sample(net, made, device):
    async def scenario():
        async with device(lambda r: None if r.function == 3 else r.reply()) as unit:
            line = made(unit.port)
            async with net.running(line):
                await net.settle()
                line.sample(net.clock_ns())
                line.demand(Demand.STOP, net.clock_ns())
                await net.settle()
        return unit.asked, line.session.settled

    assert net.run(scenario()) == ([SAMPLE[0], *STOP], True)


def test_a_stop_asked_for_without_a_connection_is_the_first_thing_on_it(net, made, device):
    async def scenario():
        async with device() as unit:
            line = made(unit.port)
            line.demand(Demand.STOP, net.clock_ns())
            async with net.running(line):
                await net.settle()
        return unit.asked

    assert net.run(scenario()) == STOP


def test_a_stop_outlives_connections_that_never_answer_it(net, made, device):
    async def scenario():
        async with device(net.mute) as unit:
            line = made(unit.port)
            async with net.running(line):
                await net.settle()
                line.demand(Demand.STOP, net.clock_ns())
                while len(unit.connected_s) < 3:
                    await net.beat(line)
                unit.answer = net.healthy
                await net.beat(line, times=4)
        return unit.asked, line.session.settled

    asked, settled = net.run(scenario())
    assert settled
    assert set(asked[: asked.index(STOP[1])]) == {STOP[0]}


def test_what_waits_for_the_pause_after_a_write_is_sent_when_it_ends(net, made, device):
    async def scenario():
        async with device() as unit:
            line = made(unit.port)
            async with net.running(line):
                await net.settle()
                line.demand(Demand.RELEASE, net.clock_ns())
                while not line.session.settled:
                    await net.settle()
                line.sample(net.clock_ns())
                await asyncio.sleep(0.06)
        return unit.asked

    assert net.run(scenario()) == [*RELEASE, *SAMPLE]


def test_a_long_pause_does_not_hold_up_what_waits_for_a_short_one(net, made, device):
    async def scenario():
        def refusing(request):
            return request.refusal() if request.function == 16 else net.healthy(request)

        async with device(refusing) as unit:
            line = made(unit.port)
            async with net.running(line):
                await net.settle()
                line.demand(Demand.RELEASE, net.clock_ns())
                await asyncio.sleep(0.06)
                assert unit.asked == RELEASE
                line.sample(net.clock_ns())
                await asyncio.sleep(0.06)
                assert unit.asked == [*RELEASE, *SAMPLE]
                unit.answer = net.healthy
                await asyncio.sleep(3.1)
        return unit.asked[4:], line.session.settled

    assert net.run(scenario()) == (RELEASE, True)


def test_a_line_with_nothing_to_send_sleeps(net, made, device, monkeypatch):
    woken = []
    wake = Line._wake
    monkeypatch.setattr(Line, "_wake", lambda line: (woken.append(1), wake(line)))

    async def scenario():
        async with device() as unit:
            line = made(unit.port)
            async with net.running(line):
                await net.settle()
                line.demand(Demand.POWER, net.clock_ns())
                line.set_power(5, net.clock_ns())
                line.demand(Demand.STOP, net.clock_ns())
                await net.settle()
                line.set_power(6, net.clock_ns())
                await asyncio.sleep(10)
                assert line.session.settled

    net.run(scenario())
    assert len(woken) <= 2


def test_a_cancelled_line_closes_its_connection(net, made, device):
    async def scenario():
        async with device() as unit:
            async with net.running(made(unit.port)):
                await net.settle()
                assert len(unit.open) == 1
            await net.settle()
            assert unit.open == []

    net.run(scenario())


def test_calls_without_a_connection_do_nothing_and_do_not_fail(net, made):
    async def scenario():
        line = made(net.free_port())
        line.sample(0)
        line.set_power(5, 0)
        line.demand(Demand.POWER, 0)
        line.check(0)
        with pytest.raises(ValueError, match="setpoint"):
            line.set_power(float("nan"), 0)

    net.run(scenario())
