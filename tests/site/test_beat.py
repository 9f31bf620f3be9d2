"""The beat: what is late, what is skipped, and how durations are counted."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.site.beat import Beat, Due, Histogram

P = 100


@pytest.mark.parametrize("policy", ["skip", "resync"])
def test_on_time_each_tick_has_the_next_number_and_instant(policy):
    beat = Beat(P, 1000, policy)
    assert [beat.due(1000 + P * n) for n in range(3)] == [
        Due(0, 1000, 0, 0),
        Due(1, 1100, 0, 0),
        Due(2, 1200, 0, 0),
    ]


@pytest.mark.parametrize("policy", ["skip", "resync"])
def test_a_tick_late_within_its_period_runs_and_the_grid_stays(policy):
    beat = Beat(P, 1000, policy)
    assert beat.due(1099) == Due(0, 1000, 99, 0)
    assert beat.next_ns == 1100
    assert beat.due(1150) == Due(1, 1100, 50, 0)
    assert beat.skipped == 0


def test_skipped_ticks_are_counted_and_the_grid_is_kept():
    beat = Beat(P, 1000, "skip")
    assert beat.due(1350) == Due(3, 1300, 50, 3)
    assert beat.next_ns == 1400
    assert beat.due(1400) == Due(4, 1400, 0, 0)
    assert beat.skipped == 3


def test_resync_counts_the_same_and_begins_a_new_grid():
    beat = Beat(P, 1000, "resync")
    assert beat.due(1350) == Due(3, 1350, 0, 3)
    assert beat.next_ns == 1450
    assert beat.due(1450) == Due(4, 1450, 0, 0)
    assert beat.skipped == 3


def test_exactly_one_period_late_is_one_tick_skipped():
    beat = Beat(P, 1000, "skip")
    assert beat.due(1100) == Due(1, 1100, 0, 1)


@given(st.sampled_from(["skip", "resync"]), st.lists(st.integers(0, 1000), max_size=30))
def test_ticks_run_or_are_counted_and_never_in_a_burst(policy, delays):
    beat = Beat(P, 0, policy)
    runs, now, last_number, last_due = 0, 0, -1, -P
    for delay in delays:
        now = max(now, beat.next_ns) + delay
        due = beat.due(now)
        runs += 1
        assert due.number == last_number + 1 + due.skipped
        assert 0 <= due.late_ns < P
        assert due.due_ns + due.late_ns == now
        assert due.due_ns - last_due >= P
        assert beat.next_ns > now
        if policy == "skip":
            assert due.due_ns == due.number * P
        last_number, last_due = due.number, due.due_ns
    assert last_number + 1 == runs + beat.skipped


durations = st.lists(st.integers(0, 3_000_000_000), min_size=1, max_size=60)


@given(durations, st.floats(0.0, 1.0))
def test_a_quantile_is_the_sorted_ones_rounded_up_to_a_step(values, share):
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    needed = max(1, math.ceil(share * len(values)))
    exact = sorted(values)[needed - 1]
    found_ns = histogram.quantile_ms(share) * 1e6

    assert histogram.total == len(values)
    assert histogram.largest_ns == max(values)
    assert found_ns >= exact - 1e-3
    if exact < Histogram.STEP_NS * Histogram.STEPS:
        assert found_ns <= exact + Histogram.STEP_NS + 1e-3
    else:
        assert found_ns == pytest.approx(max(values))


def test_without_a_duration_there_is_no_quantile():
    assert math.isnan(Histogram().quantile_ms(0.5))


def test_a_duration_below_nothing_counts_as_none():
    histogram = Histogram()
    histogram.add(-5)
    assert histogram.quantile_ms(1.0) == 0.0
    assert histogram.counts[0] == 1
