"""The droop laws: where they start, where they end, and that they add."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenhertz.errors import UserError
from tenhertz.grid import activation, load_profile, reserve_power_w, site_power, site_power_w

NORDIC = load_profile("nordic-1.1")
N, UP, DOWN = (NORDIC.droop[name] for name in ("fcr-n", "fcr-d-up", "fcr-d-down"))
FCR = load_profile("continental").droop["fcr"]

frequencies = st.floats(min_value=45.0, max_value=55.0)
capacities = st.floats(min_value=0.0, max_value=1e8)


@pytest.mark.parametrize(
    ("frequency_hz", "fcr_n", "fcr_d_up", "fcr_d_down"),
    [
        (48.0, 1.0, 1.0, 0.0),
        (49.5, 1.0, 1.0, 0.0),
        (49.7, 1.0, 0.5, 0.0),
        (49.9, 1.0, 0.0, 0.0),
        (49.95, 0.5, 0.0, 0.0),
        (50.0, 0.0, 0.0, 0.0),
        (50.025, -0.25, 0.0, 0.0),
        (50.1, -1.0, 0.0, 0.0),
        (50.2, -1.0, 0.0, -0.25),
        (50.5, -1.0, 0.0, -1.0),
        (52.0, -1.0, 0.0, -1.0),
    ],
)
def test_the_nordic_table_of_activations_holds(frequency_hz, fcr_n, fcr_d_up, fcr_d_down):
    found = [activation(product, frequency_hz) for product in (N, UP, DOWN)]
    assert found == pytest.approx([fcr_n, fcr_d_up, fcr_d_down], abs=1e-12)


def test_the_edges_of_every_band_are_exact():
    assert [activation(N, f) for f in (49.9, 50.0, 50.1)] == [1.0, 0.0, -1.0]
    assert [activation(UP, f) for f in (49.5, 49.9)] == [1.0, 0.0]
    assert [activation(DOWN, f) for f in (50.1, 50.5)] == [0.0, -1.0]
    assert [activation(FCR, f) for f in (49.8, 50.0, 50.2)] == [1.0, 0.0, -1.0]


def test_fcr_d_starts_only_beyond_the_normal_band():
    assert activation(UP, math.nextafter(49.9, 50)) == 0.0
    assert activation(UP, 49.8999) > 0.0
    assert activation(DOWN, math.nextafter(50.1, 50)) == 0.0
    assert activation(DOWN, 50.1001) < 0.0


def test_beyond_its_band_fcr_d_continues_only_when_asked_and_fcr_n_never():
    assert activation(UP, 49.0, beyond_band=True) == pytest.approx(2.25)
    assert activation(DOWN, 51.0, beyond_band=True) == pytest.approx(-2.25)
    assert activation(UP, 50.5, beyond_band=True) == 0.0
    assert activation(DOWN, 49.5, beyond_band=True) == 0.0
    assert activation(N, 49.0, beyond_band=True) == 1.0
    assert activation(N, 51.0, beyond_band=True) == -1.0


def test_a_moved_reference_moves_the_zero_and_keeps_the_slope():
    assert activation(N, 49.95, reference_hz=49.95) == 0.0
    assert activation(N, 49.95, reference_hz=49.97) == pytest.approx(0.2)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_frequency_gives_no_power_but_an_error(bad):
    with pytest.raises(ValueError, match="frequency_hz"):
        activation(N, bad)
    with pytest.raises(ValueError, match="frequency_hz"):
        site_power_w(NORDIC, {}, bad)


def test_in_an_array_no_frequency_gives_nan_there_and_only_there():
    found = activation(UP, np.array([49.5, np.nan, 50.0]))
    assert np.array_equal(found, [1.0, np.nan, 0.0], equal_nan=True)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from([N, UP, DOWN, FCR]), frequencies, frequencies, st.booleans())
def test_activation_never_rises_with_the_frequency(product, one_hz, other_hz, beyond):
    low, high = sorted((one_hz, other_hz))
    at_low = activation(product, low, beyond_band=beyond)
    assert at_low >= activation(product, high, beyond_band=beyond)


@settings(deadline=None, max_examples=100)
@given(frequencies)
def test_activation_stays_within_the_direction_sold(frequency_hz):
    assert -1.0 <= activation(N, frequency_hz) <= 1.0
    assert 0.0 <= activation(UP, frequency_hz) <= 1.0
    assert -1.0 <= activation(DOWN, frequency_hz) <= 0.0


@settings(deadline=None, max_examples=100)
@given(st.sampled_from([N, UP, DOWN, FCR]), st.floats(min_value=-0.6, max_value=0.6))
def test_up_and_down_are_mirror_images(product, deviation_hz):
    mirrored = {"fcr-d-up": DOWN, "fcr-d-down": UP}.get(product.id, product)
    here = activation(product, 50.0 + deviation_hz)
    assert here == pytest.approx(-activation(mirrored, 50.0 - deviation_hz), abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from([N, UP, DOWN]), st.lists(frequencies, min_size=1), st.booleans())
def test_an_array_gives_what_its_floats_give(product, values, beyond):
    together = activation(product, np.array(values), beyond_band=beyond)
    one_by_one = [activation(product, value, beyond_band=beyond) for value in values]
    assert all(type(value) is float for value in one_by_one)
    assert together.tolist() == one_by_one


@settings(deadline=None, max_examples=100)
@given(capacities, capacities, capacities, frequencies, st.floats(-1e7, 1e7))
def test_products_sold_together_add_to_the_baseline(c_n, c_up, c_down, frequency_hz, base_w):
    sold = {"fcr-n": c_n, "fcr-d-up": c_up, "fcr-d-down": c_down}
    alone = [reserve_power_w(NORDIC, {name: c}, frequency_hz) for name, c in sold.items()]
    together = site_power(NORDIC, sold, frequency_hz, base_w)
    assert together.power_w == pytest.approx(base_w + sum(alone))
    assert together.unmet_w == 0.0


def test_limits_cut_the_power_and_the_cut_is_told():
    cut = site_power(NORDIC, {"fcr-n": 100.0}, 49.9, baseline_w=50.0, lower_w=-80.0, upper_w=120.0)
    assert (cut.power_w, cut.reserve_w, cut.unmet_w) == (120.0, 100.0, 30.0)
    cut = site_power(NORDIC, {"fcr-n": 100.0}, 50.1, lower_w=-80.0, upper_w=120.0)
    assert (cut.power_w, cut.reserve_w, cut.unmet_w) == (-80.0, -100.0, -20.0)


def test_a_fleet_is_one_call_with_capacities_and_limits_as_arrays():
    power_w = site_power_w(
        NORDIC,
        {"fcr-n": np.array([10.0, 20.0, 30.0]), "fcr-d-up": np.array([0.0, 40.0, 0.0])},
        49.7,
        baseline_w=np.array([0.0, 1.0, -1.0]),
        upper_w=np.array([100.0, 100.0, 25.0]),
    )
    assert power_w.tolist() == pytest.approx([10.0, 41.0, 25.0])


def test_a_product_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(UserError, match=r"'fcr-x'; it has: fcr-n, fcr-d-up, fcr-d-down, ffr"):
        reserve_power_w(NORDIC, {"fcr-x": 1.0}, 50.0)
    with pytest.raises(UserError, match="no droop"):
        reserve_power_w(NORDIC, {"ffr": 1.0}, 50.0)
