"""What the site owes: contracts over time, hand-over, and the energy that it has for them."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.errors import UserError
from tenhertz.site.config import Contract, Frequency, Reserves, Site, SiteConfig, Unit
from tenhertz.site.reserve import ReserveDesk, schedule_from

S = 1_000_000_000
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOON_NS = round(NOON.timestamp()) * S


def config(*contracts, **reserves):
    return SiteConfig(
        Site("alpha"),
        Frequency("meter", "localhost"),
        (Unit("a", "localhost", 100.0, 200.0),),
        tuple(Contract(*contract) for contract in contracts),
        reserves=Reserves(**{"limited_energy": False, **reserves}),
    )


def at(minutes):
    return NOON + timedelta(minutes=minutes)


class Follower:
    """A desk that is asked once a second."""

    def __init__(self, *contracts, start_min=-60, **reserves):
        self.desk = ReserveDesk(config(*contracts, **reserves))
        self.now_ns = 7 * S
        self.utc_ns = NOON_NS + start_min * 60 * S

    def ask(self, frequency_hz=50.0, soc=0.5, after_s=1.0):
        self.now_ns += round(after_s * S)
        self.utc_ns += round(after_s * S)
        return self.desk.owed(self.now_ns, self.utc_ns, frequency_hz, soc)


def test_a_contract_is_owed_from_its_start_to_its_end():
    follower = Follower(("fcr-n", 60.0, at(0), at(30)))
    rows = [(-31, 0.0), (-0.1, 0.0), (0.1, 30e3), (29.9, 30e3), (30.1, 0.0)]
    minute = -60.0
    for until, power_w in rows:
        owed = follower.ask(49.95, after_s=(until - minute) * 60)
        minute = until
        assert owed.power_w == pytest.approx(power_w), until
        assert owed.capacities_w == ({"fcr-n": 60e3} if power_w else {})


def test_a_contract_without_start_and_end_is_always_owed():
    assert Follower(("fcr-n", 60.0), start_min=-(10**7)).ask(49.9).power_w == pytest.approx(60e3)
    assert Follower(("fcr-n", 60.0), start_min=10**7).ask(49.9).power_w == pytest.approx(60e3)


def test_contracts_of_one_product_add_up_while_they_overlap():
    follower = Follower(("fcr-n", 40.0, at(0), at(30)), ("fcr-n", 20.0, at(10), None), start_min=-1)
    owed = [follower.ask(49.9, after_s=60 * step).capacities_w for step in (2, 15, 20)]
    assert [found["fcr-n"] for found in owed] == pytest.approx([40e3, 60e3, 20e3])


def test_the_room_is_what_the_rules_reserve():
    owed = Follower(("fcr-n", 100.0), ("fcr-d-up", 50.0)).ask()
    assert owed.room_up_w == pytest.approx(1.34 * 100e3 + 50e3)
    assert owed.room_down_w == pytest.approx(1.34 * 100e3 + 0.2 * 50e3)


def test_the_baseline_is_told_apart_from_the_reserve():
    owed = Follower(("fcr-n", 60.0), baseline_kw=-15.0).ask(49.9)
    assert (owed.power_w, owed.baseline_w) == (pytest.approx(60e3), -15e3)


def test_without_a_frequency_nothing_is_activated_but_the_room_stays():
    owed = Follower(("fcr-n", 60.0), baseline_kw=5.0).ask(math.nan)
    assert owed.power_w == 0.0
    assert owed.baseline_w == 5e3
    assert owed.capacities_w == {"fcr-n": 60e3}
    assert owed.room_up_w > 0.0


def test_a_fcr_d_that_is_activated_at_its_end_goes_on_until_the_frequency_recovers():
    follower = Follower(("fcr-d-up", 80.0, at(0), at(30)), start_min=29)
    assert follower.ask(49.7).power_w == pytest.approx(40e3)
    tail = follower.ask(49.7, after_s=90)
    assert (tail.power_w, tail.capacities_w) == (pytest.approx(40e3), {})
    assert follower.ask(49.95).power_w == 0.0
    assert follower.ask(49.7).power_w == 0.0


@pytest.mark.parametrize("back_s", [1, 3600, 10**9])
def test_a_clock_that_is_set_back_undoes_nothing_and_crashes_nothing(back_s):
    follower = Follower(("fcr-n", 60.0, at(0), at(30)), start_min=10, limited_energy=True)
    before = follower.ask(49.95)
    follower.utc_ns -= back_s * S
    after = follower.ask(49.95)
    assert after.capacities_w == before.capacities_w
    assert after.power_w == pytest.approx(before.power_w)


def test_with_limited_energy_an_empty_store_gives_less_than_the_law():
    full = Follower(("fcr-n", 60.0), limited_energy=True)
    empty = Follower(("fcr-n", 60.0), limited_energy=True)
    for _ in range(600):
        at_half = full.ask(49.95, soc=0.5).power_w
        at_none = empty.ask(49.95, soc=0.02).power_w
    assert at_half == pytest.approx(30e3)
    assert at_none < 20e3


def test_without_a_state_of_charge_the_law_alone_holds():
    follower = Follower(("fcr-n", 60.0), limited_energy=True)
    assert follower.ask(49.95, soc=math.nan).power_w == pytest.approx(30e3)
    assert follower.ask(49.95, soc=0.5).power_w == pytest.approx(30e3)


def test_ffr_gives_all_of_its_capacity_after_its_trigger():
    follower = Follower(("ffr", 50.0))
    assert follower.ask(49.9).power_w == 0.0
    given = [follower.ask(49.3, after_s=0.1) for _ in range(30)]
    assert given[-1].power_w == pytest.approx(50e3)
    assert given[-1].capacities_w == {"ffr": 50e3}


def test_a_product_that_the_profile_does_not_have_is_a_mistake_at_once():
    with pytest.raises(UserError, match="no product 'fcr'"):
        ReserveDesk(config(("fcr", 50.0)))


contracts = st.lists(
    st.tuples(
        st.sampled_from(["fcr-n", "fcr-d-up", "fcr-d-down"]),
        st.floats(0.001, 1e4),
        st.none() | st.integers(-(10**5), 10**5).map(at),
        st.none() | st.integers(-(10**5), 10**5).map(at),
    ).filter(lambda c: c[2] is None or c[3] is None or c[2] < c[3]),
    max_size=6,
)


@given(contracts, st.integers(-(10**5), 10**5))
def test_the_schedule_holds_at_each_instant_the_sum_of_its_contracts(found, minute):
    entry = schedule_from(config(*found)).at(NOON_NS + minute * 60 * S)
    due = {}
    for product, kw, start, end in found:
        if (start is None or start <= at(minute)) and (end is None or at(minute) < end):
            due[product] = due.get(product, 0.0) + kw * 1000
    assert entry is not None
    assert entry.capacities_w == pytest.approx(due)


instants = st.tuples(
    st.floats(-5000, 5000),  # how the UTC clock is set beside its running, s
    st.floats(45, 55) | st.just(math.nan),
    st.floats(0, 1) | st.just(math.nan),
)


@given(contracts, st.booleans(), st.lists(instants, min_size=1, max_size=15))
def test_no_course_of_events_yields_anything_but_a_number(found, limited, course):
    follower = Follower(*found, limited_energy=limited)
    for jump_s, frequency_hz, soc in course:
        follower.utc_ns += round(jump_s * S)
        owed = follower.ask(frequency_hz, soc)
        assert math.isfinite(owed.power_w)
        assert math.isfinite(owed.baseline_w)
        assert owed.room_up_w >= 0.0
        assert owed.room_down_w >= 0.0
        assert not math.isnan(frequency_hz) or owed.power_w == 0.0
