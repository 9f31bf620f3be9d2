"""Frames against an encoder that we did not write, and streams in every state of disrepair."""

import itertools
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
    WriteMultipleRegistersRequest,
    WriteMultipleRegistersResponse,
    WriteSingleRegisterRequest,
)

from tenhertz.devices.modbus import (
    LARGEST_FRAME,
    Fate,
    FrameReader,
    NotModbusError,
    judge,
    read_request,
    write_frame,
    write_one_frame,
    write_reply,
)

READS = {
    3: (ReadHoldingRegistersRequest, ReadHoldingRegistersResponse),
    4: (ReadInputRegistersRequest, ReadInputRegistersResponse),
}
theirs = FramerSocket(DecodePDU(is_server=False)).buildFrame

units = st.integers(0, 255)
ids = st.integers(0, 255)
functions = st.sampled_from([3, 4])


@st.composite
def spans(draw, most):
    count = draw(st.integers(1, most))
    return draw(st.integers(0, 0x10000 - count)), count


def registers(count):
    return st.lists(st.integers(0, 0xFFFF), min_size=count, max_size=count)


@pytest.mark.slow
@given(units, ids, functions, spans(125), st.data())
def test_reads_and_their_replies_are_what_pymodbus_makes_of_them(unit, tid, function, span, data):
    address, count = span
    values = data.draw(registers(count))
    ask, tell = READS[function]
    ours = read_request(unit, function, address, count)
    assert ours.frames[tid] == theirs(
        ask(address=address, count=count, dev_id=unit, transaction_id=tid)
    )
    reply = theirs(tell(registers=values, dev_id=unit, transaction_id=tid))
    assert reply.startswith(ours.reply_heads[tid])
    assert len(reply) == ours.reply_size
    (frame,) = FrameReader().feed(reply)
    assert judge(frame, tid, unit, function, ours.reply_size) is Fate.REPLY
    assert list(struct.unpack_from(f">{count}H", frame.data, 9)) == values


@pytest.mark.slow
@given(units, ids, spans(123), st.data())
def test_writes_and_their_replies_are_what_pymodbus_makes_of_them(unit, tid, span, data):
    address, count = span
    values = data.draw(registers(count))
    head = {"address": address, "dev_id": unit, "transaction_id": tid}
    payload = struct.pack(f">{count}H", *values)
    assert write_frame(unit, tid, address, payload) == theirs(
        WriteMultipleRegistersRequest(registers=values, count=count, **head)
    )
    assert write_one_frame(unit, tid, address, payload[:2]) == theirs(
        WriteSingleRegisterRequest(registers=values[:1], **head)
    )
    reply = theirs(WriteMultipleRegistersResponse(count=count, **head))
    assert write_reply(unit, tid, address, count) == reply


@given(units, ids, st.sampled_from([3, 4, 16]), st.integers(1, 11))
def test_a_refusal_is_recognised_with_its_code(unit, tid, function, code):
    refusal = theirs(ExceptionResponse(function, code, device_id=unit, transaction=tid))
    (frame,) = FrameReader().feed(refusal)
    assert judge(frame, tid, unit, function, 99) is Fate.EXCEPTION
    assert frame.exception_code == code


@pytest.mark.parametrize(
    ("change", "fate"),
    [
        ({"transaction_id": 8}, Fate.LATE),
        ({"transaction_id": None}, Fate.LATE),
        ({"unit_id": 2}, Fate.WRONG_UNIT),
        ({"transaction_id": 8, "unit_id": 2}, Fate.LATE),
        ({"function": 4}, Fate.WRONG_FUNCTION),
        ({"size": 13}, Fate.WRONG_FUNCTION),
        ({}, Fate.REPLY),
    ],
)
def test_a_frame_is_judged_by_id_then_unit_then_function_and_size(change, fate):
    (frame,) = FrameReader().feed(bytes.fromhex("0007 0000 0005 01 03 02 1234"))
    assert frame.exception_code == 0
    waited_for = {"transaction_id": 7, "unit_id": 1, "function": 3, "size": 11}
    assert judge(frame, **(waited_for | change)) is fate


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((1, 6, 0, 1), "function 6"),
        ((256, 3, 0, 1), "unit id 256"),
        ((-1, 3, 0, 1), "unit id -1"),
        ((1, 3, 0, 0), "0 registers"),
        ((1, 3, 0, 126), "126 registers"),
        ((1, 3, 65535, 2), "address 65535"),
        ((1, 3, -1, 1), "address -1"),
    ],
)
def test_a_read_that_modbus_does_not_allow_cannot_be_built(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        read_request(*arguments)


@pytest.mark.parametrize("payload", [b"", bytes(248)], ids=["none", "124 registers"])
def test_a_write_that_modbus_does_not_allow_cannot_be_built(payload):
    with pytest.raises(ValueError, match="registers in one request"):
        write_frame(1, 1, 0, payload)
    with pytest.raises(ValueError, match="registers in one request"):
        write_one_frame(1, 1, 0, payload)


@st.composite
def frames(draw):
    """Any sound frame: what a Modbus TCP header allows, whatever is inside."""
    body = draw(st.binary(min_size=2, max_size=LARGEST_FRAME - 7))
    head = struct.pack(">HHHB", draw(st.integers(0, 0xFFFF)), 0, len(body) + 1, draw(units))
    return head + body


def chunks_of(stream, cuts):
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


cuts = st.lists(st.integers(0, 5000), max_size=30)


@given(st.lists(frames(), max_size=6), cuts)
def test_a_stream_gives_the_same_frames_however_it_was_cut(sent, where):
    reader = FrameReader()
    found = [frame for chunk in chunks_of(b"".join(sent), where) for frame in reader.feed(chunk)]
    assert [frame.data for frame in found] == sent
    assert [frame.function for frame in found] == [frame[7] for frame in sent]
    assert reader.empty


@given(st.lists(frames(), min_size=1, max_size=3))
def test_a_stream_cut_into_single_bytes_gives_the_same_frames(sent):
    reader = FrameReader()
    found = [frame for byte in b"".join(sent) for frame in reader.feed(bytes([byte]))]
    assert [frame.data for frame in found] == sent


@st.composite
def damaged_streams(draw):
    """Sound frames with bytes changed, taken out or put in."""
    stream = bytearray(b"".join(draw(st.lists(frames(), min_size=1, max_size=5))))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(stream) - 1))
        kind = draw(st.sampled_from(["change", "drop", "add"]))
        if kind == "drop" and len(stream) > 1:
            del stream[at : at + draw(st.integers(1, 20))]
            stream = stream or bytearray(b"\x00")
        elif kind == "add":
            stream[at:at] = draw(st.binary(min_size=1, max_size=20))
        else:
            stream[at] ^= draw(st.integers(1, 255))
    return bytes(stream)


@given(st.one_of(st.binary(max_size=2000), damaged_streams()), cuts)
@example(b"\x00\x01\x00\x00\x00\xfe\x01" * 40, [])
def test_whatever_comes_the_reader_holds_less_than_one_frame(stream, where):
    reader = FrameReader()
    for chunk in chunks_of(stream, where):
        try:
            found = reader.feed(chunk)
        except NotModbusError as error:
            assert str(error)  # noqa: PT017 - the loop ends either way
            break
        assert all(9 <= len(frame.data) <= LARGEST_FRAME for frame in found)
        assert len(reader._held) < LARGEST_FRAME


@pytest.mark.slow
@given(chunks=st.lists(st.one_of(st.binary(max_size=300), damaged_streams()), max_size=20))
def test_whatever_a_device_sends_the_session_neither_raises_nor_grows(container, make_rig, chunks):
    rig = make_rig(container)
    rig.connect()
    for at, chunk in enumerate(chunks):
        rig.at(100 * at).sample()
        rig.bytes(chunk)
        rig.overdue()
        assert len(rig.session._reader._held) < LARGEST_FRAME
        if rig.session.broken:
            assert rig.counters.garbage or rig.counters.timeouts
            break


@given(
    damage=st.lists(st.tuples(st.integers(0, 88), st.integers(1, 255)), min_size=1, max_size=4),
    where=cuts,
)
def test_a_damaged_reply_is_counted_and_never_believed_where_the_head_is_hurt(
    container, make_rig, damage, where
):
    rig = make_rig(container)
    rig.connect()
    good = rig.sample().reply(bytes(80))
    bad = bytearray(good)
    for at, mask in damage:
        bad[at] ^= mask
    for chunk in chunks_of(bytes(bad), where):
        if not rig.session.broken:
            rig.bytes(chunk)
    believed = rig.counters.samples == 1
    assert believed == (bytes(bad[:9]) == good[:9])
    told = rig.counters.late + rig.counters.wrong_unit + rig.counters.garbage
    assert believed or told or not rig.session._reader.empty
