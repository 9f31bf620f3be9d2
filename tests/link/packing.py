"""Batches made by hand, from schema.proto alone: nothing here is the program's own encoder."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from tenhertz.link.schema_pb2 import Batch, Compression, Number, Role
from tenhertz.link.schema_pb2 import Column as ColumnHead

SIGNS = {
    Number.I8: "b",
    Number.I16: "h",
    Number.I32: "i",
    Number.I64: "q",
    Number.U8: "B",
    Number.U16: "H",
    Number.U32: "I",
    Number.U64: "Q",
    Number.F32: "f",
    Number.F64: "d",
}
BITS = {number: 8 * struct.calcsize(f"<{sign}") for number, sign in SIGNS.items()}
BASE_NS = 1_800_000_000_000_000_000


class Packed(NamedTuple):
    """One column as it stands in a batch."""

    head: ColumnHead
    body: bytes


def numbers(
    number: int,
    values: Sequence[Any],
    *,
    point: int = 0,
    role: int = Role.POINT,
    width: int = 0,
    delta: bool = False,
    planes: bool = False,
    scale: float = 0.0,
    offset: float = 0.0,
) -> Packed:
    """A column of numbers, row after row."""
    head = ColumnHead(
        point=point,
        role=role,
        number=number,
        width=width,
        delta=delta,
        planes=planes,
        scale=scale,
        offset=offset,
    )
    flat = list(values)
    step = width or 1
    if delta:  # from the last row on, so that each still finds the whole number before it
        for at in range(len(flat) - 1, step - 1, -1):
            flat[at] -= flat[at - step]
    body = struct.pack(f"<{len(flat)}{SIGNS[number]}", *flat)
    if planes:
        size = BITS[number] // 8
        body = b"".join(body[place::size] for place in range(size))
    return Packed(head, body)


def texts(values: Sequence[str], *, point: int = 0) -> Packed:
    """A column of texts."""
    encoded = [value.encode() for value in values]
    lengths = struct.pack(f"<{len(encoded)}I", *map(len, encoded))
    return Packed(ColumnHead(point=point, number=Number.TEXT), lengths + b"".join(encoded))


def times(offsets_ns: Sequence[int]) -> Packed:
    """The column of instants."""
    return numbers(Number.I64, offsets_ns, role=Role.TIME)


def batch(
    columns: Sequence[Packed],
    rows: int,
    *,
    kind: int,
    first: int = 1,
    compression: int = Compression.NONE,
    version: int = 2,
    source: str = "gate",
    dictionary: int = 5,
) -> Batch:
    """A whole batch."""
    body = b"".join(column.body for column in columns)
    made = Batch(
        version=version,
        source=source,
        stream=7,
        dictionary=dictionary,
        kind=kind,
        first=first,
        rows=rows,
        head=first + rows,
        base_time_ns=BASE_NS,
        compression=compression,
        body_bytes=len(body),
        body=packed(body, compression),
    )
    made.columns.extend(column.head for column in columns)
    return made


def packed(body: bytes, compression: int) -> bytes:
    """A body as it travels."""
    if compression == Compression.ZLIB:
        return zlib.compress(body)
    if compression == Compression.ZSTD:
        made: bytes = pa.Codec("zstd").compress(body, asbytes=True)
        return made
    return body
