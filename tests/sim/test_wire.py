"""The messages of the simulated gateways, held against the schema as protobuf itself reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.link import Kind, topic
from tenhertz.link.decode import read_uplink
from tenhertz.link.schema_pb2 import Ack, Birth, Downlink, Rebirth, SignedCommand, Uplink
from tenhertz.sim import wire

STREAM = 2**63 + 5
WORDS = st.text(max_size=20)


@given(WORDS, st.integers(0, 2**64 - 1), st.integers(0, 2**63 - 1), st.lists(WORDS))
def test_a_birth_reads_as_it_was_written(
    source: str, stream: int, at_ns: int, entities: list[str]
) -> None:
    speaker, names = wire.Speaker(source, stream), wire.Names(tuple(entities), ("voltage_v",))
    data = wire.birth(speaker, 2**64 - 1, at_ns, names, 77)
    birth = read_birth(data)
    assert (birth.source, birth.stream, birth.at_ns) == (source, stream, at_ns)
    assert (birth.session, birth.dictionary) == (2**64 - 1, names.number)
    assert (list(birth.entities), list(birth.points)) == (entities, ["voltage_v"])
    assert [(head.kind, head.next) for head in birth.heads] == [(Kind.CELL, 77)]


def read_birth(data: bytes) -> Birth:
    return Uplink.FromString(data).birth


def test_a_death_and_a_gone_read_as_they_were_written() -> None:
    speaker = wire.Speaker("gate-001", STREAM)
    death = read_uplink(wire.death(speaker, 9)).death
    assert (death.source, death.stream, death.session) == ("gate-001", STREAM, 9)
    gone = read_uplink(wire.gone(speaker, 5, 300, "memory")).gone
    assert (gone.kind, gone.first, gone.end, gone.cause) == (Kind.CELL, 5, 300, "memory")


@given(
    st.integers(0, 2**64 - 1),
    st.lists(st.integers(0, 2**64 - 1)),
    st.lists(st.integers(0, 2**64 - 1)),
)
def test_an_acknowledgement_is_heard_as_it_was_said(
    stream: int, bounds: list[int], others: list[int]
) -> None:
    ack = Ack(version=2, stream=stream, server="s")
    ack.held.add(kind=Kind.TICK, bounds=others)  # type: ignore[arg-type]
    ack.held.add(kind=Kind.CELL, bounds=bounds)  # type: ignore[arg-type]
    heard = wire.read_downlink(Downlink(ack=ack).SerializeToString())
    assert heard == wire.Ack(stream, bounds)


def test_a_rebirth_and_a_command_are_told_apart() -> None:
    rebirth = Downlink(rebirth=Rebirth(version=2)).SerializeToString()
    assert wire.read_downlink(rebirth) == wire.Rebirth()
    command = Downlink(command=SignedCommand(key="fleet")).SerializeToString()
    assert wire.read_downlink(command) == wire.Other(2)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_a_wire_error(data: bytes) -> None:
    try:
        wire.read_downlink(data)
    except wire.WireError:
        return


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_message_that_is_cut_off_is_never_taken_for_a_whole_one(cut: int) -> None:
    ack = Ack(version=2, stream=STREAM, server="server-1")
    ack.held.add(kind=Kind.CELL, bounds=[1, 1000])  # type: ignore[arg-type]
    whole = Downlink(ack=ack).SerializeToString()
    with pytest.raises(wire.WireError):
        wire.read_downlink(whole[: -min(cut, len(whole) - 1)])


@given(st.text(min_size=1, max_size=30).filter(lambda name: "/" not in name))
def test_the_topics_are_those_of_the_link(source: str) -> None:
    assert wire.topic("demo", source, "up") == topic("demo", source, "up")
