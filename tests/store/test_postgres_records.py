"""Binary COPY as PostgreSQL's manual has it, read again by a parser of a few lines."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tenhertz.store.postgres.records import HEADER, TRAILER, Field, decode, encode

FORMATS = {"f4": ">f", "f8": ">d", "i8": ">q", "i4": ">i", "i2": ">h"}
REALS = st.floats(width=32)  # NaN among them


def parse(body: bytes, types: list[str]) -> list[list[Any]]:
    """Rows, field by field; None is NULL."""
    rows, at = [], 0
    while at < len(body):
        (fields,) = struct.unpack_from(">h", body, at)
        assert fields == len(types)
        at += 2
        row: list[Any] = []
        for code in types:
            (length,) = struct.unpack_from(">i", body, at)
            at += 4
            if length < 0:
                row.append(None)
                continue
            part = body[at : at + length]
            at += length
            row.append(_value(part, code))
        rows.append(row)
    return rows


def _value(part: bytes, code: str) -> Any:
    if code == "text":
        return part.decode()
    if code != "cells":
        return struct.unpack(FORMATS[code], part)[0]
    dimensions, flags, oid, count, lower = struct.unpack_from(">5i", part)
    assert (dimensions, flags, oid, lower, len(part)) == (1, 0, 700, 1, 20 + 8 * count)
    cells = struct.unpack_from(">" + "if" * count, part, 20)
    assert set(cells[::2]) <= {4}
    return list(cells[1::2])


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return bool(one == other)


@st.composite
def tables(draw: st.DrawFn) -> list[list[Any]]:
    width = draw(st.integers(1, 4))
    row = st.tuples(
        st.integers(-(2**63), 2**63 - 1),
        REALS,
        st.lists(REALS, min_size=width, max_size=width),
        st.integers(-(2**15), 2**15 - 1),
        st.floats(),
    )
    return draw(st.lists(row.map(list), max_size=8))


def fields_of(rows: list[list[Any]]) -> list[Field]:
    width = len(rows[0][2]) if rows else 1
    return [
        Field("i8", np.array([row[0] for row in rows], np.int64)),
        Field("f4", np.array([row[1] for row in rows], np.float32)),
        Field("f4", np.array([row[2] for row in rows], np.float32).reshape(len(rows), width)),
        Field("i2", np.array([row[3] for row in rows], np.int64)),
        Field("f8", np.array([row[4] for row in rows], np.float64)),
    ]


TYPES = ["i8", "f4", "cells", "i2", "f8"]


@settings(max_examples=50)
@given(tables())
def test_every_row_is_there_once_with_nan_as_null(rows: list[list[Any]]) -> None:
    got = parse(b"".join(encode(fields_of(rows))), TYPES)

    want = [[None if v != v else v for v in row] for row in rows]
    assert len(got) == len(want)
    for row in want:  # rows with the same fields absent come together
        at = next(n for n, other in enumerate(got) if all(map(same, row, other)))
        got.pop(at)


@settings(max_examples=40)
@given(st.lists(tables(), max_size=4))
def test_answers_of_mixed_widths_are_read_back(parts: list[list[list[Any]]]) -> None:
    for part in parts:
        for row in part:
            row[1], row[4] = 0.5, 0.25  # an answer holds no NULL
    body = b"".join(b"".join(encode(fields_of(part))) for part in parts)

    got = decode(HEADER + body + TRAILER, TYPES)

    rows = [row for part in parts for row in part]
    width = max((len(row[2]) for row in rows), default=0)
    assert got[2].shape == (len(rows), width)
    for number, row in enumerate(rows):
        found = [got[0][number], got[1][number], got[2][number].tolist()]
        row[2] = row[2] + [math.nan] * (width - len(row[2]))
        assert all(map(same, row[:3], found))
        assert (row[3], row[4]) == (got[3][number], got[4][number])


def test_a_count_that_came_scaled_is_rounded() -> None:
    (body,) = encode([Field("i4", np.array([2.9999998, -1.0000001], np.float32))])

    assert parse(bytes(body), ["i4"]) == [[3], [-1]]


def test_text_rows() -> None:
    fields = [Field("i2", np.array([1, 2])), Field("text", np.array(["a", "\0\u00b0"], object))]
    (body,) = encode(fields)

    assert parse(bytes(body), ["i2", "text"]) == [[1, "a"], [2, "\u2400\u00b0"]]
