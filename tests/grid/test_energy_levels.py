"""Table 11: the levels of one product, and of several that share a storage."""

import math

import numpy as np
import pytest

from tenhertz.grid import free_of_nem, load_profile, stacked_thresholds, thresholds

NORDIC = load_profile("nordic-1.1")
N, UP, DOWN = (NORDIC.droop[name] for name in ("fcr-n", "fcr-d-up", "fcr-d-down"))


def test_fcr_n_with_two_hours_of_energy_has_the_levels_worked_out_for_it():
    level = thresholds(N, 1e6, 2e6)
    low = (level.aem_enable_low, level.aem_disable_low, level.nem_enable_low, level.nem_disable_low)
    assert low == pytest.approx((0.0417, 0.0833, 0.25, 0.479), abs=5e-4)
    high = (
        level.aem_enable_high,
        level.aem_disable_high,
        level.nem_enable_high,
        level.nem_disable_high,
    )
    assert high == pytest.approx(tuple(1.0 - part for part in low))


def test_fcr_d_up_with_one_hour_of_energy_has_the_levels_worked_out_for_it():
    level = thresholds(UP, 1e6, 1e6)
    found = (
        level.aem_enable_low,
        level.aem_disable_low,
        level.nem_enable_low,
        level.nem_disable_low,
    )
    assert found == pytest.approx((0.0833, 0.1667, 0.3333, 0.3333), abs=5e-4)


def test_a_product_of_one_direction_has_no_levels_on_the_other_side():
    up, down = thresholds(UP, 1.0, 1.0), thresholds(DOWN, 1.0, 1.0)
    assert {up.aem_enable_high, up.aem_disable_high, up.nem_enable_high} == {math.inf}
    assert {down.aem_enable_low, down.aem_disable_low, down.nem_enable_low} == {-math.inf}
    assert (down.nem_enable_high, down.aem_enable_high) == pytest.approx((1 - 20 / 60, 1 - 5 / 60))


def test_fcr_n_stands_on_the_energy_of_fcr_d():
    sold = {"fcr-n": 1.0, "fcr-d-up": 3.0, "fcr-d-down": 1.5}
    level = stacked_thresholds(NORDIC, sold, 10.0)
    assert level["fcr-n"].aem_enable_low == pytest.approx((3.0 * 20 / 60 + 5 / 60) / 10.0)
    assert level["fcr-n"].nem_enable_high == pytest.approx(1.0 - (1.5 * 20 / 60 + 30 / 60) / 10.0)
    assert level["fcr-d-up"] == thresholds(UP, 3.0, 10.0)
    assert level["fcr-d-down"] == thresholds(DOWN, 1.5, 10.0)


def test_stacked_fcr_n_lets_go_before_it_takes_energy_of_fcr_d():
    level = stacked_thresholds(NORDIC, {"fcr-n": 1.0, "fcr-d-up": 3.0}, 10.0)
    assert level["fcr-n"].aem_enable_low > level["fcr-d-up"].nem_enable_low


def test_a_minimum_size_symmetric_storage_has_nowhere_to_rest():
    sold = {"fcr-d-up": 1.0, "fcr-d-down": 1.0}
    low, high = free_of_nem(stacked_thresholds(NORDIC, sold, 2.0 / 3.0))
    assert (low, high) == pytest.approx((0.5, 0.5))
    low, high = free_of_nem(stacked_thresholds(NORDIC, sold, 1.0))
    assert (low, high) == pytest.approx((1 / 3, 2 / 3))


def test_a_fleet_has_levels_as_arrays():
    level = thresholds(N, np.array([1.0, 2.0]), 4.0)
    assert level.nem_enable_low.tolist() == [0.125, 0.25]
    low, high = free_of_nem({"fcr-n": level})
    assert (low + high).tolist() == pytest.approx([1.0, 1.0])


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="energy_wh is 0"):
        thresholds(N, 1.0, 0.0)
    with pytest.raises(ValueError, match="capacity_w of fcr-n"):
        thresholds(N, np.array([1.0, -1.0]), 1.0)
    with pytest.raises(ValueError, match="no rules for energy management"):
        thresholds(load_profile("continental").droop["fcr"], 1.0, 1.0)
