"""The messages of the link, written byte by byte from `link/schema.proto` and nothing else.

For the simulated gateways: the other party shares no code with the server, so that a mistake in
one shows in the other. It writes what a gateway says (Birth, Batch, Gone, Death) and reads what it
hears (Ack, Rebirth); all else of the schema is left out.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

VERSION = 2
CELL = 5  # Kind
I16, U32 = 2, 7  # Number
POINT, TIME, ENTITY = 0, 1, 2  # Role
_PARTITIONS = 64
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


def topic(fleet: str, source: str, what: str) -> str:
    """Where a source speaks (`up`) and hears (`down`)."""
    return f"tenhertz/1/{fleet}/{zlib.crc32(source.encode()) % _PARTITIONS}/{source}/{what}"


# -- writing ----------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    """A number from 0 up, seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _unsigned(field: int, number: int) -> bytes:
    return varint(field << 3 | _VARINT) + varint(number)


def _signed(field: int, number: int) -> bytes:
    """A sint64: zigzag, so that small negative numbers stay short."""
    return _unsigned(field, number << 1 if number >= 0 else (-number << 1) - 1)


def _fixed64(field: int, number: int) -> bytes:
    return varint(field << 3 | _FIXED64) + struct.pack("<Q", number)


def _double(field: int, number: float) -> bytes:
    return varint(field << 3 | _FIXED64) + struct.pack("<d", number)


def _fixed32(field: int, number: int) -> bytes:
    return varint(field << 3 | _FIXED32) + struct.pack("<I", number)


def _bytes(field: int, body: bytes) -> bytes:
    return varint(field << 3 | _BYTES) + varint(len(body)) + body


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


class Names(NamedTuple):
    """A dictionary: what the indices in batches mean."""

    entities: tuple[str, ...]
    points: tuple[str, ...]

    @property
    def number(self) -> int:
        """What names this pair of lists: it changes with any of them."""
        return zlib.crc32("\0".join((*self.entities, "", *self.points)).encode())


class Speaker(NamedTuple):
    """Who speaks."""

    source: str
    stream: int


def _who(speaker: Speaker) -> bytes:
    """Fields 1 to 3, alike in all messages of a source."""
    return _unsigned(1, VERSION) + _text(2, speaker.source) + _fixed64(3, speaker.stream)


def birth(speaker: Speaker, session: int, at_ns: int, names: Names, next_row: int) -> bytes:
    """An Uplink with a Birth; `next_row` is the sequence number that comes next."""
    body = _who(speaker) + _fixed64(4, session) + _signed(5, at_ns)
    body += b"".join(_text(6, entity) for entity in names.entities)
    body += b"".join(_text(7, point) for point in names.points)
    body += _fixed32(8, names.number)
    body += _bytes(9, _unsigned(1, CELL) + _unsigned(2, next_row))
    return _bytes(1, body + _text(10, "tenhertz sim packs"))


def death(speaker: Speaker, session: int) -> bytes:
    """An Uplink with a Death."""
    return _bytes(3, _who(speaker) + _fixed64(4, session))


def gone(speaker: Speaker, first: int, end: int, cause: str) -> bytes:
    """An Uplink with a Gone: the cell rows [first, end) will never come."""
    body = _who(speaker) + _unsigned(4, CELL) + _unsigned(5, first) + _unsigned(6, end)
    return _bytes(4, body + _text(7, cause))


@dataclass(frozen=True, slots=True)
class Column:
    """How one column of a body is to be read."""

    number: int
    role: int = POINT
    point: int = 0
    width: int = 1
    scale: float = 0.0

    @property
    def encoded(self) -> bytes:
        """As a field of a Batch."""
        head = _unsigned(1, self.point) + _unsigned(2, self.role) + _unsigned(3, self.number)
        if self.width > 1:
            head += _unsigned(4, self.width)
        if self.scale:
            head += _double(7, self.scale)
        return _bytes(10, head)


class BatchForm:
    """The parts of a Batch that stay the same from one to the next, written once."""

    def __init__(self, speaker: Speaker, names: Names, columns: Sequence[Column]) -> None:
        self._begin = _who(speaker) + _fixed32(4, names.number) + _unsigned(5, CELL)
        self._columns = b"".join(column.encoded for column in columns)

    def fill(self, first: int, rows: int, head: int, base_time_ns: int, body: bytes) -> bytes:
        """An Uplink with a Batch of the rows [first, first + rows)."""
        parts = (
            self._begin,
            _unsigned(6, first),
            _unsigned(7, rows),
            _unsigned(8, head),
            _signed(9, base_time_ns),
            self._columns,
            _unsigned(12, len(body)),
            varint(13 << 3 | _BYTES),
            varint(len(body)),
            body,
        )
        size = sum(map(len, parts))
        return b"".join((varint(2 << 3 | _BYTES), varint(size), *parts))


# -- reading ----------------------------------------------------------------------------------


class WireError(ValueError):
    """Bytes that are no message."""


class Ack(NamedTuple):
    """What the fleet has of a stream's cell rows: first, end, first, end ..."""

    stream: int
    bounds: list[int]


class Rebirth(NamedTuple):
    """The fleet wants to hear a birth again."""


class Other(NamedTuple):
    """A message that concerns no gateway of packs, such as a command."""

    field: int


def read_downlink(data: bytes) -> Ack | Rebirth | Other:
    """A message of the fleet.

    Raises:
        WireError: it is none.
    """
    found: Ack | Rebirth | Other = Other(0)
    for field, value in _fields(data):
        if field == 1 and isinstance(value, bytes):
            found = _read_ack(value)
        else:
            found = Rebirth() if field == 3 else Other(field)
    return found


def _read_ack(data: bytes) -> Ack:
    stream, bounds = 0, []
    for field, value in _fields(data):
        if field == 2 and isinstance(value, int):
            stream = value
        elif field == 4 and isinstance(value, bytes):
            kind, held = _read_held(value)
            if kind == CELL:
                bounds = held
    return Ack(stream, bounds)


def _read_held(data: bytes) -> tuple[int, list[int]]:
    kind, bounds = 0, []
    for field, value in _fields(data):
        if field == 1 and isinstance(value, int):
            kind = value
        elif field == 2 and isinstance(value, int):
            bounds.append(value)
        elif field == 2 and isinstance(value, bytes):  # packed
            at = 0
            while at < len(value):
                number, at = _read_varint(value, at)
                bounds.append(number)
    return kind, bounds


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        wire_type = tag & 7
        if wire_type == _VARINT:
            number, at = _read_varint(data, at)
            yield tag >> 3, number
            continue
        if wire_type == _BYTES:
            size, at = _read_varint(data, at)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}.get(wire_type, -1)
        body = data[at : at + size]
        if size < 0 or len(body) != size:
            raise WireError("a field is cut off, or of a type that is not known")
        at += size
        yield tag >> 3, body if wire_type == _BYTES else int.from_bytes(body, "little")


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise WireError("a number is cut off or too long")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
