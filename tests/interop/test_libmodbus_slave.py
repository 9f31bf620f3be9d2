"""Our line against libmodbus as the device: what we send is what a foreign slave understands."""

import struct

import pytest
import uvloop

from tenhertz.devices import Condition, Demand, load_map, wire
from tenhertz.devices.register_map import Point, RegisterMap

pytestmark = [pytest.mark.interop, pytest.mark.slow]

CONTAINER = wire(load_map("generic-container"))

# docs/devices/generic-container.md, registers 100 to 139.
IMAGE = struct.pack(
    ">HHHHiiHHhHHIIIIhhiHIIQQHH",
    *(4711, 3, 3, 1, -123_456, 77, 49_987, 8001, -1500, 6789, 995, 150_000, 140_000, 260_000),
    *(130_000, 251, -12, -120_000, 42, 0, 1, 2**40, 2**33 + 5, 3456, 3210),
)
WORDS = list(struct.unpack(">40H", IMAGE))


def test_the_forty_registers_are_read_as_libmodbus_holds_them(slave, talk):
    unit = slave({100: WORDS})

    async def scenario():
        async with talk(CONTAINER, unit.port) as talking:
            reading = await talking.sample()
            return reading, talking.session.condition(talking.now())

    reading, condition = uvloop.run(scenario())
    (heard,) = unit.heard(1)
    assert bytes.fromhex(heard["request"])[2:] == bytes.fromhex("0000 0006 01 03 0064 0028")
    assert reading == (
        -123_456,
        pytest.approx(0.6789),
        150_000,
        140_000,
        260_000,
        130_000,
        -120_000,
        pytest.approx(25.1),
        3,
        1,
        0,
        4711,
    )
    assert condition is Condition.OBSERVED


def test_setpoints_and_sequences_arrive_as_libmodbus_sees_them(slave, talk):
    unit = slave({100: WORDS})

    async def scenario():
        async with talk(CONTAINER, unit.port) as talking:
            talking.line.demand(Demand.POWER, talking.now())
            for power_w in (100_000, -100_000):
                await talking.power(power_w)
            await talking.demand(Demand.STOP)
            await talking.demand(Demand.RELEASE)
            return talking.counters

    counters = uvloop.run(scenario())
    heard = [one["control"] for one in unit.heard(8)]
    assert heard == [
        [0x0001, 0x86A0, 0, 0, 0, 0],
        [0xFFFE, 0x7960, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],  # stop: power, command
        [0, 0, 2, 0, 0, 0],
        [0, 0, 2, 0, 0, 0],  # release: power, command, mode, source
        [0, 0, 2, 0, 0, 0],
        [0, 0, 2, 0, 3, 0],
        [0, 0, 2, 0, 3, 0],
    ]
    assert (counters.writes, counters.rejected, counters.late) == (8, 0, 0)


def test_control_is_taken_from_libmodbus_in_the_order_of_the_map(slave, talk):
    local = [*WORDS[:1], 1, 3, 0, *WORDS[4:]]
    unit = slave({100: local})

    async def scenario():
        async with talk(CONTAINER, unit.port) as talking:
            talking.line.demand(Demand.POWER, talking.now())
            await talking.sample()
            await talking.until(lambda: talking.counters.writes == 5 and talking.session.settled)

    uvloop.run(scenario())
    assert [one["control"] for one in unit.heard(6)][1:] == [
        [0, 0, 0, 0, 0, 50],
        [0, 0, 0, 1, 0, 50],
        [0, 0, 0, 1, 0, 50],
        [0, 0, 0, 1, 0, 50],
        [0, 0, 1, 1, 0, 50],
    ]


def test_what_libmodbus_refuses_is_counted_and_the_line_stays_up(slave, talk):
    unit = slave({})
    beyond = RegisterMap("beyond", "Beyond", {"power_w": Point(299, "i32")})

    async def scenario():
        async with talk(wire(beyond), unit.port) as talking:
            talking.line.sample(talking.now())
            await talking.until(lambda: talking.counters.exceptions == 1)
            return talking.session.broken, talking.counters.timeouts

    assert uvloop.run(scenario()) == ("", 0)


def test_a_libmodbus_slave_that_is_started_anew_is_found_again(slave, talk):
    unit = slave({100: WORDS})

    async def scenario():
        async with talk(CONTAINER, unit.port) as talking:
            await talking.sample()
            unit.end()
            await talking.until(lambda: not talking.session.connected)
            again = slave({100: WORDS})
            talking.line.port = again.port
            await talking.until(lambda: talking.session.connected)
            await talking.sample()
            return talking.counters.connects

    assert uvloop.run(scenario()) == 2
