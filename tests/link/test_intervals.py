"""Intervals against the plainest model there is: a set of integers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.link import Intervals

TOP = 40
number = st.integers(0, TOP)
span = st.tuples(number, number)
spans = st.lists(span, max_size=15)


def numbers_of(intervals: Intervals) -> set[int]:
    return {item for first, end in intervals for item in range(first, end)}


def model_of(pairs: list[tuple[int, int]]) -> set[int]:
    return {item for first, end in pairs for item in range(first, end)}


@given(spans)
def test_any_additions_give_the_numbers_of_the_set_in_disjoint_ascending_intervals(
    pairs: list[tuple[int, int]],
) -> None:
    found, model = Intervals(), set[int]()
    for first, end in pairs:
        found.add(first, end)
        model |= set(range(first, end))
        assert numbers_of(found) == model
        assert all(a < b for a, b in pairwise(found.bounds))
        assert found.total == len(model)
        assert found.end == max(model, default=-1) + 1
        assert bool(found) == bool(model)


@given(spans, span)
def test_what_is_missing_and_what_is_covered_agree_with_the_set(
    pairs: list[tuple[int, int]], asked: tuple[int, int]
) -> None:
    found, model = Intervals(pairs), model_of(pairs)
    wanted = set(range(*asked))
    missing = found.missing(*asked)
    assert model_of(missing) == wanted - model
    assert all(a < b for a, b in missing)
    assert all(before[1] < after[0] for before, after in pairwise(missing))
    assert found.covers(*asked) == (wanted <= model)


@given(spans, spans)
def test_sets_are_joined_and_a_copy_is_its_own(
    left: list[tuple[int, int]], right: list[tuple[int, int]]
) -> None:
    one, other = Intervals(left), Intervals(right)
    before = one.copy()
    one.add_all(other)
    assert numbers_of(one) == model_of(left) | model_of(right)
    assert numbers_of(before) == model_of(left)
    assert one == Intervals(right + left)


@given(spans)
def test_bounds_and_back_is_the_same_set(pairs: list[tuple[int, int]]) -> None:
    found = Intervals(pairs)
    assert Intervals.from_bounds(found.bounds) == found
    assert Intervals.from_bounds(found.bounds).missing(0, TOP) == found.missing(0, TOP)


@pytest.mark.parametrize("bounds", [[1], [1, 1], [3, 2], [1, 4, 4, 6], [1, 4, 3, 6]])
def test_bounds_that_do_not_ascend_in_pairs_are_refused(bounds: list[int]) -> None:
    with pytest.raises(ValueError, match="bounds"):
        Intervals.from_bounds(bounds)
