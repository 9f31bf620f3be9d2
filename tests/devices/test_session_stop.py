"""The stop: sent at once over whatever is open, kept up until the device has acknowledged it."""

import pytest

from tenhertz.devices import Demand

STOP = [("write", 200, bytes(4)), ("write", 202, b"\x00\x02")]
SPLIT_STOP = [("write", 500, bytes(2)), ("write", 501, b"\x00\x02")]
READ_IMAGE = ("read", 100, 40)


def nothing_open(rig):
    rig.in_control()


def sample_open(rig):
    rig.in_control().sample()


def half_a_reply_held(rig):
    rig.in_control().sample()
    rig.bytes(rig.sent[-1].reply(bytes(80))[:40])


def setpoint_open(rig):
    rig.in_control().power(1000)


def setpoint_waiting(rig):
    sample_open(rig)
    rig.power(1000)


def taking_open(rig):
    rig.connect()
    rig.demand(Demand.POWER)
    rig.sample()
    rig.answer(source=0, state=1)


def release_open(rig):
    rig.in_control().demand(Demand.RELEASE)


def release_refused(rig):
    release_open(rig)
    while rig.refuse():
        pass


WHOLE = [
    nothing_open,
    sample_open,
    setpoint_open,
    setpoint_waiting,
    taking_open,
    release_open,
    release_refused,
]
BEFORE = [*WHOLE, half_a_reply_held]


@pytest.mark.parametrize("before", WHOLE, ids=lambda before: before.__name__)
def test_a_stop_is_sent_at_once_and_in_full_whatever_is_open(rig, before):
    before(rig)
    assert rig.at(1).demand(Demand.STOP).what == STOP[0]
    assert rig.at(2).answer().what == STOP[1]
    assert rig.at(3).answer() is None
    assert rig.session.settled


@pytest.mark.parametrize("before", BEFORE, ids=lambda before: before.__name__)
def test_the_answer_to_what_a_stop_overtook_does_not_count_for_the_stop(rig, before):
    before(rig)
    overtaken = rig.sent[-1]
    held = before is half_a_reply_held
    stop = rig.demand(Demand.STOP)
    assert stop.transaction_id != overtaken.transaction_id
    late = overtaken.reply(bytes(80)) if overtaken.function != 16 else overtaken.reply()
    assert rig.bytes(late[40:] if held else late) is None
    assert rig.counters.late == 1
    assert not rig.session.settled
    assert rig.bytes(stop.reply()).what == STOP[1]


def test_a_stop_does_not_wait_for_the_pause_after_a_write(split_rig):
    rig = split_rig
    rig.connect()
    rig.demand(Demand.POWER)
    rig.power(5)
    rig.at(10).answer()
    assert rig.at(11).demand(Demand.STOP).what == SPLIT_STOP[0]
    assert rig.at(12).answer().what == SPLIT_STOP[1]


def test_an_unanswered_stop_is_repeated_as_the_same_frame_before_anything_else(rig):
    rig.in_control()
    rig.sample()
    stop = rig.demand(Demand.STOP)
    rig.at(100).sample()
    for ms in (300, 600):
        assert rig.at(ms).overdue().frame == stop.frame
    assert rig.bytes(stop.reply()).what == STOP[1]
    assert rig.bytes(stop.reply()) is None
    assert rig.counters.late == 1
    assert rig.answer().what == READ_IMAGE


def test_a_stop_that_breaks_the_connection_goes_out_first_on_the_next_until_acknowledged(rig):
    rig.in_control()
    rig.demand(Demand.STOP)
    now_ms = 0
    for _ in range(5):
        for _ in range(3):
            now_ms += 300
            rig.at(now_ms).overdue()
        assert rig.session.broken
        rig.session.connection_lost()
        assert rig.connect().what == STOP[0]
    assert rig.answer().what == STOP[1]
    rig.answer()
    assert rig.session.settled


def test_a_stop_demanded_without_a_connection_goes_out_first_when_there_is_one(rig):
    assert rig.demand(Demand.STOP) is None
    assert not rig.session.settled
    assert rig.connect().what == STOP[0]


def test_a_stop_is_said_again_on_every_new_connection(rig):
    rig.in_control()
    rig.demand(Demand.STOP)
    rig.answer()
    rig.answer()
    rig.session.connection_lost()
    assert rig.connect().what == STOP[0]


def test_a_stop_goes_on_past_a_refused_step_and_starts_over_after_a_pause(rig):
    rig.in_control()
    rig.demand(Demand.STOP)
    assert rig.refuse().what == STOP[1]
    assert rig.answer() is None
    assert not rig.session.settled
    assert rig.session.wake_ns == rig.now_ns + 3_000_000_000
    assert rig.at(2999).resume() is None
    assert rig.at(3000).resume().what == STOP[0]
    assert rig.answer().what == STOP[1]
    rig.answer()
    assert rig.session.settled
    assert rig.counters.rejected == 1


def test_a_stop_that_the_device_keeps_refusing_does_not_blind_the_site(rig):
    rig.in_control()
    rig.demand(Demand.STOP)
    for ms in range(100, 10_000, 100):
        rig.at(ms)
        while rig.sent[-1].function == 16 and rig.refuse():
            pass
        rig.sample()
        if rig.sent[-1].function == 3:
            rig.answer(counter=ms)
    assert rig.counters.rejected >= 6
    assert rig.counters.samples > 80


def test_a_refused_stop_is_woken_again_after_a_sample_in_between(rig):
    rig.in_control()
    rig.demand(Demand.STOP)
    while rig.refuse():
        pass
    due_ns = rig.session.wake_ns
    rig.at(100).sample()
    assert rig.session.wake_ns == 0
    rig.answer()
    assert rig.session.wake_ns == due_ns


def test_after_a_stop_the_samples_go_on(rig):
    rig.in_control()
    rig.demand(Demand.STOP)
    rig.answer()
    rig.answer()
    assert rig.at(100).sample().what == READ_IMAGE
    rig.answer(counter=9)
    assert rig.counters.samples == 2


@pytest.mark.parametrize("garbage_at", [0, 1])
def test_garbage_in_place_of_the_acknowledgement_leaves_the_stop_pending(rig, garbage_at):
    rig.in_control()
    rig.demand(Demand.STOP)
    for _ in range(garbage_at):
        rig.answer()
    rig.bytes(b"\xff" * 12)
    assert rig.session.broken
    rig.session.connection_lost()
    assert rig.connect().what == STOP[0]


def test_power_demanded_during_a_stop_ends_it_and_the_old_answer_changes_nothing(rig):
    rig.in_control()
    rig.demand(Demand.STOP)
    assert rig.demand(Demand.POWER) is None
    assert rig.answer() is None
    assert rig.session.settled


def test_release_demanded_during_a_stop_is_done_in_full(rig):
    rig.in_control()
    rig.demand(Demand.STOP)
    rig.demand(Demand.RELEASE)
    asked = []
    while rig.answer():
        asked.append(rig.sent[-1].what[1])
    assert asked == [200, 202, 204, 203]
