"""The one module that touches pymodbus: a Modbus TCP server for one simulated device.

pymodbus listens, keeps the sessions, cuts the stream into frames and decodes the requests. The
answers come from a `Registers`; its data store is bypassed, since it answers register by register
and one request at a time. Latency and faults act here, on whole replies.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from tenhertz.sim.faults import Faults, Kind, garbled
from tenhertz.sim.registers import SETPOINT, Refusal, Registers

UNIT_ID = 1
_READ, _WRITE_ONE, _WRITE_MANY = 3, 6, 16
_KNOWN = (_READ, _WRITE_ONE, _WRITE_MANY)
_HEADER = 7
_LONGEST_LENGTH = 254
_LONGEST_BACKLOG = 8192  # bytes of requests not yet whole; beyond it the session is closed


@dataclass(frozen=True)
class ServerOptions:
    """How a server behaves on the wire. Port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 0
    latency_s: float = 0.0
    single_client: bool = False


class DeviceServer(ModbusTcpServer):
    """Listens on one port for one device."""

    def __init__(
        self,
        registers: Registers,
        faults: Faults,
        options: ServerOptions,
        clock: Callable[[], int],
        chance: random.Random,
    ) -> None:
        unused = SimDevice(UNIT_ID, [SimData(0, datatype=DataType.REGISTERS)])
        super().__init__(unused, address=(options.host, options.port))
        self.registers = registers
        self.faults = faults
        self.options = options
        self.clock = clock
        self.chance = chance

    async def open(self) -> int:
        """Begin to listen; return the port. Raises `OSError` where the port cannot be had."""
        self.is_closing = False
        self.is_listener = True
        listening: Any = await self.call_create()  # listen() would swallow the reason
        self.transport = listening
        port = int(listening.sockets[0].getsockname()[1])
        if not self.options.port:
            self.options = ServerOptions(
                self.options.host, port, self.options.latency_s, self.options.single_client
            )
            self.init_setup_connect_listen(self.options.host, port)  # to open it again there
        return port

    def close_sessions(self) -> None:
        """End every session at once; go on listening."""
        for session in list(self.active_connections.values()):
            session.transport.abort()  # type: ignore[attr-defined]

    def callback_new_connection(self) -> _Session:
        """Make the session of a new client."""
        return _Session(self)


class _Session(ServerRequestHandler):
    """One client's connection: requests in, replies out, in their order."""

    server: DeviceServer

    def __init__(self, owner: DeviceServer) -> None:
        super().__init__(owner, None, None, None)  # type: ignore[no-untyped-call]
        self._backlog = b""
        self._waiting: deque[tuple[int, int, bytes]] = deque()
        self._free_at = 0.0

    # -- the session --------------------------------------------------------------------------

    def callback_connected(self) -> None:
        """Set the socket up, or show a second client the door."""
        super().callback_connected()
        wire = self.transport.get_extra_info("socket")
        if wire is not None:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.server.options.single_client and len(self.server.active_connections) > 1:
            self.close()

    def callback_disconnected(self, exc: Exception | None) -> None:
        """Forget what was asked: nobody is there to be answered."""
        super().callback_disconnected(exc)
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """Cut the stream into requests; a stream that is no Modbus TCP ends the session."""
        if not self.is_active():
            return
        backlog = self._backlog + data
        while len(backlog) > _HEADER:
            length = int.from_bytes(backlog[4:6], "big")
            if backlog[2:4] != b"\0\0" or not 2 <= length <= _LONGEST_LENGTH:
                self.close()
                return
            used, unit, transaction, body = self.framer.decode(backlog[: length + 6])
            if not used:
                break
            self._asked(transaction, unit, body)
            backlog = backlog[used:]
        self._backlog = backlog
        if len(backlog) > _LONGEST_BACKLOG:
            self.close()

    # -- requests -----------------------------------------------------------------------------

    def _asked(self, transaction: int, unit: int, body: bytes) -> None:
        """Answer now, or when the device has got round to it."""
        faults, now_ns = self.server.faults, self.server.clock()
        if faults.active(Kind.STALL, now_ns):
            return
        delay_s = self.server.options.latency_s
        if late := faults.active(Kind.LATE, now_ns):
            delay_s += late.ms / 1000
        if not delay_s and not self._waiting:
            self._answer(transaction, unit, body)
            return
        self._free_at = max(self._free_at, self.loop.time()) + delay_s
        self._waiting.append((transaction, unit, body))
        self.loop.call_at(self._free_at, self._answer_next)

    def _answer_next(self) -> None:
        if self._waiting:
            self._answer(*self._waiting.popleft())

    def _answer(self, transaction: int, unit: int, body: bytes) -> None:
        """Carry the request out and send the reply."""
        if not self.is_active():
            return
        server, now_ns = self.server, self.server.clock()
        outcome = self._outcome(now_ns, unit, body)
        if isinstance(outcome, Refusal):
            outcome = bytes((body[0] | 0x80, outcome))
        faults = server.faults
        if faults.active(Kind.STALL, now_ns):
            return
        if faults.active(Kind.WRONG_UNIT, now_ns):
            unit = (unit + 1) & 0xFF
        frame = self.framer.encode(outcome, unit, transaction)
        if faults.active(Kind.GARBLE, now_ns):
            frame = garbled(frame, server.chance)
        self.transport.write(frame)  # type: ignore[attr-defined]

    def _outcome(self, now_ns: int, unit: int, body: bytes) -> bytes | Refusal:
        """The body of the reply, or the exception code."""
        function = body[0]
        if unit != UNIT_ID:
            return Refusal.NO_SUCH_UNIT
        if function not in _KNOWN:
            return Refusal.FUNCTION
        request = self.framer.decoder.decode(body)
        if request is None:
            return Refusal.VALUE
        if function == _READ:
            read = self.server.registers.read(now_ns, request.address, request.count)
            return read if isinstance(read, Refusal) else bytes((_READ, len(read))) + read
        return self._write(now_ns, request, body)

    def _write(self, now_ns: int, request: ModbusPDU, body: bytes) -> bytes | Refusal:
        values = request.registers
        if body[0] == _WRITE_MANY and not len(body) == 6 + body[5] == 6 + 2 * len(values):
            return Refusal.VALUE
        if body[0] == _WRITE_MANY and not 1 <= request.count == len(values):
            return Refusal.VALUE
        to_setpoint = request.address <= SETPOINT + 1 and request.address + len(values) > SETPOINT
        if to_setpoint and self.server.faults.active(Kind.REJECT, now_ns):
            return Refusal.DEVICE
        refusal = self.server.registers.write(now_ns, request.address, values)
        return body[:5] if refusal is None else refusal


async def close(server: DeviceServer) -> None:
    """Stop listening and end every session."""
    listening: Any = server.transport
    server.close_sessions()
    server.close()
    if listening is not None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(listening.wait_closed(), 1.0)
