"""Rows in PostgreSQL's binary COPY format, made and read as NumPy arrays.

A record is: the number of fields (int16), then for each its length in bytes (int32, -1 for NULL)
and its bytes, all big-endian. Rows of the same shape are an array of one structured type, so that
no row is touched by Python. Format: PostgreSQL manual, COPY, "Binary Format"; array contents as
array_recv reads them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_REAL_OID = 700
_ARRAY_HEADER = 20  # dimensions, flags, type, length, lower bound: int32 each

# How a type of points.py stands in NumPy and in SQL.
NUMPY = {"f4": ">f4", "f8": ">f8", "i8": ">i8", "i4": ">i4", "i2": ">i2"}
SQL = {
    "f4": "real",
    "f8": "double precision",
    "i8": "bigint",
    "i4": "integer",
    "i2": "smallint",
    "text": "text",
}

Values = NDArray[Any]


class Field(NamedTuple):
    """One column of a table: `values` of shape (rows,) or, for real[], (rows, cells).

    NaN in a single float is NULL; within an array it stays NaN. Text is an object array of str.
    """

    type: str
    values: Values


@lru_cache(maxsize=256)
def _template(shape: tuple[tuple[str, int], ...]) -> NDArray[np.void]:
    """One record with all that is the same in every row; a width of -1 is one number, -2 NULL."""
    parts: list[Any] = [("fields", ">i2")]
    for at, (code, width) in enumerate(shape):
        parts.append((f"l{at}", ">i4"))
        if width >= 0:
            parts.append((f"h{at}", ">i4", (5,)))
            parts.append((f"v{at}", [("l", ">i4"), ("v", ">f4")], (width,)))
        elif width == -1:
            parts.append((f"v{at}", NUMPY[code]))
    record = np.zeros(1, np.dtype(parts))
    record["fields"] = len(shape)
    for at, (code, width) in enumerate(shape):
        if width >= 0:
            record[f"l{at}"] = _ARRAY_HEADER + 8 * width
            record[f"h{at}"] = (1, 0, _REAL_OID, width, 1)
            record[f"v{at}"]["l"] = 4
        else:
            record[f"l{at}"] = np.dtype(NUMPY[code]).itemsize if width == -1 else -1
    return record


def storable(text: str) -> str:
    """Text as PostgreSQL takes it: NUL, which it cannot hold, becomes U+2400, its picture."""
    return text.replace("\0", "\u2400")


def encode(fields: Sequence[Field]) -> Iterator[memoryview | bytes]:
    """The records of rows, in one piece for each set of fields that are NULL together."""
    if any(field.type == "text" for field in fields):
        yield _encode_one_by_one(fields)
        return
    rows = len(fields[0].values)
    absent = np.zeros(rows, np.int64)
    for at, field in enumerate(fields):
        if field.values.ndim == 1 and field.values.dtype.kind == "f":
            absent |= np.isnan(field.values).astype(np.int64) << at
    if not absent.any():
        if rows:
            yield _encode_alike(fields, 0)
        return
    for pattern in np.unique(absent):
        chosen = absent == pattern
        part = [Field(field.type, field.values[chosen]) for field in fields]
        yield _encode_alike(part, int(pattern))


def _encode_alike(fields: Sequence[Field], absent: int) -> memoryview:
    shape = tuple(
        (field.type, -2 if absent >> at & 1 else _width(field)) for at, field in enumerate(fields)
    )
    records = np.repeat(_template(shape), len(fields[0].values))
    for at, (field, (_, width)) in enumerate(zip(fields, shape, strict=True)):
        if width >= 0:
            records[f"v{at}"]["v"] = field.values
        elif width == -1:
            records[f"v{at}"] = _whole(field)
    return memoryview(records.view(np.uint8).data)


def _width(field: Field) -> int:
    return field.values.shape[1] if field.values.ndim == 2 else -1


def _whole(field: Field) -> Values:
    # A scaled count is a float: 2.9999998 is 3.
    if field.type.startswith("i") and field.values.dtype.kind == "f":
        return np.rint(field.values)
    return field.values


def _encode_one_by_one(fields: Sequence[Field]) -> bytes:
    """Events and losses: few rows, with text."""
    out = bytearray()
    for row in range(len(fields[0].values)):
        out += struct.pack(">h", len(fields))
        for field in fields:
            if field.type == "text":
                body = storable(str(field.values[row])).encode()
            else:
                body = np.asarray(_whole(field)[row]).astype(NUMPY[field.type]).tobytes()
            out += struct.pack(">i", len(body)) + body
    return bytes(out)


def decode(stream: bytes, types: Sequence[str]) -> list[Values]:
    """The columns of a binary COPY; `real[]` comes as (rows, cells), narrower rows NaN at the end.

    Types: those of points.py but text, and `cells` for real[]. No field may be NULL.
    """
    end = len(stream) - len(TRAILER)
    at = len(HEADER)
    runs: list[NDArray[np.void]] = []
    while at < end:
        shape = _shape_at(stream, at, types)
        template = _template(shape)
        run = np.frombuffer(stream, template.dtype, (end - at) // template.dtype.itemsize, at)
        run = run[: _alike(run, template, shape)]
        runs.append(run)
        at += run.nbytes
    return [_column(runs, number, code) for number, code in enumerate(types)]


def _shape_at(stream: bytes, at: int, types: Sequence[str]) -> tuple[tuple[str, int], ...]:
    at += 2
    shape = []
    for code in types:
        (length,) = struct.unpack_from(">i", stream, at)
        at += 4 + length
        if code == "cells":
            shape.append((code, max(0, (length - _ARRAY_HEADER) // 8)))
        else:
            shape.append((code, -1))
    return tuple(shape)


def _alike(
    run: NDArray[np.void], template: NDArray[np.void], shape: tuple[tuple[str, int], ...]
) -> int:
    """How many of the records, from the first, have the shape of the first."""
    same = np.ones(len(run), bool)
    for at, (_, width) in enumerate(shape):
        if width >= 0:
            same &= run[f"l{at}"] == template[f"l{at}"]
    # The lengths of a later record are only where they seem while all before it were alike.
    return int(np.argmin(same)) if not same.all() else len(run)


def _column(runs: list[NDArray[np.void]], at: int, code: str) -> Values:
    if code != "cells":
        native = np.dtype(NUMPY[code]).newbyteorder("=")
        return np.concatenate([np.empty(0, native), *(run[f"v{at}"] for run in runs)]).astype(
            native, copy=False
        )
    width = max((run[f"v{at}"].shape[1] for run in runs), default=0)
    out = np.full((sum(len(run) for run in runs), width), np.nan, np.float32)
    row = 0
    for run in runs:
        values = run[f"v{at}"]["v"]
        out[row : row + len(run), : values.shape[1]] = values
        row += len(run)
    return out
