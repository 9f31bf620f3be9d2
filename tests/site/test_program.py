"""One period's work: complete, in order, and inside the period."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.site.program import MOST_SLOTS, Item, program, slots_for

PERIOD = 100_000_000


def test_one_slot_asks_first_then_hears_the_frequency_then_decides_and_writes():
    assert program(PERIOD, 1, 0.5) == [
        Item(0, "tick", 0),
        Item(0, "sample", 0),
        Item(25_000_000, "meter", 0),
        Item(50_000_000, "decide", 0),
        Item(50_000_000, "write", 0),
    ]


@pytest.mark.parametrize(
    ("units", "spread_over", "slots"),
    [(0, 64, 1), (1, 64, 1), (64, 64, 1), (65, 64, 2), (500, 64, 8), (10**6, 64, MOST_SLOTS)],
)
def test_many_units_are_asked_in_several_slots(units, spread_over, slots):
    assert slots_for(units, spread_over) == slots


@given(
    st.integers(20_000_000, 10_000_000_000),
    st.integers(1, MOST_SLOTS),
    st.floats(0, 1, exclude_min=True, exclude_max=True),
)
def test_every_piece_of_work_comes_once_and_inside_the_period(period_ns, slots, decide_after):
    items = program(period_ns, slots, decide_after)

    assert items[0] == Item(0, "tick", 0)
    assert items == sorted(items, key=lambda item: item.offset_ns)
    for work in ("sample", "write"):
        assert sorted(item.slot for item in items if item.work == work) == list(range(slots))
    assert [item.work for item in items].count("meter") == 1
    assert [item.work for item in items].count("decide") == 1
    assert len(items) == 3 + 2 * slots
    assert all(0 <= item.offset_ns < period_ns for item in items)
    decide = next(item for item in items if item.work == "decide")
    first_write = next(item for item in items if item.work == "write" and item.slot == 0)
    assert items.index(decide) < items.index(first_write)


@given(st.integers(1, 2000), st.integers(1, 300))
def test_each_unit_is_in_exactly_one_slot(units, spread_over):
    slots = slots_for(units, spread_over)
    covered = [unit for slot in range(slots) for unit in range(slot, units, slots)]
    assert sorted(covered) == list(range(units))
