"""A device on the wire, asked by pymodbus' own client and by raw sockets."""

import asyncio
import random
import struct
import time
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient

from tenhertz.sim.container import Container, ContainerParameters
from tenhertz.sim.device import ContainerDevice, Device, MeterDevice
from tenhertz.sim.fault_door import DOOR_OFFSET, DoorRequest
from tenhertz.sim.faults import FaultOrder, Kind
from tenhertz.sim.modbus_server import ServerOptions

pytestmark = pytest.mark.interop

READ_IDENTITY = struct.pack(">BHH", 3, 56, 4)
RATINGS = struct.pack(">BBII", 3, 8, 200_000, 400_000)


def container_device(options: ServerOptions) -> ContainerDevice:
    container = Container(ContainerParameters(), time.monotonic_ns(), lambda _ns: 50.0)
    board = memoryview(array("d", [0.0]))
    return ContainerDevice(container, options, time.monotonic_ns, random.Random(1), board, 0)


def meter_device(options: ServerOptions) -> MeterDevice:
    board = memoryview(array("d", [1_000.0, 500.0]))
    return MeterDevice(lambda _ns: 49.75, options, time.monotonic_ns, random.Random(1), board)


@asynccontextmanager
async def serving(device: Device) -> AsyncIterator[Device]:
    await device.open(time.monotonic_ns())
    try:
        yield device
    finally:
        await device.shut()


def on_a_wire(
    port: int,
    scenario: Callable[[Any], Awaitable[None]],
    make: Callable[[ServerOptions], Device] = container_device,
    **options: Any,
) -> None:
    async def live() -> None:
        async with serving(make(ServerOptions(port=port, **options))) as device:
            await scenario(device)

    asyncio.run(live())


class Wire:
    """A raw Modbus TCP client: sends bodies, returns what comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, body: bytes, transaction: int = 7, unit: int = 1) -> None:
        self.writer.write(struct.pack(">HHHB", transaction, 0, len(body) + 1, unit) + body)

    async def receive(self) -> tuple[int, int, bytes]:
        transaction, _, length, unit = struct.unpack(">HHHB", await self.reader.readexactly(7))
        return transaction, unit, await self.reader.readexactly(length - 1)

    async def ask(self, body: bytes, unit: int = 1) -> bytes:
        self.send(body, unit=unit)
        return (await asyncio.wait_for(self.receive(), 2))[2]

    async def ended(self) -> bool:
        """Whether the other side has ended the session (after what it still sent)."""
        try:
            return await asyncio.wait_for(self.reader.read(), 2) == b""
        except ConnectionError:
            return True


@asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


def fault(device: Device, kind: Kind, **numbers: Any) -> None:
    device.act(DoorRequest("fault", FaultOrder(kind, **numbers)))


def clear(device: Device) -> None:
    device.act(DoorRequest("clear"))


def test_pymodbus_own_client_reads_writes_and_sees_the_exceptions(base_port: int) -> None:
    async def scenario(device: ContainerDevice) -> None:
        async with AsyncModbusTcpClient("127.0.0.1", port=base_port) as client:
            found = await client.read_holding_registers(100, count=40, device_id=1)
            assert len(found.registers) == 40
            written = await client.write_registers(200, [0xFFFF, 0xFF00], device_id=1)
            assert not written.isError()
            assert device.container.setpoint_w == -256
            assert (await client.write_register(204, 0, device_id=1)).registers == [0]
            codes = [
                (await client.read_holding_registers(60, count=1, device_id=1)).exception_code,
                (await client.write_register(205, 9, device_id=1)).exception_code,
                (await client.write_register(200, 9, device_id=1)).exception_code,
                (await client.read_input_registers(100, count=1, device_id=1)).exception_code,
                (await client.read_holding_registers(0, count=1, device_id=9)).exception_code,
            ]
            assert codes == [2, 3, 4, 1, 11]

    on_a_wire(base_port, scenario)


def test_the_meter_answers_its_block(base_port: int) -> None:
    async def scenario(_: MeterDevice) -> None:
        async with wire(base_port) as w:
            found = await w.ask(struct.pack(">BHH", 3, 19000, 52))
            assert struct.unpack(">f", found[-4:]) == (49.75,)
            assert struct.unpack(">f", found[2 + 52 : 2 + 56]) == (1_500,)
            assert await w.ask(struct.pack(">BHH", 6, 19000, 0)) == b"\x86\x02"

    on_a_wire(base_port, scenario, meter_device)


def test_requests_in_one_segment_and_in_pieces_are_answered_in_turn(base_port: int) -> None:
    async def scenario(_: Device) -> None:
        async with wire(base_port) as w:
            for transaction in range(30):
                w.send(READ_IDENTITY, transaction)
            assert [await w.receive() for _ in range(30)] == [(t, 1, RATINGS) for t in range(30)]
            frame = struct.pack(">HHHB", 99, 0, 6, 1) + READ_IDENTITY
            for i in range(len(frame)):
                w.writer.write(frame[i : i + 1])
                await w.writer.drain()
                await asyncio.sleep(0)
            assert await w.receive() == (99, 1, RATINGS)

    on_a_wire(base_port, scenario, latency_s=0.001)


def test_latency_holds_each_reply_but_not_other_clients(base_port: int) -> None:
    async def scenario(_: Device) -> None:
        async with wire(base_port) as one, wire(base_port) as other:
            began = time.monotonic()
            one.send(READ_IDENTITY, 1)
            one.send(READ_IDENTITY, 2)
            other.send(READ_IDENTITY, 3)
            assert (await other.receive())[0] == 3
            assert time.monotonic() - began < 0.055
            assert [(await one.receive())[0] for _ in range(2)] == [1, 2]
            assert time.monotonic() - began >= 0.055

    on_a_wire(base_port, scenario, latency_s=0.03)


@pytest.mark.parametrize(
    "junk",
    [b"GET / HTTP/1.1\r\n\r\n", b"\0\1\0\0\0\1\1\3", b"\0\1\0\0\xff\xff\1\3"],
)
def test_a_stream_that_is_no_modbus_ends_its_session_only(base_port: int, junk: bytes) -> None:
    async def scenario(_: Device) -> None:
        async with wire(base_port) as good, wire(base_port) as bad:
            bad.writer.write(junk)
            assert await bad.ended()
            assert await good.ask(READ_IDENTITY) == RATINGS

    on_a_wire(base_port, scenario)


@pytest.mark.parametrize(
    "body",
    [
        struct.pack(">BHH", 3, 0, 0),
        struct.pack(">BHH", 3, 0, 126),
        struct.pack(">BH", 3, 0),
        struct.pack(">BHHBH", 16, 200, 2, 4, 0),
        struct.pack(">BHHBHH", 16, 200, 1, 4, 0, 0),
        struct.pack(">BHHB", 16, 200, 0, 0),
        struct.pack(">BHH", 16, 200, 2),
    ],
)
def test_malformed_requests_get_exception_three(base_port: int, body: bytes) -> None:
    async def scenario(_: Device) -> None:
        async with wire(base_port) as w:
            assert await w.ask(body) == bytes((body[0] | 0x80, 3))
            assert await w.ask(READ_IDENTITY) == RATINGS

    on_a_wire(base_port, scenario)


def test_a_single_client_device_shows_the_second_one_the_door(base_port: int) -> None:
    async def scenario(_: Device) -> None:
        async with wire(base_port) as first:
            assert await first.ask(READ_IDENTITY) == RATINGS
            async with wire(base_port) as second:
                assert await second.ended()
            assert await first.ask(READ_IDENTITY) == RATINGS

    on_a_wire(base_port, scenario, single_client=True)


def test_a_dropped_session_ends_and_a_new_one_is_taken(base_port: int) -> None:
    async def scenario(device: Device) -> None:
        async with wire(base_port) as old:
            await old.ask(READ_IDENTITY)
            fault(device, Kind.DROP)
            assert await old.ended()
        async with wire(base_port) as new:
            assert await new.ask(READ_IDENTITY) == RATINGS

    on_a_wire(base_port, scenario)


@pytest.mark.parametrize("seconds", [0.1, 60.0])
def test_a_drop_with_seconds_refuses_until_they_are_over_or_cleared(
    base_port: int, seconds: float
) -> None:
    async def scenario(device: Device) -> None:
        async with wire(base_port) as old:
            await old.ask(READ_IDENTITY)
            fault(device, Kind.DROP, seconds=seconds)
            assert await old.ended()
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", base_port)
        if seconds > 1:
            clear(device)
        await asyncio.sleep(0.15)
        async with wire(base_port) as new:
            assert await new.ask(READ_IDENTITY) == RATINGS

    on_a_wire(base_port, scenario)


def test_a_stalled_device_takes_sessions_but_answers_nothing(base_port: int) -> None:
    async def scenario(device: Device) -> None:
        async with wire(base_port) as w:
            fault(device, Kind.STALL)
            w.send(READ_IDENTITY)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(w.receive(), 0.05)
            clear(device)
            assert await w.ask(READ_IDENTITY) == RATINGS

    on_a_wire(base_port, scenario)


def test_a_late_device_answers_that_much_later(base_port: int) -> None:
    async def scenario(device: Device) -> None:
        async with wire(base_port) as w:
            fault(device, Kind.LATE, ms=60)
            began = time.monotonic()
            assert await w.ask(READ_IDENTITY) == RATINGS
            assert time.monotonic() - began >= 0.055

    on_a_wire(base_port, scenario)


def test_a_reply_can_come_from_the_wrong_unit(base_port: int) -> None:
    async def scenario(device: Device) -> None:
        async with wire(base_port) as w:
            fault(device, Kind.WRONG_UNIT)
            w.send(READ_IDENTITY)
            assert await w.receive() == (7, 2, RATINGS)

    on_a_wire(base_port, scenario)


def test_a_rejecting_device_refuses_setpoints_and_nothing_else(base_port: int) -> None:
    async def scenario(device: Device) -> None:
        async with wire(base_port) as w:
            fault(device, Kind.REJECT)
            assert await w.ask(struct.pack(">BHHBi", 16, 200, 2, 4, 5_000)) == b"\x90\x04"
            assert await w.ask(struct.pack(">BHH", 6, 204, 0)) == struct.pack(">BHH", 6, 204, 0)

    on_a_wire(base_port, scenario)


def test_garbled_replies_do_not_equal_the_true_one(base_port: int) -> None:
    async def scenario(device: Device) -> None:
        true_frame = struct.pack(">HHHB", 7, 0, len(RATINGS) + 1, 1) + RATINGS
        fault(device, Kind.GARBLE)
        for _ in range(10):
            async with wire(base_port) as w:
                w.send(READ_IDENTITY)
                assert await asyncio.wait_for(w.reader.read(300), 2) != true_frame

    on_a_wire(base_port, scenario)


def test_the_door_tells_the_truth_bounds_its_lines_and_survives_nonsense(base_port: int) -> None:
    async def scenario(_: Device) -> None:
        async with wire(base_port + DOOR_OFFSET) as w:
            w.writer.write(b'nonsense\n{"do":"state"}\n')
            assert b'"ok":false' in await w.reader.readline()
            assert b'"power_w":0.0' in await w.reader.readline()
            w.writer.write(b"x" * 20_000)
            assert b"4096" in await w.reader.readline()
        async with wire(base_port + DOOR_OFFSET) as w:
            w.writer.write(b'{"do":"clear"}\n')
            assert b'"ok":true' in await w.reader.readline()

    on_a_wire(base_port, scenario)


def test_a_meter_refuses_faults_of_setpoints(base_port: int) -> None:
    async def scenario(device: Device) -> None:
        with pytest.raises(ValueError, match="no setpoint"):
            fault(device, Kind.CLAMP)

    on_a_wire(base_port, scenario, meter_device)


def test_a_frozen_device_repeats_its_image_until_cleared(base_port: int) -> None:
    async def scenario(device: ContainerDevice) -> None:
        async with wire(base_port) as w:
            counter = struct.pack(">BHH", 3, 100, 1)
            fault(device, Kind.FREEZE)
            first = await w.ask(counter)
            await asyncio.sleep(0.12)
            assert await w.ask(counter) == first
            clear(device)
            await asyncio.sleep(0.06)
            assert await w.ask(counter) != first

    on_a_wire(base_port, scenario)
