"""Faults on command and the door they come through."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.sim.fault_door import DoorRequest, answer
from tenhertz.sim.faults import FaultOrder, Faults, Kind, garbled

S = 1_000_000_000
FRAME = bytes.fromhex("0001000000050103020102")


def test_a_fault_ends_by_itself_after_its_seconds() -> None:
    faults = Faults()
    faults.set(FaultOrder(Kind.STALL, seconds=2), 10 * S)
    assert faults.active(Kind.STALL, 12 * S - 1)
    assert not faults.active(Kind.STALL, 12 * S)


def test_a_fault_without_seconds_lasts_until_cleared() -> None:
    faults = Faults()
    faults.set(FaultOrder(Kind.REJECT), 0)
    assert faults.kinds(10**6 * S) == [Kind.REJECT]
    faults.clear()
    assert faults.kinds(10**6 * S) == []


def test_a_second_order_of_a_kind_replaces_the_first() -> None:
    faults = Faults()
    faults.set(FaultOrder(Kind.LATE, ms=10), 0)
    faults.set(FaultOrder(Kind.LATE, ms=20), 0)
    held = faults.active(Kind.LATE, 0)
    assert held is not None
    assert held.ms == 20


@given(seed=st.integers())
def test_a_garbled_reply_is_never_the_reply_and_the_same_seed_spoils_it_the_same(
    seed: int,
) -> None:
    spoilt = garbled(FRAME, random.Random(seed))
    assert spoilt != FRAME
    assert spoilt == garbled(FRAME, random.Random(seed))


def act(request: DoorRequest) -> dict[str, Any]:
    if request.order is not None and (complaint := request.order.complaint()):
        raise ValueError(complaint)
    return {"did": request.do}


def test_the_door_follows_what_it_understands() -> None:
    assert json.loads(answer(b'{"do":"state"}', act)) == {"ok": True, "did": "state"}
    order = b'{"do":"fault","order":{"kind":"wrong-unit","seconds":1.5}}'
    assert json.loads(answer(order, act)) == {"ok": True, "did": "fault"}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\xfe",
        b"not json",
        b"[]",
        b"{}",
        b'{"do":"explode"}',
        b'{"do":"state","more":1}',
        b'{"do":"fault","order":{"kind":"nonsense"}}',
        b'{"do":"fault","order":{"kind":"stall","seconds":-1}}',
        b'{"do":"fault","order":{"kind":"clamp","fraction":2}}',
        b'{"do":"fault","order":{"kind":"late","ms":1e999}}',
    ],
)
def test_the_door_answers_nonsense_with_an_error(line: bytes) -> None:
    reply = json.loads(answer(line, act))
    assert reply["ok"] is False
    assert reply["error"]


@given(line=st.binary(max_size=200))
def test_no_bytes_bring_the_door_down(line: bytes) -> None:
    assert "ok" in json.loads(answer(line, act))
