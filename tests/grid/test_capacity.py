"""What may be sold, what is maintained, and for how long."""

import math

import numpy as np
import pytest

from tenhertz.errors import UserError
from tenhertz.grid import (
    Room,
    endurance,
    largest_sale,
    load_profile,
    maintained_capacity,
    room_needed,
)

NORDIC = load_profile("nordic-1.1")


@pytest.mark.parametrize(
    ("mix", "energy_wh", "capacity_w", "limited_by"),
    [
        ({"fcr-n": 1}, 1e6, 0.5e6, "energy"),
        ({"fcr-d-up": 1, "fcr-d-down": 1}, 1e6, 0.8333e6, "power up"),
        ({"fcr-d-up": 1}, 1e6, 1e6, "power up"),
        ({"fcr-d-down": 1}, 1e6, 1e6, "power down"),
        ({"fcr-n": 1}, 2e6, 0.7463e6, "power up"),
        ({"fcr-n": 5}, 2e6, 0.7463e6, "power up"),
    ],
)
def test_the_worked_examples_of_largest_sales_hold(mix, energy_wh, capacity_w, limited_by):
    found = largest_sale(NORDIC, mix, 1e6, 1e6, energy_wh)
    assert set(found.capacities_w) == set(mix)
    assert all(
        power == pytest.approx(capacity_w, rel=1e-4) for power in found.capacities_w.values()
    )
    assert found.limited_by == limited_by


def test_the_rooms_of_products_sold_together_add_up():
    sold = {"fcr-n": 1.0, "fcr-d-up": 10.0, "fcr-d-down": 100.0}
    need = room_needed(NORDIC, sold)
    assert (need.power_up_w, need.power_down_w) == pytest.approx((1.34 + 10 + 20, 1.34 + 2 + 100))
    assert (need.energy_up_wh, need.energy_down_wh) == pytest.approx((1 + 10 / 3, 1 + 100 / 3))


def test_nothing_sold_needs_no_room():
    assert room_needed(NORDIC, {}) == Room(0.0, 0.0, 0.0, 0.0)


def test_the_proportions_of_a_mix_are_kept():
    found = largest_sale(NORDIC, {"fcr-n": 1, "fcr-d-up": 3}, 1e6, 1e6, 1e9)
    n, up = found.capacities_w["fcr-n"], found.capacities_w["fcr-d-up"]
    assert up == pytest.approx(3 * n)
    assert 1.34 * n + up == pytest.approx(1e6)


@pytest.mark.parametrize("mix", [{}, {"fcr-n": 0}, {"fcr-n": 2, "fcr-d-up": -1}])
def test_a_mix_has_parts(mix):
    with pytest.raises(ValueError, match="mix"):
        largest_sale(NORDIC, mix, 1.0, 1.0, 1.0)


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="at least 0"):
        largest_sale(NORDIC, {"fcr-n": 1}, -1.0, 1.0, 1.0)
    with pytest.raises(UserError, match="no droop"):
        room_needed(NORDIC, {"ffr": 1.0})


def maintained(**changes):
    given = {
        "power_min_w": -100.0,
        "power_max_w": 100.0,
        "baseline_w": 0.0,
        "fcr_n_w": 40.0,
        "fcr_d_up_w": 50.0,
        "fcr_d_down_w": 50.0,
    }
    found = maintained_capacity(**{**given, **changes})
    return found.fcr_n_w, found.fcr_d_up_w, found.fcr_d_down_w


def test_with_room_enough_all_is_maintained():
    assert maintained() == (40.0, 50.0, 50.0)


def test_short_headroom_cuts_fcr_d_first_then_fcr_n():
    assert maintained(baseline_w=30.0) == (40.0, 30.0, 50.0)
    assert maintained(baseline_w=70.0) == (30.0, 0.0, 50.0)
    assert maintained(baseline_w=-70.0) == (30.0, 50.0, 0.0)
    assert maintained(baseline_w=110.0) == (0.0, 0.0, 50.0)


def test_ffr_is_served_before_fcr_d_up_and_after_fcr_n():
    assert maintained(ffr_w=30.0) == (40.0, 30.0, 50.0)
    assert maintained(ffr_w=80.0) == (40.0, 0.0, 50.0)


def test_frr_is_served_before_all_fcr():
    assert maintained(frr_up_w=70.0) == (30.0, 0.0, 50.0)
    assert maintained(frr_down_w=70.0) == (30.0, 50.0, 0.0)


def test_a_fleet_has_its_maintained_capacity_as_arrays():
    n, up, down = maintained(baseline_w=np.array([0.0, 30.0, -70.0]))
    assert n.tolist() == [40.0, 40.0, 30.0]
    assert up.tolist() == [50.0, 30.0, 50.0]
    assert down.tolist() == [50.0, 50.0, 0.0]


def lasting(**changes):
    given = {
        "energy_now_wh": 60.0,
        "energy_min_wh": 10.0,
        "energy_max_wh": 90.0,
        "capacity_up_w": 100.0,
        "capacity_down_w": 60.0,
    }
    return endurance(**{**given, **changes})


def test_endurance_is_the_energy_left_over_the_power_at_full_activation():
    found = lasting()
    assert (found.up_min, found.down_min, found.both_min) == pytest.approx((30.0, 30.0, 30.0))
    found = lasting(setpoint_w=20.0)
    assert (found.up_min, found.down_min) == pytest.approx((25.0, 45.0))
    assert found.both_min == pytest.approx(25.0)
    assert lasting(inflow_w=50.0).up_min == pytest.approx(60.0)


def test_where_nothing_flows_the_energy_lasts_for_ever():
    assert lasting(setpoint_w=-100.0).up_min == math.inf
    found = lasting(setpoint_w=np.array([-100.0, 0.0]))
    assert found.up_min.tolist() == [math.inf, 30.0]
