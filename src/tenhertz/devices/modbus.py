"""Modbus TCP as bytes: requests built once, replies recognised, a stream cut into frames.

Everything that knows the layout of a Modbus TCP frame lives here. No socket, no clock. Only the
functions of the hot path: read holding (3) and input (4) registers, write one (6) and many (16).
Serial lines, discovery and servers are another matter and use a library.

Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, section 3.1.3 (MBAP header);
MODBUS Application Protocol V1.1b3, sections 6 and 7.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import Enum

READ_HOLDING = 3
READ_INPUT = 4
WRITE_ONE = 6
WRITE_MANY = 16

# Frames are prepared for each of these transaction ids in turn, so that sending costs no packing
# and a late reply is known by its id. One transaction is in flight per connection, so an id comes
# round again only after 255 others have ended.
TRANSACTION_IDS = 256

HEADER_SIZE = 7
LARGEST_FRAME = 260
LARGEST_READ = 125
LARGEST_WRITE = 123

_HEADER = struct.Struct(">HHHB")
_READ = struct.Struct(">HHHBBHH")
_WRITE_HEAD = struct.Struct(">HHHBBHHB")
_WRITE_REPLY = struct.Struct(">HHHBBHH")

EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledged, still busy",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target did not respond",
}


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """One read of consecutive registers, ready to send under every transaction id."""

    function: int
    address: int
    registers: int
    frames: tuple[bytes, ...] = field(repr=False)
    reply_heads: tuple[bytes, ...] = field(repr=False)
    reply_size: int


def read_request(unit_id: int, function: int, address: int, registers: int) -> ReadRequest:
    """Prepare a read of `registers` registers from `address` (as on the wire, 0-based).

    Raises:
        ValueError: an address, count, unit id or function outside what Modbus allows.
    """
    if function not in (READ_HOLDING, READ_INPUT):
        raise ValueError(f"function {function} does not read registers; use 3 or 4")
    _check_range(unit_id, address, registers, LARGEST_READ)
    ids = range(TRANSACTION_IDS)
    size = 2 * registers
    return ReadRequest(
        function,
        address,
        registers,
        frames=tuple(_READ.pack(i, 0, 6, unit_id, function, address, registers) for i in ids),
        reply_heads=tuple(
            _HEADER.pack(i, 0, 3 + size, unit_id) + bytes((function, size)) for i in ids
        ),
        reply_size=9 + size,
    )


def write_frame(unit_id: int, transaction_id: int, address: int, payload: bytes) -> bytes:
    """One complete request that writes `payload` (two bytes a register) with function 16."""
    registers = len(payload) // 2
    _check_range(unit_id, address, registers, LARGEST_WRITE)
    head = _WRITE_HEAD.pack(
        transaction_id, 0, 7 + len(payload), unit_id, WRITE_MANY, address, registers, len(payload)
    )
    return head + payload


def write_one_frame(unit_id: int, transaction_id: int, address: int, payload: bytes) -> bytes:
    """One complete request that writes one register with function 6."""
    _check_range(unit_id, address, len(payload) // 2, 1)
    return _HEADER.pack(transaction_id, 0, 6, unit_id) + struct.pack(">BH", 6, address) + payload


def write_reply(unit_id: int, transaction_id: int, address: int, registers: int) -> bytes:
    """The whole reply that acknowledges `write_frame`."""
    return _WRITE_REPLY.pack(transaction_id, 0, 6, unit_id, WRITE_MANY, address, registers)


def _check_range(unit_id: int, address: int, registers: int, most: int) -> None:
    if not 0 <= unit_id <= 255:
        raise ValueError(f"unit id {unit_id} is outside 0 to 255")
    if not 1 <= registers <= most:
        raise ValueError(f"{registers} registers in one request; Modbus allows 1 to {most}")
    if not 0 <= address <= 0x10000 - registers:
        raise ValueError(f"address {address} with {registers} registers leaves 0 to 65535")


class Fate(Enum):
    """What became of a frame that was not simply the reply waited for."""

    REPLY = "the reply to the open request"
    EXCEPTION = "the open request, refused by the device"
    LATE = "a reply to a request that is no longer open"
    WRONG_UNIT = "a reply in the name of another unit"
    WRONG_FUNCTION = "a reply with the open id but another function or size"


@dataclass(frozen=True, slots=True)
class Frame:
    """One Modbus TCP frame cut from the stream."""

    transaction_id: int
    unit_id: int
    function: int
    data: bytes  # the whole frame, header included

    @property
    def exception_code(self) -> int:
        """The code of an exception reply; 0 where the frame carries none."""
        return self.data[8] if self.function & 0x80 and len(self.data) > 8 else 0


class NotModbusError(Exception):
    """The stream holds bytes that cannot be a Modbus TCP frame; it cannot be read on."""


class FrameReader:
    """Cuts a byte stream into frames, however the network split or merged them.

    Holds at most one incomplete frame (260 bytes). The state after `NotModbusError` is final: a
    Modbus TCP stream has no marker to find the next frame by, so the connection must go.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    @property
    def empty(self) -> bool:
        """Whether no part of a frame is held."""
        return not self._held

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes as they came; return the frames that are now complete.

        Raises:
            NotModbusError: a header with a protocol id other than 0 or an impossible length.
        """
        stream = self._held + data
        frames = []
        at = 0
        while len(stream) - at >= HEADER_SIZE:
            transaction_id, protocol, length, unit_id = _HEADER.unpack_from(stream, at)
            if protocol != 0:
                raise NotModbusError(f"protocol id {protocol} where Modbus has 0")
            if not 3 <= length <= LARGEST_FRAME - 6:
                raise NotModbusError(f"length field {length}, outside 3 to {LARGEST_FRAME - 6}")
            end = at + 6 + length
            if end > len(stream):
                break
            frame = stream[at:end]
            frames.append(Frame(transaction_id, unit_id, frame[7], frame))
            at = end
        self._held = stream[at:]
        return frames


def judge(frame: Frame, transaction_id: int | None, unit_id: int, function: int, size: int) -> Fate:
    """Say what `frame` is to the open request (`transaction_id` None: no request is open).

    The transaction id decides first: a late reply is late whichever unit it names.
    """
    if frame.transaction_id != transaction_id:
        return Fate.LATE
    if frame.unit_id != unit_id:
        return Fate.WRONG_UNIT
    if frame.function == function | 0x80 and len(frame.data) == 9:
        return Fate.EXCEPTION
    if frame.function != function or len(frame.data) != size:
        return Fate.WRONG_FUNCTION
    return Fate.REPLY
