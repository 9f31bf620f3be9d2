"""Schedules: sorted, without overlaps, found by time."""

import math

import msgspec
import pytest

from tenhertz.grid import PlanEntry, Schedule, schedule_of

HOUR_NS = 3600 * 10**9
T0_NS = 1_712_534_400 * 10**9  # 2024-04-08T00:00:00Z


def entry(first_hour, hours=1, **capacities_w):
    start_ns = T0_NS + first_hour * HOUR_NS
    return PlanEntry(start_ns, start_ns + hours * HOUR_NS, capacities_w)


def test_an_entry_holds_from_its_start_up_to_but_without_its_end():
    first, second = entry(0), entry(1)
    schedule = Schedule((first, second))
    assert schedule.at(T0_NS - 1) is None
    assert schedule.at(T0_NS) == first
    assert schedule.at(T0_NS + HOUR_NS - 1) == first
    assert schedule.at(T0_NS + HOUR_NS) == second
    assert schedule.at(T0_NS + 2 * HOUR_NS) is None


def test_in_a_gap_nothing_is_owed_and_the_next_entry_is_known():
    schedule = Schedule((entry(0), entry(2)))
    assert schedule.at(T0_NS + HOUR_NS) is None
    assert schedule.next_after(T0_NS + HOUR_NS) == entry(2)
    assert schedule.next_after(T0_NS - 1) == entry(0)
    assert schedule.next_after(T0_NS) == entry(2)
    assert schedule.next_after(T0_NS + 2 * HOUR_NS) is None


def test_an_empty_schedule_owes_nothing():
    assert Schedule().at(T0_NS) is None


def test_entries_in_any_order_are_sorted_on_request():
    assert schedule_of([entry(2), entry(0), entry(1)]).entries == (entry(0), entry(1), entry(2))
    with pytest.raises(ValueError, match="starts before"):
        Schedule((entry(2), entry(0)))


def test_what_is_over_can_be_dropped():
    schedule = Schedule((entry(0), entry(1), entry(2)))
    assert schedule.since(T0_NS + HOUR_NS).entries == (entry(1), entry(2))


def test_overlaps_are_refused_with_both_times():
    with pytest.raises(ValueError, match=r"T01:00:00Z starts before .* ends at .*T02:00:00Z"):
        schedule_of([entry(0, hours=2), entry(1)])


def test_an_entry_that_does_not_end_after_its_start_is_refused():
    for hours in (0, -1):
        with pytest.raises(ValueError, match="2024-04-08T03:00:00Z ends at"):
            entry(3, hours=hours)


@pytest.mark.parametrize("capacity_w", [-1.0, math.nan, math.inf])
def test_a_capacity_is_a_number_of_at_least_zero(capacity_w):
    with pytest.raises(ValueError, match="fcr-n"):
        PlanEntry(T0_NS, T0_NS + 1, {"fcr-n": capacity_w})


def test_a_baseline_is_a_number():
    with pytest.raises(ValueError, match="baseline of nan"):
        PlanEntry(T0_NS, T0_NS + 1, {}, baseline_w=math.nan)


def test_a_schedule_survives_the_wire_and_a_bad_one_is_refused_there():
    schedule = Schedule((entry(0), entry(1)))
    wire = msgspec.json.encode(schedule)
    assert msgspec.json.decode(wire, type=Schedule) == schedule
    twice = wire.replace(str(T0_NS + HOUR_NS).encode(), str(T0_NS + HOUR_NS - 1).encode(), 1)
    assert msgspec.json.decode(twice, type=Schedule) != schedule
    with pytest.raises(msgspec.ValidationError, match="end must come after"):
        msgspec.json.decode(wire.replace(str(T0_NS).encode(), b"2" + b"0" * 18), type=Schedule)
