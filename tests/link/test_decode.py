"""What was packed by hand comes out as it went in; whatever is not consistent is refused."""

from __future__ import annotations

import math
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.link import Kind
from tenhertz.link.decode import (
    LARGEST_BODY_BYTES,
    LARGEST_MESSAGE_BYTES,
    Dictionary,
    Malformed,
    decode_batch,
    read_dictionary,
    read_uplink,
)
from tenhertz.link.schema_pb2 import Batch, Birth, Compression, Number, Role, Uplink

from .packing import BASE_NS, BITS, SIGNS, Packed, batch, numbers, packed, texts, times

CELLS = Dictionary(("p1", "p2", "p3"), ("voltage_v", "current_a", "temperature_c", "from_later"))
EVENTS = Dictionary(("u1",), ("severity", "text"))
COMPRESSIONS = st.sampled_from([Compression.NONE, Compression.ZLIB, Compression.ZSTD])
INTEGERS = st.sampled_from([number for number in SIGNS if SIGNS[number] not in "fd"])


def whole(number: int) -> st.SearchStrategy[int]:
    """Values of an integer type whose differences fit it as well."""
    bits = BITS[number]
    if SIGNS[number].isupper():
        return st.integers(0, min(2**bits, 2**63) - 1)
    return st.integers(-(2 ** (bits - 2)), 2 ** (bits - 2) - 1)


@st.composite
def columns(draw: st.DrawFn, rows: int, width: int, point: int) -> tuple[Packed, np.ndarray]:
    """A column and the physical values that it must give, shape (rows, width)."""
    count = rows * width
    planes = draw(st.booleans())
    scale = draw(st.sampled_from([0.0, 1.0, 0.001, -0.5, 1e6]))
    offset = draw(st.sampled_from([0.0, 25.0, -273.15])) if scale else 0.0
    if draw(st.booleans()):
        number = draw(st.sampled_from([Number.F32, Number.F64]))
        floats = st.floats(width=BITS[number], allow_nan=True, allow_infinity=True)
        values: list[Any] = draw(st.lists(floats, min_size=count, max_size=count))
        delta = False
    else:
        number = draw(INTEGERS)
        values = draw(st.lists(whole(number), min_size=count, max_size=count))
        delta = draw(st.booleans())
        if delta and SIGNS[number].isupper():  # differences of these only ever rise
            grid = np.sort(np.array(values, object).reshape(rows, width), axis=0)
            values = grid.reshape(count).tolist()
    made = numbers(
        number,
        values,
        point=point,
        width=width,
        delta=delta,
        planes=planes,
        scale=scale,
        offset=offset,
    )
    raw = np.array(values, object).reshape(rows, width)
    if scale and (scale, offset) != (1.0, 0.0):
        plain = raw.astype(np.float64).astype(np.float32)
        raw = plain * np.float32(scale) + np.float32(offset)
    return made, raw


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value")
@given(st.data())
def test_any_columns_of_numbers_come_out_as_they_went_in(data: st.DataObject) -> None:
    rows, width = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    voltage, volts = data.draw(columns(rows, width, 0))
    current, amperes = data.draw(columns(rows, 1, 1))
    temperature, degrees = data.draw(columns(rows, width, 2))
    extra, _ = data.draw(columns(rows, 1, 3))
    at = data.draw(st.lists(st.integers(-(10**17), 10**17), min_size=rows, max_size=rows))
    entity = data.draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows))
    entities = numbers(data.draw(INTEGERS), entity, role=Role.ENTITY)
    parts = [temperature, times(at), extra, voltage, entities, current]
    order = data.draw(st.permutations(parts))
    made = batch(order, rows, kind=Kind.CELL, first=11, compression=data.draw(COMPRESSIONS))
    frame = decode_batch(Batch.FromString(made.SerializeToString()), CELLS, 99)
    assert frame.sequence.tolist() == list(range(11, 11 + rows))
    assert frame.time_ns.tolist() == [BASE_NS + offset for offset in at]
    assert frame.entity.tolist() == entity
    assert frame.received_ns == 99
    assert set(frame.columns) == {"voltage_v", "current_a", "temperature_c"}
    for name, wanted in (("voltage_v", volts), ("temperature_c", degrees)):
        same(frame.columns[name].physical, wanted)
    same(frame.columns["current_a"].physical, amperes[:, 0])


def same(found: np.ndarray, wanted: np.ndarray) -> None:
    """Every number is the same, and an absent one is absent."""
    if found.dtype.kind == "f":
        np.testing.assert_array_equal(found, wanted.astype(found.dtype))
    else:
        assert found.tolist() == wanted.tolist()


@given(st.lists(st.text(max_size=12), min_size=1, max_size=8), COMPRESSIONS)
def test_texts_come_out_as_they_went_in(words: list[str], compression: int) -> None:
    parts = [times([0] * len(words)), numbers(Number.U8, [3] * len(words)), texts(words, point=1)]
    made = batch(parts, len(words), kind=Kind.EVENT, compression=compression)
    frame = decode_batch(made, EVENTS)
    assert frame.columns["text"].values.tolist() == words
    assert frame.entity.tolist() == [0] * len(words)


def test_bytes_that_are_no_utf8_are_replaced_and_shift_nothing() -> None:
    text = Packed(texts(["abc", "xyz"], point=1).head, struct.pack("<2I", 3, 3) + b"a\xffcxyz")
    made = batch([times([0, 1]), numbers(Number.U8, [1, 2]), text], 2, kind=Kind.EVENT)
    assert decode_batch(made, EVENTS).columns["text"].values.tolist() == ["a\ufffdc", "xyz"]


# -- one fault each ---------------------------------------------------------------------------


def good(compression: int = Compression.NONE) -> Batch:
    """Two rows of two cells."""
    parts = [
        times([0, 100]),
        numbers(Number.U8, [0, 1], role=Role.ENTITY),
        numbers(Number.I16, [3300, 3301, 3302, 3303], point=0, width=2, scale=0.001),
        numbers(Number.I16, [250, 251, 252, 253], point=2, width=2, scale=0.1, delta=True),
    ]
    return batch(parts, 2, kind=Kind.CELL, compression=compression)


def test_the_batch_that_the_faults_below_are_put_into_is_good() -> None:
    for compression in (Compression.NONE, Compression.ZLIB, Compression.ZSTD):
        assert decode_batch(good(compression), CELLS).rows == 2


Change = Callable[[Batch], None]


def field(**fields: Any) -> Change:
    """The batch with other fields."""

    def change(made: Batch) -> None:
        for name, value in fields.items():
            setattr(made, name, value)

    return change


def column(index: int, **fields: Any) -> Change:
    """One of its columns with other fields."""

    def change(made: Batch) -> None:
        field(**fields)(made.columns[index])  # type: ignore[arg-type]

    return change


def body(cut: slice, instead: bytes) -> Change:
    """Other bytes at a place of its body; the length that it tells is right."""

    def change(made: Batch) -> None:
        data = bytearray(made.body)
        data[cut] = instead
        made.body, made.body_bytes = bytes(data), len(data)

    return change


def all_of(*changes: Change) -> Change:
    def change(made: Batch) -> None:
        for each in changes:
            each(made)

    return change


ENTITIES, LAST_COLUMN, END = slice(16, 18), slice(26, 34), slice(34, 34)
FAULTS: dict[str, tuple[str, Change]] = {
    "no kind": ("kind", field(kind=0)),
    "a kind from later": ("kind", field(kind=77)),
    "no rows": ("rows", field(rows=0)),
    "too many rows": ("rows", field(rows=200_001)),
    "more rows than there are": ("body length", field(rows=3, head=4)),
    "sequence 0": ("sequence", field(first=0)),
    "a sequence beyond any": ("sequence", field(first=2**64 - 1, head=2**64 - 1)),
    "a head below its rows": ("sequence", field(head=2)),
    "a head beyond any": ("sequence", field(head=2**62)),
    "bytes behind the columns": ("body length", body(END, b"x")),
    "bytes that are not there": ("body length", body(slice(33, 34), b"")),
    "another length than it tells": ("body length", field(body_bytes=33)),
    "a body that claims to be huge": ("body too large", field(body_bytes=LARGEST_BODY_BYTES + 1)),
    "a compression from later": ("compression", field(compression=9)),
    "not zlib": ("compression", field(compression=Compression.ZLIB)),
    "not zstd": ("compression", field(compression=Compression.ZSTD)),
    "too many columns": ("columns", lambda made: made.columns.extend([made.columns[0]] * 64)),
    "a role from later": ("role", column(2, role=5)),
    "no number": ("number type", column(2, number=0)),
    "a number from later": ("number type", column(2, number=33)),
    "cells without end": ("width", column(2, width=1025)),
    "a width for the time": ("time column", column(0, width=2)),
    "two time columns": ("two time columns", column(1, role=Role.TIME)),
    "two entity columns": (
        "two entity columns",
        all_of(column(0, role=Role.ENTITY), body(slice(0, 16), bytes(16))),
    ),
    "no time": ("no time column", column(0, role=Role.POINT, point=3)),
    "time before 1970": ("time column", field(base_time_ns=-200)),
    "time beyond any calendar": ("time column", field(base_time_ns=2**62)),
    "time beyond 64 bits": ("time column", field(base_time_ns=2**63 - 1)),
    "time as float": ("time column", column(0, number=Number.F64)),
    "an entity beyond": ("entity", body(ENTITIES, b"\x00\x03")),
    "a negative entity": ("entity", all_of(column(1, number=Number.I8), body(ENTITIES, b"\0\xff"))),
    "a point beyond": ("point", column(2, point=4)),
    "a point twice": ("point twice", column(3, point=0)),
    "a point that is missing": ("schema", column(3, point=3)),
    "several numbers for one": ("width", column(3, point=1)),
    "differences of floats": (
        "differences of floats",
        column(2, number=Number.F32, width=1, delta=True),
    ),
    "scale nan": ("scale", column(2, scale=math.nan)),
    "scale infinite": ("scale", column(2, scale=math.inf)),
    "scale almost nothing": ("scale", column(2, scale=5e-324)),
    "offset nan": ("scale", column(2, offset=math.nan)),
    "offset infinite": ("scale", column(2, offset=-math.inf)),
    "text where numbers are": (
        "type",
        all_of(
            column(3, number=Number.TEXT, width=0, delta=False),
            body(LAST_COLUMN, bytes(8)),
        ),
    ),
    "text in differences": ("text", column(3, number=Number.TEXT, width=0, delta=True)),
    "text of several": ("text", column(3, number=Number.TEXT, width=2, delta=False)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_batch_with_one_fault_is_refused_with_its_reason(name: str) -> None:
    reason, change = FAULTS[name]
    made = good()
    change(made)
    with pytest.raises(Malformed) as caught:
        decode_batch(made, CELLS)
    assert caught.value.reason == reason


@pytest.mark.parametrize("length", [4, 2**31, 2**32 - 1])
def test_lengths_of_texts_beyond_the_body_are_refused(length: int) -> None:
    text = Packed(texts(["abc"], point=1).head, struct.pack("<I", length) + b"abc")
    made = batch([times([0]), numbers(Number.U8, [1]), text], 1, kind=Kind.EVENT)
    with pytest.raises(Malformed, match="body length"):
        decode_batch(made, EVENTS)


def test_columns_of_a_row_that_differ_in_cells_are_refused() -> None:
    parts = [
        times([0]),
        numbers(Number.I16, [1, 2], point=0, width=2),
        numbers(Number.I16, [1, 2, 3], point=2, width=3),
    ]
    with pytest.raises(Malformed, match="width"):
        decode_batch(batch(parts, 1, kind=Kind.CELL), CELLS)


# -- bounded ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("compression", [Compression.ZLIB, Compression.ZSTD])
def test_a_bomb_is_refused_without_being_unpacked(compression: int) -> None:
    made = good()
    made.compression = compression  # type: ignore[assignment]
    made.body = packed(bytes(3 * LARGEST_BODY_BYTES), compression)
    assert len(made.body) < 3 * LARGEST_BODY_BYTES / 900
    tracemalloc.start()
    try:
        for claimed in (0, 34, 1 << 20):
            made.body_bytes = claimed
            tracemalloc.reset_peak()
            with pytest.raises(Malformed):
                decode_batch(made, CELLS)
            assert tracemalloc.get_traced_memory()[1] < (4 << 20)
        made.body_bytes = 3 * LARGEST_BODY_BYTES
        with pytest.raises(Malformed, match="body too large"):
            decode_batch(made, CELLS)
        assert tracemalloc.get_traced_memory()[1] < (4 << 20)
    finally:
        tracemalloc.stop()


def test_a_compressed_body_of_another_length_than_it_says_is_refused() -> None:
    for compression in (Compression.ZLIB, Compression.ZSTD):
        for wrong in (-1, 1, 1000):
            made = good(compression)
            made.body_bytes += wrong
            with pytest.raises(Malformed):
                decode_batch(made, CELLS)
    made = good(Compression.ZLIB)
    for damaged in (made.body + b"behind the end", made.body[:-2], made.body[:-6]):
        made.body = damaged
        with pytest.raises(Malformed):
            decode_batch(made, CELLS)


def test_a_message_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(Malformed, match="too large"):
        read_uplink(bytes(LARGEST_MESSAGE_BYTES + 1))


# -- whatever comes ---------------------------------------------------------------------------


def swallow(data: bytes) -> str:
    """Take a message all the way; the reason where it was refused."""
    try:
        message = read_uplink(data)
        if message.WhichOneof("body") == "birth":
            read_dictionary(message.birth)
        elif message.WhichOneof("body") == "batch":
            frame = decode_batch(message.batch, CELLS)
            assert frame.rows == message.batch.rows == len(frame.entity) == len(frame.sequence)
            assert all(len(found.values) == frame.rows for found in frame.columns.values())
    except Malformed as malformed:
        return malformed.reason
    return ""


@given(st.binary(max_size=300))
def test_random_bytes_are_read_or_refused(data: bytes) -> None:
    swallow(data)


BODIES = [
    Uplink(batch=good(compression)).SerializeToString()
    for compression in (Compression.NONE, Compression.ZLIB, Compression.ZSTD)
]
BODIES.append(
    Uplink(
        birth=Birth(version=2, source="gate", entities=["a", "b"], points=["voltage_v"])
    ).SerializeToString()
)
CHANGE = st.tuples(
    st.sampled_from(["flip", "set", "cut", "insert", "double"]),
    st.integers(0, 400),
    st.integers(0, 255),
)


@given(st.sampled_from(BODIES), st.lists(CHANGE, min_size=1, max_size=6))
def test_damaged_messages_are_read_or_refused(
    whole: bytes, changes: list[tuple[str, int, int]]
) -> None:
    data = bytearray(whole)
    for what, place, value in changes:
        at = place % (len(data) + 1)
        if what == "flip" and at < len(data):
            data[at] ^= 1 << value % 8
        elif what == "set" and at < len(data):
            data[at] = value
        elif what == "cut":
            del data[at : at + value % 8]
        elif what == "insert":
            data[at:at] = bytes([value]) * (value % 5)
        elif what == "double":
            data[at:at] = data[at : at + 20]
    swallow(bytes(data))


FIELDS = ["kind", "first", "rows", "head", "body_bytes", "compression"]
HEADS = ["point", "role", "number", "width"]


@given(
    st.sampled_from(FIELDS),
    st.sampled_from(HEADS),
    st.integers(0, 2**31 - 1) | st.integers(0, 2000),
    st.integers(0, 3),
    st.integers(0, 2**31 - 1) | st.integers(0, 40),
)
def test_counts_that_lie_are_refused_and_cost_no_memory(
    name: str, head: str, value: int, at: int, of_column: int
) -> None:
    made = good()
    setattr(made, name, value)
    setattr(made.columns[at], head, of_column)
    tracemalloc.start()
    try:
        swallow(Uplink(batch=made).SerializeToString())
        assert tracemalloc.get_traced_memory()[1] < (8 << 20)
    finally:
        tracemalloc.stop()


def test_a_zlib_body_that_is_empty_is_refused() -> None:
    made = good()
    made.compression, made.body, made.body_bytes = Compression.ZLIB, zlib.compress(b""), 0
    with pytest.raises(Malformed, match="body length"):
        decode_batch(made, CELLS)
