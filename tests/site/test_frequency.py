"""What counts as the grid's frequency, and how its loss is answered."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.site.config import Frequency
from tenhertz.site.frequency import Answer, FrequencyWatch, Signal

MS = 1_000_000


def watch(on_loss="hold-then-baseline", **options):
    options = {"lost_after_ms": 500, "hold_s": 2.0, "ramp_s": 4.0, **options}
    return FrequencyWatch(Frequency("meter", "host", on_loss=on_loss, **options))


def answers(found, ms):
    return found.answer(1_000_000_000 + round(ms * MS))


def measured(on_loss, **options):
    found = watch(on_loss, **options)
    found.measured(49.95, 1_000_000_000)
    return found


TABLE = [
    # policy, ms since the measurement: frequency, share, signal, stop
    ("hold-then-baseline", 0, 49.95, 1.0, Signal.FRESH, False),
    ("hold-then-baseline", 500, 49.95, 1.0, Signal.FRESH, False),
    ("hold-then-baseline", 501, 49.95, 1.0, Signal.HELD, False),
    ("hold-then-baseline", 2500, 49.95, 1.0, Signal.HELD, False),
    ("hold-then-baseline", 3500, 49.95, 0.75, Signal.RAMPING, False),
    ("hold-then-baseline", 6460, 49.95, 0.01, Signal.RAMPING, False),
    ("hold-then-baseline", 6500, None, 0.0, Signal.LOST, False),
    ("hold-then-baseline", 10**9, None, 0.0, Signal.LOST, False),
    ("baseline", 500, 49.95, 1.0, Signal.FRESH, False),
    ("baseline", 501, None, 0.0, Signal.LOST, False),
    ("stop", 500, 49.95, 1.0, Signal.FRESH, False),
    ("stop", 501, None, 0.0, Signal.LOST, True),
    ("stop", 10**9, None, 0.0, Signal.LOST, True),
]


@pytest.mark.parametrize(("on_loss", "ms", "frequency", "share", "signal", "stop"), TABLE)
def test_each_policy_answers_a_loss_as_it_says(on_loss, ms, frequency, share, signal, stop):
    found = answers(measured(on_loss), ms)
    if frequency is None:
        assert math.isnan(found.frequency_hz)
    else:
        assert found.frequency_hz == frequency
    assert found.share == pytest.approx(share)
    assert (found.signal, found.stop) == (signal, stop)


@pytest.mark.parametrize("on_loss", ["hold-then-baseline", "baseline", "stop"])
def test_before_the_first_measurement_nothing_is_answered_and_nothing_stopped(on_loss):
    found = watch(on_loss).answer(10**18)
    assert math.isnan(found.frequency_hz)
    assert found[1:] == (0.0, Signal.NONE, False)


@pytest.mark.parametrize("on_loss", ["hold-then-baseline", "baseline", "stop"])
def test_a_new_measurement_ends_the_loss(on_loss):
    found = measured(on_loss)
    answers(found, 60_000)
    found.measured(50.02, 61_000_000_000)
    assert found.answer(61_000_000_000) == Answer(50.02, 1.0, Signal.FRESH, stop=False)


def test_without_a_time_to_hold_the_ramp_begins_at_once():
    assert answers(measured("hold-then-baseline", hold_s=0.0), 2500).share == pytest.approx(0.5)


@pytest.mark.parametrize("value", [0.0, 40.0, 44.999, 55.001, -50.0, math.nan, math.inf, -math.inf])
def test_an_implausible_value_is_counted_and_never_the_frequency(value):
    found = measured("baseline")
    found.measured(value, 1_400_000_000)

    assert found.implausible == 1
    assert answers(found, 450).frequency_hz == 49.95
    assert answers(found, 600).signal is Signal.LOST  # it did not count as a sign of life


@pytest.mark.parametrize("value", [45.0, 50.0, 55.0])
def test_the_plausible_band_includes_its_ends(value):
    found = watch()
    found.measured(value, 5)
    assert found.answer(5).frequency_hz == value
    assert found.implausible == 0


@given(
    st.sampled_from(["hold-then-baseline", "baseline", "stop"]),
    st.floats(0, 30),
    st.floats(0.001, 30),
    st.lists(st.integers(0, 100_000), min_size=2, max_size=20),
)
def test_in_silence_the_share_only_falls(on_loss, hold_s, ramp_s, instants):
    found = measured(on_loss, hold_s=hold_s, ramp_s=ramp_s)
    shares = [answers(found, ms) for ms in sorted(instants)]
    for earlier, later in pairwise(shares):
        assert 0.0 <= later.share <= earlier.share <= 1.0
        assert later.signal >= earlier.signal
    for one in shares:
        assert math.isnan(one.frequency_hz) == (one.share == 0.0)
        assert one.stop == (on_loss == "stop" and one.signal is Signal.LOST)
