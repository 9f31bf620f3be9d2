"""The simulated site, which shares no code with the devices: under libmodbus and under our line."""

import contextlib
import json
import random
import socket
import struct
import subprocess
import sys

import pytest
import uvloop

from tenhertz.devices import Condition, Demand, load_map, wire

pytestmark = [pytest.mark.interop, pytest.mark.slow]

DOORS = 1000  # a device's fault door listens this far above its port


def free_base_port():
    chance = random.SystemRandom()  # the seeded one is the same in every worker
    while True:
        base = chance.randrange(20_000, 31_000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in (base, base + 1, base + DOORS, base + DOORS + 1):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return base


@pytest.fixture
def site():
    """A simulated site of one container and a meter at 50 Hz; its ready line."""
    command = [sys.executable, "-m", "tenhertz.sim", "site", "--units", "1", "--json"]
    command += ["--frequency-hz", "50.0625", "--base-port", str(free_base_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield json.loads(child.stdout.readline())
        finally:
            child.terminate()
            child.wait(timeout=20)


@pytest.fixture
def master(libmodbus):
    with contextlib.ExitStack() as ending:

        def connect(port):
            connected = libmodbus.Master(libmodbus.load(), port)
            ending.callback(connected.close)
            return connected

        yield connect


def test_the_simulated_container_obeys_a_foreign_master(site, master):
    unit = master(site["units"][0]["port"])
    assert struct.pack(">2H", *unit.read(56, 2)) == struct.pack(">I", 200_000)
    first = unit.read(100, 40)
    assert (first[1], first[3]) == (1, 0), "standby, local"
    assert first[11] == 5000, "half full"
    unit.write(205, 600)
    unit.write(203, 1)
    unit.write(204, 0)
    unit.write(200, *struct.unpack(">2H", struct.pack(">i", -50_000)))
    unit.write(202, 1)
    assert unit.read(200, 6) == [0xFFFF, 0x3CB0, 0, 1, 0, 600]
    shown = (0, 0, 0, 0, 0)
    while (
        shown[1] != 3 or shown[4] > -49_000
    ):  # starting takes a second; the test's limit bounds it
        shown = struct.unpack(">HHHHi", struct.pack(">6H", *unit.read(100, 6)))
    assert shown[3] == 1, "remote"
    assert shown[4] == pytest.approx(-50_000, rel=0.02)
    assert shown[0] != first[0], "the image is refreshed"


def test_the_simulated_container_refuses_as_its_page_says(site, master):
    unit = master(site["units"][0]["port"])
    with pytest.raises(OSError, match="Illegal data address"):
        unit.read(60, 1)
    with pytest.raises(OSError, match="Illegal data value"):
        unit.write(205, 9)
    assert unit.read(205, 1) == [50]


def test_the_simulated_meter_shows_its_frequency_to_a_foreign_master(site, master):
    meter = master(site["meter"]["port"])
    assert struct.pack(">2H", *meter.read(19050, 2)) == struct.pack(">f", 50.0625)
    assert len(meter.read(19000, 52)) == 52
    with pytest.raises(OSError, match="Illegal data address"):
        meter.read(18999, 1)


def test_our_line_takes_control_delivers_and_stops_the_simulated_container(site, talk):
    async def scenario():
        async with talk(wire(load_map("generic-container")), site["units"][0]["port"]) as talking:

            async def sample_until(holds):
                while not holds(await talking.sample()):
                    pass

            session = talking.session
            talking.line.demand(Demand.POWER, talking.now())
            await sample_until(lambda _: session.condition(talking.now()) is Condition.CONTROLLED)
            await talking.power(80_000)
            await sample_until(lambda reading: reading.power_w > 79_000)
            assert session.reading.setpoint_in_force_w == 80_000
            await talking.demand(Demand.STOP)
            await sample_until(lambda reading: reading.power_w == 0 and reading.state == 1)
            await talking.demand(Demand.RELEASE)
            await sample_until(lambda reading: reading.control_source == 0)
            return talking.counters

    counters = uvloop.run(scenario())
    assert (counters.rejected, counters.timeouts, counters.late, counters.connects) == (0, 0, 0, 1)
