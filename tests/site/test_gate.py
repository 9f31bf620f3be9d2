"""The setpoint gate writes what matters, and the freshness filter drops what is old."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.site.gate import Freshness, SetpointGate

MS = 1_000_000


def gate(delta_w=100.0, refresh_ms=1000):
    return SetpointGate(delta_w, refresh_ms * MS)


def test_the_first_setpoint_passes():
    assert gate().passes(50.0, 0)


def test_small_changes_stay_behind_and_are_counted():
    g = gate()
    assert g.passes(1000.0, 0)
    assert not g.passes(1099.0, 100 * MS)
    assert not g.passes(901.0, 200 * MS)
    assert g.suppressed == 2
    assert g.passes(1100.0, 300 * MS)


def test_a_slow_ramp_passes_because_its_steps_add_up():
    g = gate(refresh_ms=10**6)
    written = [power for power in range(0, 1001, 10) if g.passes(float(power), power * MS)]
    assert written == list(range(0, 1001, 100))


def test_zero_passes_at_once_and_is_not_repeated():
    g = gate()
    assert g.passes(60.0, 0)
    assert g.passes(0.0, 1)
    assert not g.passes(0.0, 2)
    assert not g.passes(-0.0, 3)


def test_the_same_value_is_renewed_in_time():
    g = gate(refresh_ms=300)
    assert g.passes(500.0, 0)
    assert [ms for ms in range(100, 1000, 100) if g.passes(500.0, ms * MS)] == [300, 600, 900]


def test_a_delta_of_zero_passes_every_change_and_no_repetition():
    g = gate(delta_w=0.0)
    assert g.passes(1.0, 0)
    assert not g.passes(1.0, 1)
    assert g.passes(1.0 + 1e-12, 2)


def test_what_was_forgotten_passes_again():
    g = gate()
    assert g.passes(500.0, 0)
    g.forget()
    assert g.passes(500.0, 1)
    g.forget()
    assert g.passes(0.0, 2)


@given(
    st.floats(0.0, 1000.0),
    st.integers(50, 2000),
    st.lists(st.floats(-5000, 5000) | st.just(0.0) | st.none(), min_size=1, max_size=60),
)
def test_what_the_device_holds_is_near_what_is_asked_and_never_old(delta, refresh_ms, asked):
    g = gate(delta, refresh_ms)
    held = written_ms = None
    for tick, power in enumerate(asked):
        now_ms = tick * 100
        if power is None:
            g.forget()
            held = None
            continue
        if g.passes(power, now_ms * MS):
            held, written_ms = power, now_ms
        assert held is not None
        assert abs(held - power) < delta or held == power
        assert now_ms - written_ms < refresh_ms or now_ms == written_ms
        assert power != 0.0 or held == 0.0


S = 1_000_000_000


@pytest.mark.parametrize(
    ("issued_s", "expires_s", "accepted"),
    [
        (100, 130, True),
        (98, 130, True),
        (97.9, 130, False),  # too old
        (102, 130, True),
        (102.1, 130, False),  # from the future
        (100, 100, False),  # expired
        (99, 99.5, False),
        (100, 100.001, True),
    ],
)
def test_only_fresh_signals_count(issued_s, expires_s, accepted):
    freshness = Freshness()
    assert freshness.accepts(round(issued_s * S), round(expires_s * S), 100 * S) is accepted
    assert freshness.dropped == (not accepted)
