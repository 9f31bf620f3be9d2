"""NEM and AEM: when they act, how fast, and what they may never do."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenhertz.grid import (
    energy_rules,
    load_profile,
    reserve_power_w,
    start_energy,
    step_energy,
)

NORDIC = load_profile("nordic-1.1")
S = 10**9
N_ONLY = energy_rules(NORDIC, {"fcr-n": 100.0}, 200.0)  # levels 4.17, 8.33, 25 and 47.9 %
UP_ONLY = energy_rules(NORDIC, {"fcr-d-up": 100.0}, 100.0)  # levels 8.33, 16.7 and 33.3 %


class Storage:
    """Steps the rules on, at a charge and a frequency that stay, and keeps the last output."""

    def __init__(self, rules, step_ns=S):
        self.rules, self.step_ns, self.now_ns = rules, step_ns, 0
        self.state = start_energy(0)

    def hold(self, seconds, soc, frequency_hz):
        for _ in range(seconds * S // self.step_ns):
            self.state, self.out = step_energy(
                self.rules, self.state, soc, frequency_hz, self.now_ns
            )
            self.now_ns += self.step_ns
        (self.one,) = self.out.products.values()
        return self.one


def test_in_the_middle_the_law_is_the_plain_droop_law():
    sold = {"fcr-n": 30.0, "fcr-d-up": 20.0, "fcr-d-down": 10.0}
    rules = energy_rules(NORDIC, sold, 100.0)
    for frequency_hz in (49.4, 49.5, 49.7, 49.9, 49.97, 50.0, 50.03, 50.1, 50.3, 50.5, 50.6):
        _, out = step_energy(rules, start_energy(0), 0.5, frequency_hz, 0)
        assert out.power_w == pytest.approx(reserve_power_w(NORDIC, sold, frequency_hz))
        assert type(out.power_w) is float


def test_nem_comes_and_goes_over_five_minutes():
    run = Storage(N_ONLY)
    assert run.hold(1, 0.2, 50.0).nem_current == -1 / 300
    assert run.hold(149, 0.2, 50.0).nem_current == -0.5
    full = run.hold(150, 0.2, 50.0)
    assert (full.nem_current, full.nem_power_w, full.power_w) == (-1.0, -34.0, -34.0)
    assert run.hold(1, 0.2, 49.9).nem_current == -299 / 300
    assert run.hold(299, 0.2, 49.9).nem_current == 0.0


@pytest.mark.parametrize(
    ("frequency_hz", "allowed"),
    [(49.9, 0), (math.nextafter(49.9, 50), -1), (math.nextafter(50.1, 50), -1), (50.1, 0)],
)
def test_nem_is_allowed_only_inside_the_normal_band(frequency_hz, allowed):
    assert Storage(N_ONLY).hold(1, 0.2, frequency_hz).nem_allowed == allowed


def test_nem_holds_from_its_enable_level_to_its_disable_level():
    run = Storage(N_ONLY)
    charges = (0.26, 0.249, 0.26, 0.47, 0.48, 0.26, 0.6, 0.751, 0.6, 0.53, 0.52, 0.6)
    allowed = [run.hold(1, soc, 50.0).nem_allowed for soc in charges]
    assert allowed == [0, -1, -1, -1, 0, 0, 0, 1, 1, 1, 0, 0]


def test_nem_charges_a_low_storage_and_discharges_a_high_one():
    assert Storage(N_ONLY).hold(300, 0.2, 50.0).power_w == pytest.approx(-34.0)
    assert Storage(N_ONLY).hold(300, 0.8, 50.0).power_w == pytest.approx(34.0)
    assert Storage(UP_ONLY).hold(300, 0.2, 50.0).power_w == pytest.approx(-20.0)
    down = energy_rules(NORDIC, {"fcr-d-down": 100.0}, 100.0)
    assert Storage(down).hold(300, 0.8, 50.0).power_w == pytest.approx(20.0)
    assert Storage(down).hold(300, 0.2, 50.0).power_w == 0.0


def test_nem_may_be_stronger_but_not_beyond_its_bounds():
    strong = energy_rules(NORDIC, {"fcr-n": 100.0}, 200.0, nem_power={"fcr-n": 0.5})
    assert Storage(strong).hold(300, 0.2, 50.0).power_w == pytest.approx(-50.0)
    for part in (0.33, 0.51):
        with pytest.raises(ValueError, match="nem_power of fcr-n"):
            energy_rules(NORDIC, {"fcr-n": 100.0}, 200.0, nem_power={"fcr-n": part})


def test_aem_draws_the_reference_to_the_measured_frequency_over_five_minutes():
    run = Storage(N_ONLY)
    assert run.hold(150, 0.04, 49.92).reference_hz == pytest.approx(49.96)
    one = run.hold(150, 0.04, 49.92)
    assert one.reference_hz == pytest.approx(49.92, abs=1e-9)
    # The activation is gone; NEM, which the same low charge allows, charges.
    assert one.power_w == pytest.approx(-34.0, abs=1e-6)
    assert one.in_aem_low


def test_aem_holds_from_its_enable_level_to_its_disable_level():
    run = Storage(N_ONLY)
    active = [run.hold(1, soc, 49.8).in_aem_low for soc in (0.05, 0.041, 0.05, 0.083, 0.084, 0.05)]
    assert active == [False, True, True, True, False, False]
    run = Storage(N_ONLY)
    active = [run.hold(1, soc, 49.8).in_aem_high for soc in (0.95, 0.959, 0.95, 0.917, 0.916)]
    assert active == [False, True, True, True, False]


def test_the_reference_follows_only_within_the_band_of_the_product():
    assert Storage(N_ONLY).hold(300, 0.04, 49.7).reference_hz == pytest.approx(49.9, abs=1e-9)
    assert Storage(UP_ONLY).hold(300, 0.04, 49.2).reference_hz == pytest.approx(49.5, abs=1e-9)


def test_after_aem_the_reference_is_exactly_what_it_was():
    # FCR-D, whose shifts add up to more than a float holds to its last place.
    run = Storage(UP_ONLY)
    for k in range(400):
        run.hold(1, 0.04, 49.5 + 0.01 * math.sin(k) ** 2)
    assert run.hold(300, 0.5, 50.0).reference_hz == 49.9
    assert run.state.products["fcr-d-up"].shift_sum == 0.0


def test_fcr_n_in_aem_is_capped_at_its_capacity_and_nem_and_the_cut_is_told():
    run = Storage(N_ONLY)
    run.hold(300, 0.04, 49.9)
    one = run.hold(1, 0.04, 50.1)
    assert one.power_w == pytest.approx(-134.0)
    assert one.cut_w == pytest.approx(-200.0 + 200.0 / 300 + 134.0, abs=1e-6)


def test_fcr_d_up_in_aem_never_charges_with_more_than_nem():
    run = Storage(UP_ONLY)
    run.hold(300, 0.04, 49.5)
    one = run.hold(1, 0.04, 50.0)
    assert one.power_w == pytest.approx(-20.0)
    assert one.cut_w < -70.0


def test_fcr_d_down_in_aem_never_discharges_with_more_than_nem():
    run = Storage(energy_rules(NORDIC, {"fcr-d-down": 100.0}, 100.0))
    run.hold(300, 0.96, 50.5)
    assert run.hold(1, 0.96, 50.0).power_w == pytest.approx(20.0)


def test_at_the_very_level_nem_of_fcr_d_is_off_and_that_of_fcr_n_keeps_on_or_off():
    level = UP_ONLY.products["fcr-d-up"].levels.nem_enable_low
    run = Storage(UP_ONLY)
    charges = (level, math.nextafter(level, 0), level)
    assert [run.hold(1, soc, 50.0).nem_allowed for soc in charges] == [0, -1, 0]
    levels = N_ONLY.products["fcr-n"].levels
    run = Storage(N_ONLY)
    charges = (levels.nem_enable_low, 0.2, levels.nem_enable_low, levels.nem_disable_low)
    assert [run.hold(1, soc, 50.0).nem_allowed for soc in charges] == [0, -1, -1, 0]
    charges = (levels.nem_enable_high, 0.8, levels.nem_enable_high, levels.nem_disable_high)
    assert [run.hold(1, soc, 50.0).nem_allowed for soc in charges] == [0, 1, 1, 0]


def test_calls_at_ten_hertz_give_what_calls_once_a_second_give():
    often, seldom = Storage(N_ONLY, step_ns=S // 10), Storage(N_ONLY)
    for soc, frequency_hz in ((0.2, 50.0), (0.04, 49.95), (0.3, 50.05)):
        at_once = often.hold(40, soc, frequency_hz)
        slowly = seldom.hold(40, soc, frequency_hz)
        assert at_once == slowly


def test_between_two_seconds_nothing_enters_the_mean():
    run = Storage(N_ONLY)
    run.hold(10, 0.5, 50.0)
    for late_ns in range(1, 10):
        _, out = step_energy(N_ONLY, run.state, 0.1, 50.0, 9 * S + late_ns * S // 10)
        assert out.products["fcr-n"].nem_current == 0.0


def test_seconds_without_a_call_count_as_the_last_sample_before_them():
    gappy, full = Storage(N_ONLY), Storage(N_ONLY)
    gappy.hold(5, 0.2, 50.0)
    gappy.now_ns += 94 * S
    full.hold(99, 0.2, 50.0)
    assert gappy.hold(1, 0.2, 49.8) == full.hold(1, 0.2, 49.8)
    gappy.now_ns += 5000 * S
    assert gappy.hold(1, 0.2, 50.0).nem_current == -1 / 300


def test_nem_and_aem_may_be_on_together():
    one = Storage(N_ONLY).hold(300, 0.03, 49.95)
    assert (one.nem_current, one.in_aem_low) == (-1.0, True)
    assert one.reference_hz == pytest.approx(49.95)


def test_the_fcr_n_sequence_of_the_energy_management_test_switches_as_described():
    run = Storage(N_ONLY)
    assert run.hold(360, 0.76, 50.09).nem_current == 1.0
    assert run.hold(300, 0.80, 50.11).nem_current == 0.0
    assert run.hold(150, 0.80, 50.09).nem_current == 0.5
    assert run.hold(300, 0.96, 50.11).reference_hz == pytest.approx(50.1, abs=1e-9)
    both = run.hold(300, 0.97, 50.09)
    assert (both.nem_current, both.in_aem_high) == (1.0, True)
    assert run.hold(300, 0.90, 49.91).reference_hz == 50.0


def test_a_product_that_is_sold_anew_starts_without_a_past():
    run = Storage(N_ONLY)
    run.hold(300, 0.2, 50.0)
    state, _ = step_energy(UP_ONLY, run.state, 0.5, 50.0, run.now_ns)
    assert set(state.products) == {"fcr-d-up"}
    _, out = step_energy(N_ONLY, state, 0.5, 50.0, run.now_ns + S)
    assert out.products["fcr-n"].nem_current == 0.0


def test_a_reading_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="frequency_hz"):
        step_energy(N_ONLY, start_energy(0), 0.5, math.nan, 0)
    with pytest.raises(ValueError, match="soc"):
        step_energy(N_ONLY, start_energy(0), math.nan, 50.0, 0)
    with pytest.raises(ValueError, match="goes back"):
        step_energy(N_ONLY, start_energy(5), 0.5, 50.0, 4)


def test_in_a_fleet_a_reading_that_is_no_number_gives_nan_there_once_and_leaves_no_trace():
    state = start_energy(0)
    soc = np.array([0.04, 0.04, 0.06])
    state, _ = step_energy(N_ONLY, state, soc, np.full(3, 49.95), 0)
    bad = (np.array([0.04, np.nan, 0.06]), np.array([np.nan, 49.95, 49.95]))
    state, out = step_energy(N_ONLY, state, *bad, S)
    assert np.isnan(out.power_w).tolist() == [True, True, False]
    state, out = step_energy(N_ONLY, state, soc, np.full(3, 49.95), 2 * S)
    one = out.products["fcr-n"]
    assert one.in_aem_low.tolist() == [True, True, False]
    expected = [50.0 - 0.05 * 3 / 300, 50.0 - 0.05 * 3 / 300, 50.0]
    assert one.reference_hz.tolist() == pytest.approx(expected, abs=1e-9)


moments = st.lists(
    st.tuples(
        st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3),
        st.floats(49.3, 50.7),
        st.integers(0, 40 * S),
    ),
    min_size=1,
    max_size=12,
)
SOLD = {"fcr-n": 30.0, "fcr-d-up": 20.0, "fcr-d-down": 10.0}


@settings(deadline=None, max_examples=40)
@given(moments)
def test_a_fleet_gives_what_its_batteries_give(history):
    rules = energy_rules(NORDIC, SOLD, 60.0)
    fleet, alone = start_energy(0), [start_energy(0)] * 3
    now_ns = 0
    for charges, frequency_hz, pause_ns in history:
        now_ns += pause_ns
        fleet, together = step_energy(rules, fleet, np.array(charges), frequency_hz, now_ns)
        powers_w = []
        for index, soc in enumerate(charges):
            alone[index], out = step_energy(rules, alone[index], soc, frequency_hz, now_ns)
            powers_w.append(out.power_w)
        assert together.power_w.tolist() == powers_w


@settings(deadline=None, max_examples=60)
@given(moments)
def test_no_history_takes_a_product_beyond_its_caps(history):
    rules = energy_rules(NORDIC, SOLD, 60.0)
    state, now_ns = start_energy(0), 0
    for charges, frequency_hz, pause_ns in history:
        now_ns += pause_ns * 10
        state, out = step_energy(rules, state, charges[0], frequency_hz, now_ns)
        n, up, down = (out.products[name].power_w for name in SOLD)
        assert abs(n) <= 1.34 * 30.0 + 1e-9
        assert -0.20 * 20.0 - 1e-9 <= up <= 20.0 + 1e-6
        assert -10.0 - 1e-6 <= down <= 0.20 * 10.0 + 1e-9
        assert out.power_w == pytest.approx(n + up + down)
        assert all(abs(one.nem_current) <= 1.0 for one in out.products.values())


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(49.85, 50.15)), min_size=1, max_size=60))
def test_the_means_are_the_means_of_the_samples(samples):
    state, allowed, shifts = start_energy(0), [0.0] * 300, [0.0] * 300
    for second, (soc, frequency_hz) in enumerate(samples):
        state, out = step_energy(N_ONLY, state, soc, frequency_hz, second * S)
        one = out.products["fcr-n"]
        in_aem = one.in_aem_low or one.in_aem_high
        allowed.append(one.nem_allowed)
        shifts.append(min(max(frequency_hz, 49.9), 50.1) - 50.0 if in_aem else 0.0)
        assert one.nem_current == sum(allowed[-300:]) / 300
        assert one.reference_hz == pytest.approx(50.0 + math.fsum(shifts[-300:]) / 300, abs=1e-9)
