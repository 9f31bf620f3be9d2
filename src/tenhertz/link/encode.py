"""Rows as the bytes of a batch, with the standard library alone: what a site sends.

Columns are stored with as few bytes a number as they need, in differences where those are smaller,
with their bytes ordered by place, and compressed: neighbours in time are alike.
"""

from __future__ import annotations

import math
import sys
import zlib
from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tenhertz.link.points import VERSION, Kind
from tenhertz.link.schema_pb2 import Batch, Column, Compression, Number, Role, Uplink

_SIGNED = (("b", Number.I8), ("h", Number.I16), ("i", Number.I32), ("q", Number.I64))
_SIZES = {"b": 1, "h": 2, "i": 4, "q": 8, "f": 4, "d": 8, "I": 4}
_LEVEL = 6
# Since this version bytes may be ordered by place.
_PLANES_SINCE = 2


class Origin(NamedTuple):
    """Where rows come from."""

    source: str
    stream: int
    dictionary: int
    version: int = VERSION  # the receiver's, if that is older


class Rows(NamedTuple):
    """Rows of one kind, their sequence numbers without a hole from `first` on."""

    kind: Kind
    first: int
    head: int  # the next number that the source will give
    time_ns: Sequence[int]
    entity: Sequence[int]
    columns: Sequence[tuple[int, str, Sequence[object]]]  # index of the point, its type, values


def encode_batch(origin: Origin, rows: Rows) -> bytes:
    """A message with one batch. None stands for a number that is absent.

    Raises:
        ValueError: there are no rows, or a number does not fit its type.
    """
    if not rows.time_ns:
        raise ValueError("a batch without rows")
    base_ns = rows.time_ns[0]
    batch = Batch(
        version=origin.version,
        source=origin.source,
        stream=origin.stream,
        dictionary=origin.dictionary,
        kind=rows.kind,  # type: ignore[arg-type] # an int is what protobuf takes
        first=rows.first,
        rows=len(rows.time_ns),
        head=rows.head,
        base_time_ns=base_ns,
    )
    planes = origin.version >= _PLANES_SINCE
    parts = [_integers(batch, [at - base_ns for at in rows.time_ns], Role.TIME, 0, planes)]
    if any(rows.entity):
        parts.append(_integers(batch, rows.entity, Role.ENTITY, 0, planes))
    for point, kind, values in rows.columns:
        if kind == "text":
            parts.append(_texts(batch, values, point))
        elif kind.startswith("f"):
            parts.append(_floats(batch, values, point, "f" if kind == "f4" else "d", planes))
        else:
            parts.append(_integers(batch, values, Role.POINT, point, planes))
    body = b"".join(parts)
    packed = zlib.compress(body, _LEVEL)
    if len(packed) < len(body):
        batch.compression, batch.body = Compression.ZLIB, packed
    else:
        batch.body = body
    batch.body_bytes = len(body)
    return Uplink(batch=batch).SerializeToString()


def _integers(
    batch: Batch,
    values: Sequence[object],
    role: Role,
    point: int,
    planes: bool,  # noqa: FBT001 - the same in every call
) -> bytes:
    plain = [int(value) for value in values]  # type: ignore[call-overload] # a wrong one raises
    steps = [plain[0], *(b - a for a, b in pairwise(plain))]
    code, number = _fitting(plain)
    code_of_steps, number_of_steps = _fitting(steps)
    constant = min(steps[1:], default=0) == max(steps[1:], default=0)
    delta = _SIZES[code_of_steps] < _SIZES[code] or (constant and plain[0] != plain[-1])
    if delta and _SIZES[code_of_steps] <= _SIZES[code]:
        plain, code, number = steps, code_of_steps, number_of_steps
    else:
        delta = False
    wide = planes and _SIZES[code] > 1
    batch.columns.append(Column(point=point, role=role, number=number, delta=delta, planes=wide))
    return _bytes(array(code, plain), wide)


def _fitting(values: Sequence[int]) -> tuple[str, Number]:
    low, high = min(values), max(values)
    for code, number in _SIGNED:
        reach = 1 << (8 * _SIZES[code] - 1)
        if -reach <= low and high < reach:
            return code, number
    raise ValueError(f"{low} to {high} does not fit 64 bits")


def _floats(
    batch: Batch,
    values: Sequence[object],
    point: int,
    code: str,
    planes: bool,  # noqa: FBT001
) -> bytes:
    plain: list[Any] = [math.nan if value is None else value for value in values]
    number = Number.F32 if code == "f" else Number.F64
    batch.columns.append(Column(point=point, number=number, planes=planes))
    numbers: array[float] = array(code, plain)
    return _bytes(numbers, planes)


def _texts(batch: Batch, values: Sequence[object], point: int) -> bytes:
    bodies = [str(value).encode() for value in values]
    batch.columns.append(Column(point=point, number=Number.TEXT))
    return _bytes(array("I", map(len, bodies)), False) + b"".join(bodies)  # noqa: FBT003


def _bytes(numbers: array[int] | array[float], planes: bool) -> bytes:  # noqa: FBT001
    if sys.byteorder == "big":
        numbers.byteswap()
    raw = numbers.tobytes()
    if not planes:
        return raw
    return b"".join(raw[place :: numbers.itemsize] for place in range(numbers.itemsize))
