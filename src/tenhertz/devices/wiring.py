"""A register map made ready for the hot path: request frames, one decoder, one encoder.

All work that can be done once is done here, at start. What remains per sample is a comparison of
bytes, one unpack, one multiplication a value and one pick.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter, mul

from tenhertz.devices.battery import Reading
from tenhertz.devices.modbus import (
    TRANSACTION_IDS,
    ReadRequest,
    read_request,
    write_frame,
    write_reply,
)
from tenhertz.devices.register_map import Point, RegisterMap, Timing, load_map

_FORMAT = {"u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q", "f32": "f"}
_FORMAT["f64"] = "d"
_NAN = math.nan

Decode = Callable[[bytes], tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Block:
    """One read request and how its reply becomes numbers, in the order of `names`."""

    request: ReadRequest
    names: tuple[str, ...]
    decode: Decode = field(repr=False)


@dataclass(frozen=True, slots=True)
class Setpoint:
    """Where and how a number is written, with its acknowledgements for every transaction id."""

    name: str
    address: int
    registers: int
    unit_id: int
    encode: Callable[[float], bytes] = field(repr=False)
    heads: tuple[bytes, ...] = field(repr=False)  # requests up to the values
    replies: tuple[bytes, ...] = field(repr=False)

    def frame(self, transaction_id: int, value: float) -> bytes:
        """The request that writes `value` (the point's unit).

        Raises:
            ValueError: not a number, or beyond the range of the registers.
        """
        return self.heads[transaction_id] + self.encode(value)


@dataclass(frozen=True, slots=True)
class Step:
    """One write of a control sequence, its value fixed."""

    target: Setpoint
    value: float


@dataclass(frozen=True, slots=True)
class Wiring:
    """All that a session needs of a map, for one unit id."""

    map_name: str
    unit_id: int
    timing: Timing
    blocks: tuple[Block, ...]
    assemble: Callable[[tuple[float, ...]], Reading] = field(repr=False)
    setpoint: Setpoint | None
    take: tuple[Step, ...]
    release: tuple[Step, ...]
    stop: tuple[Step, ...]
    remote_when: tuple[tuple[int, frozenset[float]], ...]  # index in Reading, values
    fault_when: tuple[tuple[int, frozenset[float]], ...]
    lease_ns: int

    def shows(self, reading: Reading, when: tuple[tuple[int, frozenset[float]], ...]) -> bool:
        """Whether every condition in `when` holds in `reading`."""
        for index, values in when:  # noqa: SIM110 - a loop costs a third of all() here
            if reading[index] not in values:
                return False
        return True


def wire(source: RegisterMap, unit_id: int | None = None, *, names: tuple[str, ...] = ()) -> Wiring:
    """Compile `source` for the unit `unit_id` (default: the map's).

    `names` limits the fast points to those given; by default all fast points are read.

    Raises:
        ValueError: no fast point to read.
    """
    unit = source.timing.unit_id if unit_id is None else unit_id
    fast = {
        name: point
        for name, point in source.points.items()
        if (name in names if names else point.cadence == "fast")
        and point.type != "string"
        and point.access != "write"
    }
    if not fast or any(name not in fast for name in names):
        raise ValueError(
            f"map {source.name} lacks the points to read: {', '.join(names) or 'none is fast'}"
        )
    blocks = tuple(_block(unit, group) for group in _groups(fast, source.timing))
    control = source.control
    targets: dict[str, Setpoint] = {}

    def steps(writes: tuple[object, ...]) -> tuple[Step, ...]:
        made = []
        for write in writes:
            name, value = write.point, write.value  # type: ignore[attr-defined]
            target = targets.setdefault(name, setpoint_at(name, source.points[name], unit))
            target.encode(value)  # a value that does not fit shows at start, not at the stop
            made.append(Step(target, value))
        return tuple(made)

    return Wiring(
        map_name=source.name,
        unit_id=unit,
        timing=source.timing,
        blocks=blocks,
        assemble=_assembler(tuple(name for block in blocks for name in block.names)),
        setpoint=setpoint_at(control.setpoint, source.points[control.setpoint], unit)
        if control
        else None,
        take=steps(control.take) if control else (),
        release=steps(control.release) if control else (),
        stop=steps(control.stop) if control else (),
        remote_when=_conditions(source, control.remote_when if control else {}),
        fault_when=_conditions(source, control.fault_when if control else {}),
        lease_ns=control.lease_ms * 1_000_000 if control else 0,
    )


@cache
def wiring_for(
    map_name_or_path: str, unit_id: int | None = None, *, names: tuple[str, ...] = ()
) -> Wiring:
    """Load and compile a map once for all units that share it; the result is immutable.

    A thousand units with their own copies would hold 80 kB of frames each and miss the cache of
    the processor at every one.

    Raises:
        UserError: as `load_map`.
        ValueError: as `wire`.
    """
    return wire(load_map(map_name_or_path), unit_id, names=names)


def _conditions(
    source: RegisterMap, raw: dict[str, tuple[int, ...]]
) -> tuple[tuple[int, frozenset[float]], ...]:
    found = []
    for name, values in raw.items():
        point = source.points[name]
        scaled = frozenset(value * point.scale + point.offset for value in values)
        found.append((Reading._fields.index(name), scaled))
    return tuple(found)


def _groups(points: dict[str, Point], timing: Timing) -> list[list[tuple[str, Point]]]:
    """Cut the points into the fewest reads that the device's line allows."""
    groups: list[list[tuple[str, Point]]] = []
    for name, point in sorted(points.items(), key=lambda item: (item[1].function, item[1].address)):
        if groups:
            first, last = groups[-1][0][1], groups[-1][-1][1]
            fits = point.address + point.size - first.address <= timing.largest_read
            joined = point.address == last.address + last.size
            if point.function == first.function and fits and (joined or timing.holes_allowed):
                groups[-1].append((name, point))
                continue
        groups.append([(name, point)])
    return groups


def _block(unit_id: int, group: list[tuple[str, Point]]) -> Block:
    start = group[0][1].address
    end = group[-1][1].address + group[-1][1].size
    request = read_request(unit_id, group[0][1].function, start, end - start)
    return Block(request, tuple(name for name, _ in group), _decoder(start, end, group))


def _decoder(start: int, end: int, group: list[tuple[str, Point]]) -> Decode:
    pattern = [">9x"]  # the header, the function and the byte count
    at = start
    for _, point in group:
        pattern.append(f"{2 * (point.address - at)}x{_FORMAT[point.type]}")
        at = point.address + point.size
    unpack = struct.Struct("".join(pattern)).unpack
    # Whole numbers stay whole: a state code is not 3.0.
    scales = tuple(int(p.scale) if p.scale == int(p.scale) else p.scale for _, p in group)
    plain = lambda data: tuple(map(mul, unpack(data), scales))  # noqa: E731 - the whole of it
    swapped = _word_swap(start, end, group)
    special = [
        (i, frozenset(p.invalid), p.offset)
        for i, (_, p) in enumerate(group)
        if p.invalid or p.offset or p.type[0] == "f"
    ]
    if not special and swapped is None:
        return plain

    def careful(data: bytes) -> tuple[float, ...]:
        if swapped is not None:
            data = bytes(swapped(data))
        values: list[float] = list(unpack(data))
        raw = tuple(values)
        for i, scale in enumerate(scales):
            values[i] = raw[i] * scale
        for i, invalid, offset in special:
            if raw[i] in invalid or not math.isfinite(raw[i]):
                values[i] = _NAN
            else:
                values[i] += offset
        return tuple(values)

    return careful


def _word_swap(
    start: int, end: int, group: list[tuple[str, Point]]
) -> Callable[[bytes], tuple[int, ...]] | None:
    """How to bring low-first words into order; None where all are high-first."""
    if all(p.word_order == "high-first" or p.size == 1 for _, p in group):
        return None
    order = list(range(9 + 2 * (end - start)))
    for _, point in group:
        if point.word_order == "low-first":
            at = 9 + 2 * (point.address - start)
            words = [order[at + 2 * i : at + 2 * i + 2] for i in range(point.size)]
            order[at : at + 2 * point.size] = [byte for word in reversed(words) for byte in word]
    return itemgetter(*order)


def _assembler(names: tuple[str, ...]) -> Callable[[tuple[float, ...]], Reading]:
    """Bring decoded values into the order of the contract; NaN for what the map lacks."""
    missing = len(names)
    pick = itemgetter(
        *(names.index(name) if name in names else missing for name in Reading._fields)
    )
    make = Reading._make
    return lambda values: make(pick((*values, _NAN)))


def setpoint_at(name: str, point: Point, unit_id: int) -> Setpoint:
    """Prepare writes to one point."""
    ids = range(TRANSACTION_IDS)
    empty = bytes(2 * point.size)
    return Setpoint(
        name,
        point.address,
        point.size,
        unit_id,
        _encoder(name, point),
        tuple(write_frame(unit_id, i, point.address, empty)[: -len(empty)] for i in ids),
        tuple(write_reply(unit_id, i, point.address, point.size) for i in ids),
    )


def _encoder(name: str, point: Point) -> Callable[[float], bytes]:
    pack = struct.Struct(">" + _FORMAT[point.type]).pack
    is_float = point.type[0] == "f"
    low_first = point.word_order == "low-first"

    def encode(value: float) -> bytes:
        try:
            raw = (value - point.offset) / point.scale
            if not math.isfinite(raw):
                raise ValueError(f"{name}: {value} is not a number that can be written")
            data = pack(raw if is_float else round(raw))
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{name}: {value} does not fit a {point.type} register") from error
        if low_first:
            data = b"".join(data[i : i + 2] for i in range(len(data) - 2, -2, -2))
        return data

    return encode
