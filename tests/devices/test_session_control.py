"""Setpoints and control sequences: what is written, in which order, and what a refusal does."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.devices import Condition, Demand, Session, load_map, wire

# The sequences as the vendor's page wants them: address and registers.
TAKE = [
    ("write", 205, b"\x00\x32"),
    ("write", 203, b"\x00\x01"),
    ("write", 204, b"\x00\x00"),
    ("write", 200, bytes(4)),
    ("write", 202, b"\x00\x01"),
]
LOCAL = {"source": 0, "state": 1}


def watts(value):
    return ("write", 200, value.to_bytes(4, "big", signed=True))


@pytest.mark.parametrize("power_w", [0, 1, -1, 123_456, -(2**31), 2**31 - 1])
def test_a_setpoint_is_one_write_of_both_registers(rig, power_w):
    rig.in_control()
    assert rig.power(power_w).what == watts(power_w)
    rig.at(20).answer()
    assert rig.session.acknowledged_ns == rig.now_ns
    assert rig.counters.writes == 1


@pytest.mark.parametrize("power_w", [math.nan, math.inf, -math.inf, 2.0**31, -(2.0**31) - 1, 1e300])
def test_a_power_that_no_register_can_hold_raises_and_sends_nothing(rig, power_w):
    rig.in_control()
    rig.power(500)
    with pytest.raises(ValueError, match="setpoint_w"):
        rig.power(power_w)
    assert rig.session.power_w == 500
    assert rig.answer() is None


@given(st.floats())
def test_whatever_the_power_it_is_written_rounded_or_refused(container, make_rig, power_w):
    rig = make_rig(container).in_control()
    if math.isfinite(power_w) and -(2**31) <= round(power_w) < 2**31:
        assert rig.power(power_w).what == watts(round(power_w))
    else:
        with pytest.raises(ValueError, match="setpoint_w"):
            rig.power(power_w)


def test_a_device_without_control_refuses_setpoints():
    meter = Session("meter", wire(load_map("frequency-meter")))
    with pytest.raises(ValueError, match="cannot be controlled"):
        meter.set_power(1.0, 0)


def test_of_several_setpoints_only_the_newest_is_sent(rig):
    rig.in_control()
    rig.sample()
    for power_w in (1, 2, 3):
        assert rig.power(power_w) is None
    assert rig.answer().what == watts(3)
    assert rig.answer() is None


def test_a_setpoint_without_an_answer_is_replaced_by_the_newest(rig):
    rig.in_control()
    rig.power(1)
    rig.at(100).power(2)
    assert rig.at(300).overdue().what == watts(2)


def test_a_refused_setpoint_is_counted_and_not_repeated(rig):
    rig.in_control()
    rig.power(1)
    assert rig.refuse(code=4) is None
    assert rig.counters.rejected == 1
    assert rig.session.acknowledged_ns == 0
    assert rig.power(2).what == watts(2)


@pytest.mark.parametrize("demand", [Demand.OBSERVE, Demand.RELEASE, Demand.STOP])
def test_no_setpoint_is_written_unless_power_is_demanded(rig, demand):
    rig.in_control()
    if rig.demand(demand):
        rig.answer_all()
    written = len(rig.sent)
    assert rig.power(1000) is None
    rig.sample()
    rig.answer()
    assert len(rig.sent) == written + 1


def test_nothing_that_cannot_be_sent_keeps_asking_to_be_woken(rig):
    """An instant in the past that never goes away would make the line spin."""
    rig.in_control()
    rig.power(1000)
    rig.demand(Demand.STOP)
    rig.answer_all()
    assert rig.session.settled
    assert rig.session.wake_ns == 0
    rig.power(2000)
    assert rig.session.wake_ns == 0


def test_control_is_taken_when_a_sample_shows_that_it_is_not_held(rig):
    rig.connect()
    assert rig.demand(Demand.POWER) is None
    rig.sample()
    assert rig.answer(**LOCAL).what == TAKE[0]
    assert rig.session.condition(rig.now_ns) is Condition.OBSERVED
    assert rig.answer_all() == TAKE
    assert rig.session.settled


def test_control_that_is_held_is_not_taken_again(rig):
    rig.in_control()
    assert rig.session.condition(rig.now_ns) is Condition.CONTROLLED
    assert rig.counters.writes == 0


def test_control_is_not_taken_while_only_observing(rig):
    rig.connect()
    rig.sample()
    assert rig.answer(**LOCAL) is None


def test_control_is_not_taken_from_a_faulted_device(rig):
    rig.connect()
    rig.demand(Demand.POWER)
    rig.sample()
    assert rig.answer(source=0, state=6) is None


def test_control_that_does_not_come_is_taken_again_after_a_pause(rig):
    rig.connect()
    rig.demand(Demand.POWER)
    rig.sample()
    rig.answer(**LOCAL)
    rig.answer_all()
    taken_again_ms = None
    for ms in range(100, 5000, 100):
        rig.at(ms).sample()
        if rig.answer(**LOCAL):
            taken_again_ms = ms
            break
    assert taken_again_ms == 3000
    assert rig.answer_all() == TAKE


def test_a_refused_step_ends_the_taking_and_it_is_tried_again_later(rig):
    rig.connect()
    rig.demand(Demand.POWER)
    rig.sample()
    rig.answer(**LOCAL)
    rig.answer()
    assert rig.refuse() is None
    assert rig.counters.rejected == 1
    rig.at(2900).sample()
    assert rig.answer(**LOCAL) is None
    rig.at(3000).sample()
    assert rig.answer(**LOCAL).what == TAKE[0]


def test_a_step_without_an_answer_is_repeated_under_its_own_id(rig):
    rig.connect()
    rig.demand(Demand.POWER)
    rig.sample()
    first = rig.answer(**LOCAL)
    again = rig.at(300).overdue()
    assert again.frame == first.frame
    assert rig.bytes(first.reply()).what == TAKE[1]


def test_on_a_slow_device_setpoints_do_not_keep_control_from_being_taken(rig):
    """Sample and setpoint fill the line of a device that needs 70 ms for each answer."""
    rig.connect()
    rig.demand(Demand.POWER)
    busy_until = None
    for ms in range(0, 4000, 10):
        rig.at(ms)
        sent = None
        if ms % 100 == 0:
            sent = rig.sample()
            sent = rig.power(ms + 1) or sent
        if sent is None and busy_until == ms:
            sent = rig.answer(**LOCAL)
        if sent is not None:
            busy_until = ms + 70
    written = [request.what for request in rig.sent if request.function == 16]
    assert [what for what in written if what in TAKE][:5] == TAKE


def test_the_setpoint_follows_the_zero_of_the_taking_and_not_the_other_way(rig):
    rig.connect()
    rig.demand(Demand.POWER)
    rig.power(700)
    rig.answer()
    rig.sample()
    rig.power(800)
    rig.answer(**LOCAL)
    assert rig.answer_all() == [*TAKE, watts(800)]


def test_a_setpoint_from_before_the_connection_is_not_sent_on_it(rig):
    rig.in_control()
    rig.sample()
    rig.power(1000)
    rig.session.connection_lost()
    rig.power(2000)
    assert rig.at(3_600_000).connect() is None
    rig.sample()
    assert rig.answer() is None


def test_the_pause_after_a_write_is_kept(split_rig):
    rig = split_rig
    rig.connect()
    rig.demand(Demand.POWER)
    rig.power(5)
    rig.answer()
    assert rig.sample() is None
    assert rig.session.wake_ns == rig.now_ns + 50_000_000
    assert rig.at(49).resume() is None
    assert rig.at(50).resume().what == ("read", 10, 2)
    assert rig.session.wake_ns == 0


def test_the_pause_is_kept_after_a_refused_write_too(split_rig):
    rig = split_rig
    rig.connect()
    rig.demand(Demand.POWER)
    rig.power(5)
    rig.refuse()
    assert rig.sample() is None
    assert rig.at(50).resume().what == ("read", 10, 2)


def test_the_zero_of_the_taking_does_not_outlast_it(rig):
    """Whoever asked for a power and saw it acknowledged does not ask for the same again."""
    rig.in_control()
    rig.power(900)
    rig.answer()
    rig.sample()
    rig.answer(**LOCAL)
    assert rig.answer_all() == [*TAKE, watts(900)]


@pytest.mark.parametrize("between", ["connection", "demand"])
def test_what_was_asked_before_is_not_asked_after_the_taking(rig, between):
    rig.in_control()
    rig.power(900)
    rig.answer()
    if between == "connection":
        rig.session.connection_lost()
        rig.connect()
    else:
        rig.demand(Demand.OBSERVE)
        rig.demand(Demand.POWER)
    rig.sample()
    rig.answer(**LOCAL)
    assert rig.answer_all() == TAKE
