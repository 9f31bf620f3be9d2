"""Our line against pymodbus' own server, as its users start it."""

import contextlib
import struct

import pytest
import uvloop
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tenhertz.devices import Demand, load_map, wire

pytestmark = [pytest.mark.interop, pytest.mark.slow]

CONTAINER = wire(load_map("generic-container"))
METER = wire(load_map("frequency-meter"))


@contextlib.asynccontextmanager
async def serving(start, words, unit_id=1):
    blocks = [SimData(start, values=words, datatype=DataType.REGISTERS)]
    server = ModbusTcpServer(SimDevice(unit_id, blocks), address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    try:
        yield server, server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


def test_samples_and_setpoints_pass_through_pymodbus(talk):
    async def scenario():
        async with (
            serving(100, list(range(106))) as (server, port),
            talk(CONTAINER, port) as talking,
        ):
            talking.line.demand(Demand.POWER, talking.now())
            reading = await talking.sample()
            await talking.until(lambda: talking.session.settled)
            for power_w in (-2, 70_000):
                await talking.power(power_w)
            return reading, await server.async_getValues(1, 3, 200, 6), talking.counters

    reading, control, counters = uvloop.run(scenario())
    # Each register holds its distance from 100; registers 104 and 105 are the power.
    assert reading.power_w == 4 << 16 | 5
    assert (reading.image_counter, reading.state, reading.control_source) == (0, 1, 3)
    assert control == [0x0001, 0x1170, 1, 1, 0, 50]
    assert (counters.rejected, counters.late, counters.timeouts) == (0, 0, 0)


def test_the_frequency_of_a_meter_passes_through_pymodbus(talk):
    words = list(struct.unpack(">2H", struct.pack(">f", 49.9375)))

    async def scenario():
        async with serving(19050, words) as (_, port), talk(METER, port) as talking:
            await talking.sample()
            return talking.session.values

    assert uvloop.run(scenario()) == (49.9375,)


def test_what_pymodbus_refuses_is_counted(talk):
    async def scenario():
        async with serving(100, [0] * 10) as (_, port), talk(CONTAINER, port) as talking:
            talking.line.sample(talking.now())
            await talking.until(lambda: talking.counters.exceptions == 1)
            talking.line.demand(Demand.STOP, talking.now())
            await talking.until(lambda: talking.counters.rejected == 2)
            return talking.session.settled, talking.session.broken

    assert uvloop.run(scenario()) == (False, "")
