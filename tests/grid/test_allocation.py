"""Sharing: in proportion, within bounds, and to the last watt."""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tenhertz.grid import Shares, share

bounds = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)).map(sorted)
units = st.lists(st.tuples(st.floats(0.01, 100.0), bounds), min_size=1, max_size=12)
targets = st.floats(-2e6, 2e6)


def share_units(target_w, units):
    weights = [weight for weight, _ in units]
    return share(target_w, weights, [low for _, (low, _) in units], [up for _, (_, up) in units])


def test_without_bounds_in_the_way_the_shares_are_as_the_weights():
    found = share(12.0, [1, 2, 3], [-10] * 3, [10] * 3)
    assert found == Shares([2.0, 4.0, 6.0], 0.0)
    assert share(-12.0, [1, 2, 3], [-10] * 3, [10] * 3).powers_w == [-2.0, -4.0, -6.0]


def test_a_unit_at_its_bound_leaves_the_rest_to_the_others_in_proportion():
    assert share(12.0, [1, 2, 3], [0] * 3, [10, 10, 3]).powers_w == pytest.approx([3, 6, 3])


def test_a_forced_unit_keeps_its_bounds_and_the_others_make_up_for_it():
    assert share(0.0, [1, 1, 1], [5, -9, -9], [8, 9, 9]).powers_w == [5.0, -2.5, -2.5]
    assert share(2.0, [1, 1], [-9, -9], [-4, 9]).powers_w == [-4.0, 6.0]


def test_what_rounding_leaves_over_is_given_to_a_unit():
    for parts in range(3, 40):
        found = share(1000.1, [0.1] * parts, [-2000.0] * parts, [2000.0] * parts)
        assert found.unmet_w == 0.0
        assert abs(1000.1 - math.fsum(found.powers_w)) <= math.ulp(1000.1)


def test_what_no_bound_allows_is_told():
    assert share(30.0, [1, 2], [-1, -1], [10, 5]) == Shares([10.0, 5.0], 15.0)
    assert share(-30.0, [1, 2], [-1, -2], [10, 5]) == Shares([-1.0, -2.0], -27.0)
    assert share(3.0, [], [], []) == Shares([], 3.0)


def test_units_of_weight_zero_stay_out_until_the_others_are_at_their_bounds():
    assert share(4.0, [0, 1], [-9, -9], [9, 5]).powers_w == [0.0, 4.0]
    assert share(9.0, [0, 1, 0], [-9, -9, -9], [9, 5, 1]).powers_w == [3.0, 5.0, 1.0]
    assert share(-8.0, [0, 1], [-9, -5], [9, 5]).powers_w == [-3.0, -5.0]
    assert share(5.0, [0, 1], [2, 0], [9, 9]).powers_w == [2.0, 3.0]


@settings(deadline=None, max_examples=80)
@given(targets, units)
def test_the_shares_and_the_unmet_rest_make_the_target_within_all_bounds(target_w, units):
    found = share_units(target_w, units)
    lowest = math.fsum(low for _, (low, _) in units)
    highest = math.fsum(up for _, (_, up) in units)
    reachable = min(max(target_w, lowest), highest)
    assert math.fsum(found.powers_w) == pytest.approx(reachable, abs=1e-6, rel=1e-12)
    assert found.unmet_w == pytest.approx(target_w - math.fsum(found.powers_w), abs=1e-6)
    assert (found.unmet_w == 0.0) == (lowest <= target_w <= highest)
    for power_w, (_, (low, up)) in zip(found.powers_w, units, strict=True):
        assert low <= power_w <= up


@settings(deadline=None, max_examples=80)
@given(targets, units)
def test_one_level_explains_every_share(target_w, units):
    found = share_units(target_w, units)
    free = [
        power_w / weight
        for power_w, (weight, (low, up)) in zip(found.powers_w, units, strict=True)
        if low + 1e-6 < power_w < up - 1e-6
    ]
    assume(free)
    level = free[0]
    assert free == pytest.approx([level] * len(free), rel=1e-6, abs=1e-3)
    for power_w, (weight, (low, up)) in zip(found.powers_w, units, strict=True):
        assert power_w == pytest.approx(min(max(level * weight, low), up), rel=1e-6, abs=1e-3)


@settings(deadline=None, max_examples=60)
@given(targets, targets, units)
def test_more_to_share_gives_no_unit_less(one_w, other_w, units):
    low, high = sorted((one_w, other_w))
    less, more = share_units(low, units).powers_w, share_units(high, units).powers_w
    assert all(a <= b + 1e-6 for a, b in zip(less, more, strict=True))


@settings(deadline=None, max_examples=50)
@given(targets, units, st.randoms(use_true_random=False))
def test_the_order_of_the_units_does_not_matter(target_w, units, random):
    order = list(range(len(units)))
    random.shuffle(order)
    shuffled = share_units(target_w, [units[index] for index in order]).powers_w
    found = share_units(target_w, units).powers_w
    assert [found[index] for index in order] == pytest.approx(shuffled, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((1.0, [1], [0], []), "1 weights, 1 lower and 0 upper"),
        ((math.nan, [1], [0], [1]), "target_w"),
        ((1.0, [1, -1], [0, 0], [1, 1]), "unit 1 has weight -1"),
        ((1.0, [1], [0], [math.inf]), "unit 0 .* finite"),
        ((1.0, [1], [2], [1]), "lower bound 2 W above 1 W"),
    ],
)
def test_mistakes_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        share(*arguments)
