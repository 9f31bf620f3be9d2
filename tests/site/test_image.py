"""The image: every sample leaves once, numbered without holes, with its own instant."""

import math
from types import SimpleNamespace

import pytest

from tenhertz.devices import Condition, Reading
from tenhertz.site.image import Image
from tenhertz.site.record import unpack

MS = 1_000_000
READING = Reading(1000.0, 0.5, 9e4, 8e4, 0, 0, 0, 21.0, 3, 1, 5.0, 7)


def session(measured_ms, round_trip_ms=10, condition=Condition.CONTROLLED, **changed):
    return SimpleNamespace(
        reading=READING._replace(**changed),
        measured_at_ns=round(measured_ms * MS),
        round_trip_ns=round(round_trip_ms * MS),
        condition=lambda _now_ns: condition,
    )


def taken(image, tick=1, offset_ns=0, number=0):
    return [unpack(body) for body in image.take_samples(tick, offset_ns, number)]


def test_samples_leave_in_the_order_they_came_numbered_after_the_last():
    image = Image(2)
    for unit, ms in ((1, 5), (0, 7), (1, 9)):
        image.note(unit, session(ms))
    samples = taken(image, tick=4, offset_ns=10**18, number=41)

    assert [(s.unit, s.number, s.tick) for s in samples] == [(1, 42, 4), (0, 43, 4), (1, 44, 4)]
    assert [s.measured_at_ns for s in samples] == [10**18 + ms * MS for ms in (5, 7, 9)]
    assert taken(image) == []


def test_a_sample_carries_what_was_measured_and_what_was_asked():
    image = Image(1)
    image.sessions = [session(5, condition=Condition.STUCK)]
    image.close(100)
    image.setpoints_w[0] = -2500.0
    image.note(0, session(5, round_trip_ms=12))
    (sample,) = taken(image)

    assert sample.condition == Condition.STUCK
    assert sample.setpoint_w == -2500.0
    assert sample.round_trip_us == 12_000
    assert (sample.power_w, sample.soc, sample.faults) == (1000.0, 0.5, 5)
    assert (sample.charge_limit_w, sample.discharge_limit_w) == (9e4, 8e4)


def test_what_was_noted_stays_as_it_was_when_the_next_sample_comes():
    image = Image(1)
    one = session(5)
    image.note(0, one)
    one.reading, one.measured_at_ns = READING._replace(power_w=5.0), 8 * MS
    image.note(0, one)
    assert [s.power_w for s in taken(image)] == [1000.0, 5.0]


def test_conditions_change_only_when_the_image_is_closed():
    image = Image(2)
    assert image.conditions == [Condition.ABSENT] * 2
    image.sessions = [session(1), session(1, condition=Condition.FAULTED)]
    assert image.conditions == [Condition.ABSENT] * 2
    image.close(5)
    assert image.conditions == [Condition.CONTROLLED, Condition.FAULTED]


@pytest.mark.parametrize(
    ("faults", "told"), [(math.nan, 0), (math.inf, 0), (0.0, 0), (2.0**33 + 3, 3), (2.0**31, 2**31)]
)
def test_fault_bits_of_any_device_can_be_recorded(faults, told):
    image = Image(1)
    image.note(0, session(5, faults=faults))
    assert taken(image)[0].faults == told


def test_the_spacing_is_counted_a_unit_by_arrival():
    image = Image(2)
    for unit, ms in ((0, 100), (1, 130), (0, 200), (1, 230), (0, 310)):
        image.note(unit, session(ms, round_trip_ms=20))
    taken(image)
    assert image.spacing.total == 3
    assert image.spacing.largest_ns == 110 * MS
