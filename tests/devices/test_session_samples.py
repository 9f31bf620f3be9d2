"""Samples: what is asked, what is believed, what is dropped, and when the connection must go."""

import math

import pytest

from tenhertz.devices import Condition, Demand

READ_IMAGE = ("read", 100, 40)


def test_nothing_is_sent_without_a_connection(rig):
    assert rig.sample() is None
    assert rig.session.connected is False
    assert rig.session.condition(rig.now_ns) is Condition.ABSENT
    assert rig.counters.missed == 0


def test_a_new_connection_is_silent_until_its_first_sample(rig):
    assert rig.connect() is None
    assert rig.session.condition(rig.now_ns) is Condition.SILENT
    rig.sample()
    rig.answer()
    assert rig.session.condition(rig.now_ns) is Condition.OBSERVED


def test_a_sample_is_one_read_and_its_reply_becomes_the_reading(rig):
    rig.connect()
    assert rig.sample().what == READ_IMAGE
    rig.at(20)
    rig.answer(power=-40_000, soc=6789, hottest=-55, faults=1 << 31, charge_limit=90_000)
    reading = rig.session.reading
    assert reading.power_w == -40_000
    assert reading.soc == pytest.approx(0.6789)
    assert reading.temperature_c == pytest.approx(-5.5)
    assert reading.faults == 1 << 31
    assert reading.charge_limit_w == 90_000
    assert rig.counters.samples == 1


def test_the_measurement_is_dated_to_the_middle_of_question_and_answer(rig):
    rig.connect()
    rig.sample()
    rig.at(30)
    rig.answer()
    assert rig.session.round_trip_ns == 30_000_000
    assert rig.session.measured_at_ns == rig.start_ns + 15_000_000


def test_a_reply_that_comes_byte_by_byte_is_one_sample(rig):
    rig.connect()
    request = rig.sample()
    for byte in request.reply(b"\x01\x02" * 40):
        assert rig.counters.samples == 0
        rig.bytes(bytes([byte]))
    assert rig.counters.samples == 1
    assert rig.counters.late == 0


def test_an_open_sample_is_not_asked_for_twice_but_counted_as_missed(rig):
    rig.connect()
    rig.sample()
    assert rig.at(100).sample() is None
    assert rig.at(200).sample() is None
    assert rig.counters.missed == 2
    rig.answer()
    assert rig.at(300).sample().what == READ_IMAGE


def test_a_late_reply_is_dropped_and_counted_and_the_open_request_stays_open(rig):
    rig.connect()
    first = rig.sample()
    rig.at(300).overdue()
    second = rig.sample()
    assert second.transaction_id != first.transaction_id
    rig.at(310).bytes(first.reply(b"\xff" * 80))
    assert (rig.counters.samples, rig.counters.late, rig.counters.timeouts) == (0, 1, 1)
    assert rig.session.reading is None
    rig.answer(power=7)
    assert rig.session.reading.power_w == 7


def test_a_late_reply_merged_with_the_right_one_does_no_harm(rig):
    rig.connect()
    first = rig.sample()
    rig.at(300).overdue()
    second = rig.sample()
    rig.bytes(first.reply(b"\xff" * 80) + second.reply(bytes(80)))
    assert (rig.counters.samples, rig.counters.late) == (1, 1)
    assert rig.session.reading.power_w == 0


def test_a_late_refusal_does_not_end_the_open_request(rig):
    rig.connect()
    first = rig.sample()
    rig.at(300).overdue()
    rig.sample()
    rig.bytes(first.refusal())
    assert (rig.counters.exceptions, rig.counters.late) == (0, 1)
    rig.answer()
    assert rig.counters.samples == 1


def test_bytes_inside_another_frame_are_no_reply_however_much_they_look_like_one(rig):
    rig.connect()
    request = rig.sample()
    stray = request.reply(bytes(200), transaction_id=999)
    rig.bytes(stray[:60])
    rig.bytes(request.reply(bytes(80)))
    assert rig.counters.samples == 0


def test_a_reply_sent_twice_in_one_piece_counts_once(rig):
    rig.connect()
    reply = rig.sample().reply(bytes(80))
    rig.bytes(reply + reply)
    assert (rig.counters.samples, rig.counters.late) == (1, 1)


def test_a_reply_in_the_name_of_another_unit_is_dropped_and_counted(rig):
    rig.connect()
    request = rig.sample()
    rig.bytes(request.reply(bytes(80), unit=2))
    assert (rig.counters.samples, rig.counters.wrong_unit) == (0, 1)
    rig.answer()
    assert rig.counters.samples == 1


@pytest.mark.parametrize("data", [b"\0", bytes(78), bytes(82)], ids=["one", "short", "long"])
def test_a_reply_of_another_size_is_no_answer(rig, data):
    rig.connect()
    request = rig.sample()
    rig.bytes(request.reply(data))
    assert (rig.counters.samples, rig.counters.late) == (0, 1)
    rig.answer()
    assert rig.counters.samples == 1


def test_a_reply_whose_byte_count_lies_is_no_answer(rig):
    rig.connect()
    lie = bytearray(rig.sample().reply(bytes(80)))
    lie[8] = 79
    rig.bytes(bytes(lie))
    assert (rig.counters.samples, rig.counters.late) == (0, 1)


def test_a_refused_read_is_counted_and_the_next_sample_goes_out(rig):
    rig.connect()
    rig.sample()
    assert rig.refuse(code=2) is None
    assert (rig.counters.exceptions, rig.counters.samples) == (1, 0)
    assert rig.at(100).sample().what == READ_IMAGE
    assert rig.session.broken == ""


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-dropbear",
        bytes(7),
        b"\x00\x01\x00\x00\x00\x02\x01\x03",
        b"\x00\x01\x00\x00\x01\x00\x01\x03\x02\x00\x00",
        b"\x01\x03\x02\x00\x05\x78\x47",
        b"\x00\x01\x00\x01\x00\x05\x01\x03\x02\x00\x00",
    ],
    ids=["http", "ssh", "zeros", "too short", "too long", "rtu", "protocol 1"],
)
def test_bytes_that_are_not_modbus_break_the_session(rig, garbage):
    rig.connect()
    rig.sample()
    assert rig.bytes(garbage) is None
    assert "not Modbus" in rig.session.broken
    assert (rig.counters.garbage, rig.counters.samples) == (1, 0)
    rig.session.connection_lost()
    rig.connect()
    assert rig.session.broken == ""
    rig.sample()
    rig.answer()
    assert rig.counters.samples == 1


def test_babble_of_sound_frames_breaks_the_session_after_a_bound(rig):
    rig.connect()
    request = rig.sample()
    stray = request.reply(bytes(80), transaction_id=999)
    for count in range(1, 51):
        rig.bytes(stray)
        assert rig.counters.late == count
        assert rig.session.broken == ""
    assert rig.bytes(stray) is None
    assert "nobody asked for" in rig.session.broken
    assert rig.counters.garbage == 1


def test_three_time_outs_in_a_row_break_the_session_and_not_before(rig):
    rig.connect()
    for count, ms in enumerate((0, 400, 800)):
        assert rig.session.broken == ""
        rig.at(ms).sample()
        assert rig.at(ms + 299).overdue() is None
        assert rig.counters.timeouts == count
        rig.at(ms + 300).overdue()
    assert "3 requests in a row" in rig.session.broken
    assert rig.counters.timeouts == 3


@pytest.mark.parametrize("healing", ["answer", "refuse"])
def test_any_answer_forgives_the_time_outs_before_it(rig, healing):
    rig.connect()
    for ms in range(0, 4000, 800):
        rig.at(ms).sample()
        rig.at(ms + 300).overdue()
        rig.sample()
        getattr(rig, healing)()
    assert rig.session.broken == ""
    assert rig.counters.timeouts == 5


def test_a_reading_grows_silent_when_nothing_newer_comes(rig):
    rig.connect()
    rig.sample()
    rig.answer()
    assert rig.session.condition(rig.at(500).now_ns) is Condition.OBSERVED
    assert rig.session.condition(rig.at(501).now_ns) is Condition.SILENT


def test_a_device_whose_image_stands_still_is_stuck_and_recovers(rig):
    rig.connect()
    for ms in range(0, 2100, 100):
        rig.at(ms).sample()
        rig.answer(counter=7)
    assert rig.session.condition(rig.at(2000).now_ns) is Condition.OBSERVED
    assert rig.session.condition(rig.at(2001).now_ns) is Condition.STUCK
    rig.at(2100).sample()
    rig.answer(counter=8)
    assert rig.session.condition(rig.now_ns) is Condition.OBSERVED


def test_a_map_without_an_image_counter_is_never_stuck(split_rig):
    rig = split_rig
    rig.connect()
    for ms in range(0, 5000, 100):
        rig.at(ms).sample()
        rig.answer(bytes(4))
        rig.answer(bytes(6))
    assert math.isnan(rig.session.reading.image_counter)
    assert rig.session.condition(rig.now_ns) is Condition.OBSERVED


@pytest.mark.parametrize("state", [0, 6])
def test_a_device_that_reports_a_fault_is_faulted_even_in_remote(rig, state):
    rig.connect()
    rig.demand(Demand.POWER)
    rig.sample()
    assert rig.answer(state=state) is None
    assert rig.session.condition(rig.now_ns) is Condition.FAULTED


def test_several_blocks_make_one_sample(split_rig):
    rig = split_rig
    rig.connect()
    assert rig.sample().what == ("read", 10, 2)
    assert rig.answer(b"\xff\xfe\x00\x32").what == ("read", 400, 3)
    assert rig.counters.samples == 0
    rig.answer(b"\x00\x0a\x00\x0b\x00\x01")
    reading = rig.session.reading
    assert reading[:4] == (-2, pytest.approx(0.5), 10, 11)
    assert reading.control_source == 1


def test_a_slow_block_ends_its_sample_and_never_mixes_with_the_next(split_rig):
    rig = split_rig
    rig.connect()
    rig.sample()
    slow = rig.answer(b"\x00\x01\x00\x01")
    rig.at(300).overdue()
    assert rig.counters.samples == 0
    assert rig.sample().what == ("read", 10, 2)
    assert rig.bytes(slow.reply(b"\x7f" * 6)) is None
    assert rig.counters.late == 1
    rig.answer(b"\x00\x02\x00\x02")
    rig.answer(b"\x00\x03\x00\x04\x00\x01")
    assert rig.session.reading[:4] == (2, pytest.approx(0.02), 3, 4)


def test_a_refused_block_ends_its_sample_and_the_next_begins_at_the_first(split_rig):
    rig = split_rig
    rig.connect()
    rig.sample()
    rig.answer(b"\x00\x01\x00\x01")
    rig.refuse()
    assert rig.at(100).sample().what == ("read", 10, 2)


def test_what_was_open_when_the_connection_went_is_forgotten(rig):
    rig.connect()
    before = rig.sample()
    rig.bytes(before.reply(bytes(80))[:50])
    rig.session.connection_lost()
    assert rig.session.condition(rig.now_ns) is Condition.ABSENT
    rig.at(1000).connect()
    assert rig.sample().transaction_id != before.transaction_id
    rig.bytes(before.reply(bytes(80)))
    assert (rig.counters.samples, rig.counters.late) == (0, 1)
    rig.answer()
    assert (rig.counters.samples, rig.counters.connects) == (1, 2)


def test_transaction_ids_come_round_without_a_repeat_in_between(rig):
    rig.connect()
    seen = []
    for ms in range(0, 51200, 100):
        seen.append(rig.at(ms).sample().transaction_id)
        rig.answer(counter=ms & 0xFFFF)
    assert seen[:256] == seen[256:]
    assert len(set(seen)) == 256
