"""A reader of version n takes what version n-1 wrote, and the other way round."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tenhertz.link import OLDEST_VERSION, VERSION, Kind
from tenhertz.link.decode import Dictionary, Malformed, decode_batch, read_uplink
from tenhertz.link.schema_pb2 import (
    DESCRIPTOR,
    Batch,
    Birth,
    Compression,
    Death,
    Gone,
    Number,
    Uplink,
)

from .packing import batch, numbers, times

CELLS = Dictionary(("p1",), ("voltage_v", "temperature_c", "from_later"))


def columns(planes: bool) -> list[Any]:
    return [
        times([0, 100]),
        numbers(Number.I16, [3300, 3301], point=0, scale=0.001, planes=planes),
        numbers(Number.F32, [20.5, 21.0], point=1, planes=planes),
    ]


@pytest.fixture(scope="module")
def old_uplink() -> Any:
    """The Uplink of version 1: the schema before byte planes and zstd."""
    file = descriptor_pb2.FileDescriptorProto()
    DESCRIPTOR.CopyToProto(file)
    for message in file.message_type:
        if message.name == "Column":
            del message.field[[field.name for field in message.field].index("planes")]
    for enum in file.enum_type:
        if enum.name == "Compression":
            del enum.value[[value.name for value in enum.value].index("ZSTD")]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tenhertz.link.v1.Uplink"))


def test_the_oldest_version_is_the_one_before() -> None:
    assert VERSION - OLDEST_VERSION == 1


def test_what_the_version_before_wrote_is_read(old_uplink: Any) -> None:
    told = Uplink(
        batch=batch(columns(planes=False), 2, kind=Kind.CELL, version=VERSION - 1)
    ).SerializeToString()
    written = old_uplink.FromString(told).SerializeToString()  # as the old program would
    frame = decode_batch(read_uplink(written).batch, CELLS)
    np.testing.assert_allclose(frame.columns["voltage_v"].physical[:, 0], [3.3, 3.301], rtol=1e-6)
    assert frame.columns["temperature_c"].physical[:, 0].tolist() == [20.5, 21.0]


def test_what_we_write_for_the_version_before_it_reads_in_full(old_uplink: Any) -> None:
    ours = batch(columns(planes=False), 2, kind=Kind.CELL, version=1, compression=Compression.ZLIB)
    theirs = old_uplink.FromString(Uplink(batch=ours).SerializeToString()).batch
    assert theirs.version == 1
    assert theirs.compression == 1
    assert [theirs.first, theirs.rows, theirs.head] == [1, 2, 3]
    assert theirs.body == ours.body
    names = {field.name for field in theirs.columns[0].DESCRIPTOR.fields}
    assert "planes" not in names  # the model is the old one indeed
    for old, new in zip(theirs.columns, ours.columns, strict=True):
        assert old.SerializeToString() == new.SerializeToString()
        for name in names:
            assert getattr(old, name) == getattr(new, name)


def test_the_version_before_sees_that_ours_is_not_for_it(old_uplink: Any) -> None:
    ours = batch(columns(planes=True), 2, kind=Kind.CELL, compression=Compression.ZSTD)
    theirs = old_uplink.FromString(Uplink(batch=ours).SerializeToString()).batch
    assert theirs.version == VERSION  # which is what it refuses by, before it touches the body


def test_byte_planes_and_zstd_are_read_in_this_version() -> None:
    made = batch(columns(planes=True), 2, kind=Kind.CELL, compression=Compression.ZSTD)
    frame = decode_batch(made, CELLS)
    assert frame.columns["voltage_v"].values[:, 0].tolist() == [3300, 3301]


def test_points_that_this_version_does_not_know_are_skipped() -> None:
    later = numbers(Number.I64, [1, 2, 3, 4], point=2, width=2)
    made = batch([later, *columns(planes=True)], 2, kind=Kind.CELL)
    frame = decode_batch(made, CELLS)
    assert set(frame.columns) == {"voltage_v", "temperature_c"}
    assert frame.columns["voltage_v"].values[:, 0].tolist() == [3300, 3301]


def test_fields_that_this_version_does_not_know_are_skipped() -> None:
    made = batch(columns(planes=True), 2, kind=Kind.CELL)
    # Field 100, a varint of 7, and field 101, three bytes: neither is in the schema.
    unknown = b"\xa0\x06\x07" + b"\xaa\x06\x03abc"
    body = made.SerializeToString() + unknown
    told = Uplink(batch=Batch.FromString(body)).SerializeToString() + unknown
    assert told.count(unknown) == 2
    assert decode_batch(read_uplink(told).batch, CELLS).rows == 2


@pytest.mark.parametrize("version", [0, VERSION + 1, 2**32 - 1])
@pytest.mark.parametrize("what", ["batch", "birth", "death", "gone"])
def test_a_version_that_cannot_be_read_is_refused_by_that_word(what: str, version: int) -> None:
    kinds = {"batch": Batch, "birth": Birth, "death": Death, "gone": Gone}
    message = Uplink(**{what: kinds[what](version=version, source="gate")})
    with pytest.raises(Malformed) as caught:
        read_uplink(message.SerializeToString())
    assert caught.value.reason == "version"


@pytest.mark.parametrize("version", [OLDEST_VERSION, VERSION])
def test_both_versions_are_read(version: int) -> None:
    message = Uplink(death=Death(version=version, source="gate"))
    assert read_uplink(message.SerializeToString()) == message


def test_an_empty_message_and_one_without_a_name_are_refused() -> None:
    for data, reason in (
        (b"", "empty message"),
        (Uplink(death=Death(version=2)).SerializeToString(), "source name"),
        (Uplink(death=Death(version=2, source="x" * 129)).SerializeToString(), "source name"),
        (b"\xff" * 20, "not a message"),
    ):
        with pytest.raises(Malformed) as caught:
            read_uplink(data)
        assert caught.value.reason == reason
