"""The controller, a row a tick: what is measured, and what each unit shall do."""

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.devices import Condition, Reading
from tenhertz.site.config import Contract, Frequency, Reserves, Site, SiteConfig, Unit
from tenhertz.site.controller import Controller
from tenhertz.site.frequency import Answer, Signal
from tenhertz.site.mailbox import PowerWish
from tenhertz.site.mailbox import TestFrequency as FrequencyOfTest
from tenhertz.site.proposal import Reason

KW = 1000.0
S = 1_000_000_000
UTC = 1_800_000_000 * S
OK, OBSERVED, STUCK = Condition.CONTROLLED, Condition.OBSERVED, Condition.STUCK
FAULTED, ABSENT, SILENT = Condition.FAULTED, Condition.ABSENT, Condition.SILENT
PROTECTION, RESERVE, PLAN, WISH = Reason.PROTECTION, Reason.RESERVE, Reason.PLAN, Reason.WISH


def reading(power_kw=0.0, soc=0.5, charge_kw=100.0, discharge_kw=100.0):
    nan = math.nan
    return Reading(
        power_kw * KW, soc, charge_kw * KW, discharge_kw * KW, nan, nan, 0, 20, 3, 1, 0, 1
    )


class Desk:
    """A site of units of 100 kW, and the time that goes on by 100 ms a tick."""

    def __init__(self, units=2, export_kw=None, import_kw=None, baseline_kw=0.0, **contracts):
        config = SiteConfig(
            Site("alpha", export_limit_kw=export_kw, import_limit_kw=import_kw),
            Frequency("meter", "localhost"),
            tuple(Unit(f"u{n}", "localhost", 100.0, 200.0, port=n + 1) for n in range(units)),
            tuple(Contract(name.replace("_", "-"), kw) for name, kw in contracts.items()),
            reserves=Reserves(baseline_kw=baseline_kw, limited_energy=False),
        )
        self.controller = Controller(config)
        self.now_ns = 5 * S
        self.utc_ns = UTC
        self.units = [SimpleNamespace(rated_power_w=100 * KW, reading=reading())] * units
        self.conditions = [OK] * units

    def pass_s(self, seconds):
        self.now_ns += round(seconds * S)
        self.utc_ns += round(seconds * S)

    def wish(self, power_kw, lease_s=10.0, age_s=0.0):
        issued_ns = self.utc_ns - round(age_s * S)
        message = PowerWish(power_kw * KW, issued_ns, issued_ns + round(lease_s * S))
        self.controller.hear([message], self.utc_ns)

    def tick(self, frequency_hz=50.0, *, share=1.0, readings=None, stopped=False, stop=False):
        self.pass_s(0.1)
        if readings is not None:
            self.units = [SimpleNamespace(rated_power_w=100 * KW, reading=r) for r in readings]
        answer = Answer(frequency_hz, share, Signal.FRESH, stop)
        return self.controller.decide(
            self.units, self.conditions, answer, self.now_ns, self.utc_ns, stopped=stopped
        )


def powers_kw(orders):
    return [round(power / KW, 6) for power in orders.powers_w]


FCR_N = {"fcr_n": 60.0}
FCR_D = {"fcr_d_up": 80.0, "fcr_d_down": 40.0}

# Contracts, the frequency, what the site shall deliver in kW.
LAWS = [
    (FCR_N, 50.0, 0),
    (FCR_N, 49.95, 30),
    (FCR_N, 50.05, -30),
    (FCR_N, 49.9, 60),
    (FCR_N, 49.5, 60),  # no more than was sold
    (FCR_N, 50.3, -60),
    (FCR_D, 49.95, 0),
    (FCR_D, 49.9, 0),
    (FCR_D, 49.7, 40),
    (FCR_D, 49.5, 80),
    (FCR_D, 50.3, -20),
    (FCR_D, 50.5, -40),
    (FCR_N | FCR_D, 49.7, 100),
    (FCR_N | FCR_D, 50.05, -30),
    ({}, 49.0, 0),
]


@pytest.mark.parametrize(("contracts", "frequency_hz", "kw"), LAWS)
def test_reserves_follow_the_frequency_and_the_units_share_evenly(contracts, frequency_hz, kw):
    orders = Desk(**contracts).tick(frequency_hz)

    assert powers_kw(orders) == pytest.approx([kw / 2, kw / 2])
    assert orders.decision.power_w == pytest.approx(kw * KW)
    assert orders.decision.reason is (RESERVE if contracts else PLAN)
    assert (orders.decision.short_w, orders.unmet_w) == (0.0, 0.0)
    assert not orders.stop


# Conditions and what each controlled unit gives of 90 kW (FCR-N at 49.9 Hz, three units).
TAKE_OVER = [
    ([OK, OK, OK], [30, 30, 30]),
    ([OK, STUCK, OK], [45, 45]),
    ([OK, FAULTED, OK], [45, 45]),
    ([ABSENT, OK, OK], [45, 45]),
    ([OK, SILENT, OBSERVED], [90]),
    ([ABSENT, STUCK, FAULTED], []),
]


@pytest.mark.parametrize(("conditions", "kw"), TAKE_OVER)
def test_units_out_of_control_get_nothing_and_the_others_take_over(conditions, kw):
    desk = Desk(3, fcr_n=90.0)
    desk.conditions = conditions
    orders = desk.tick(49.9)

    assert powers_kw(orders) == pytest.approx(kw)
    assert orders.controlled == [i for i, condition in enumerate(conditions) if condition is OK]
    if not kw:
        assert orders.decision.limited_by is PROTECTION
        assert orders.decision.short_w == pytest.approx(90 * KW)


def test_the_others_take_over_up_to_their_limits_and_the_rest_is_told():
    desk = Desk(3, fcr_n=200.0)
    desk.conditions = [OK, FAULTED, OK]
    orders = desk.tick(49.9, readings=[reading(discharge_kw=70), reading(), reading()])

    assert powers_kw(orders) == pytest.approx([70, 100])
    assert orders.decision.limited_by is PROTECTION
    assert orders.decision.short_w + orders.unmet_w == pytest.approx(30 * KW)


LIMITS = [
    # readings, the power wished for, kW of each unit
    ([reading(), reading()], 150, [75, 75]),
    ([reading(discharge_kw=20), reading()], 110, [20, 90]),
    ([reading(discharge_kw=20), reading()], 150, [20, 100]),
    ([reading(charge_kw=20), reading()], 150, [75, 75]),
    ([reading(charge_kw=20), reading()], -150, [-20, -100]),
    ([reading(discharge_kw=0), reading(discharge_kw=0)], 150, [0, 0]),
    ([reading(discharge_kw=-5), reading(discharge_kw=500)], 150, [0, 100]),  # rated is the most
    ([reading(soc=0.8), reading(soc=0.4)], 75, [50, 25]),  # by what is stored
    ([reading(soc=0.8), reading(soc=0.4)], -80, [-20, -60]),  # by what is free
    ([reading(soc=0.0), reading(soc=0.5)], 55, [5, 50]),  # never nothing at all
]


@pytest.mark.parametrize(("readings", "wish_kw", "kw"), LIMITS)
def test_the_limits_and_the_charge_of_each_unit_hold(readings, wish_kw, kw):
    desk = Desk()
    desk.wish(wish_kw)
    orders = desk.tick(readings=readings)
    assert powers_kw(orders) == pytest.approx(kw, abs=1e-5)
    decision = orders.decision
    assert decision.power_w - orders.unmet_w == pytest.approx(math.fsum(orders.powers_w))
    assert decision.short_w + orders.unmet_w == pytest.approx((wish_kw - sum(kw)) * KW)
    assert decision.limited_by is (PROTECTION if decision.short_w else None)


@pytest.mark.parametrize(
    ("wish_kw", "site_kw", "limited_by"),
    [(50, 50, None), (100, 60, PROTECTION), (-50, -40, PROTECTION), (-20, -20, None)],
)
def test_the_limits_of_the_connection_hold(wish_kw, site_kw, limited_by):
    desk = Desk(export_kw=60.0, import_kw=40.0)
    desk.wish(wish_kw)
    orders = desk.tick()
    assert powers_kw(orders) == [site_kw / 2, site_kw / 2]
    assert orders.decision.limited_by is limited_by


def test_a_lost_frequency_takes_the_answer_back_and_the_baseline_stays():
    desk = Desk(baseline_kw=20.0, fcr_n=60.0)
    rows = [(49.95, 1.0, 50), (49.95, 0.5, 35), (49.95, 0.1, 23), (math.nan, 0.0, 20)]
    for frequency_hz, share, kw in rows:
        orders = desk.tick(frequency_hz, share=share)
        assert orders.decision.power_w == pytest.approx(kw * KW)
        assert orders.decision.baseline_w == pytest.approx(20 * KW)


@pytest.mark.parametrize("how", [{"stopped": True}, {"stop": True}])
def test_a_stop_is_zero_whatever_is_asked_and_ends_when_it_is_lifted(how):
    desk = Desk(fcr_n=60.0)
    desk.wish(70.0)
    orders = desk.tick(49.9, **how)
    assert orders.stop
    assert orders.powers_w == [0.0, 0.0]
    assert orders.decision.reason is Reason.STOP
    assert not desk.tick(49.9).stop


def test_a_wish_meets_the_limits_and_ends_with_its_lease():
    desk = Desk(export_kw=150.0)
    desk.wish(180.0, lease_s=1.0)
    orders = desk.tick()
    assert powers_kw(orders) == [75, 75]
    assert orders.decision[2:] == (WISH, PROTECTION, 30 * KW)
    desk.pass_s(0.7)
    assert desk.tick().decision.reason is WISH
    desk.pass_s(0.1)
    assert desk.tick().decision.power_w == 0.0


def test_a_wish_leaves_room_for_the_reserve():
    desk = Desk(fcr_n=100.0)
    desk.wish(200.0)
    orders = desk.tick(50.0)
    assert orders.decision.baseline_w == pytest.approx(200 * KW - 1.34 * 100 * KW)
    assert orders.decision.limited_by is RESERVE
    assert desk.tick(49.9).decision.power_w == pytest.approx(166 * KW)


def test_the_plan_comes_before_a_wish():
    desk = Desk(baseline_kw=-10.0)
    desk.wish(50.0)
    orders = desk.tick()
    assert (orders.decision.power_w, orders.decision.reason) == (-10 * KW, PLAN)


@pytest.mark.parametrize(
    "stale", [{"age_s": 3}, {"age_s": -3}, {"lease_s": 0}, {"age_s": 1, "lease_s": 1}]
)
def test_a_stale_wish_is_dropped_and_counted(stale):
    desk = Desk()
    desk.wish(50.0, **stale)
    orders = desk.tick()
    assert orders.decision.power_w == 0.0
    assert orders.dropped_inbound == 1


@pytest.mark.parametrize("power_kw", [math.nan, math.inf, -math.inf])
def test_a_wish_that_is_no_number_is_dropped_and_counted(power_kw):
    desk = Desk()
    desk.wish(power_kw)
    assert desk.tick().dropped_inbound == 1


@pytest.mark.parametrize("jump_s", [-3600, 3600])
def test_setting_the_clock_neither_cuts_nor_prolongs_a_lease(jump_s):
    desk = Desk(fcr_n=60.0)
    desk.wish(40.0, lease_s=5.0)
    assert desk.tick().decision.power_w == pytest.approx(40 * KW)
    desk.utc_ns += jump_s * S
    assert desk.tick(49.95).decision.power_w == pytest.approx(70 * KW)
    desk.pass_s(5.0)
    assert desk.tick(49.95).decision.power_w == pytest.approx(30 * KW)


def test_a_test_frequency_takes_the_place_of_the_measured_one_until_its_lease_ends():
    desk = Desk(fcr_n=60.0)
    desk.controller.hear([FrequencyOfTest(49.9, desk.utc_ns, desk.utc_ns + S)], desk.utc_ns)
    orders = desk.tick(50.05)
    assert (orders.decision.power_w, orders.decision.reason) == (pytest.approx(6e4), Reason.TEST)
    desk.pass_s(1.0)
    orders = desk.tick(50.05)
    assert (orders.decision.power_w, orders.decision.reason) == (pytest.approx(-3e4), RESERVE)


def test_what_is_measured_counts_every_unit_with_a_valid_reading():
    desk = Desk(4)
    desk.conditions = [OK, OBSERVED, STUCK, FAULTED]
    orders = desk.tick(readings=[reading(power_kw=p) for p in (1, 20, 300, 4)])
    assert orders.measured_w == 25 * KW


unit_states = st.tuples(
    st.sampled_from(list(Condition)),
    st.floats(0, 1),
    st.floats(-10, 500),
    st.floats(-10, 500),
)


@given(st.lists(unit_states, min_size=1, max_size=5), st.floats(45, 55), st.floats(-400, 400))
def test_whatever_is_measured_no_unit_and_no_connection_goes_beyond_its_limits(
    states, frequency_hz, wish_kw
):
    desk = Desk(len(states), export_kw=120.0, import_kw=80.0, fcr_n=100.0, fcr_d_up=50.0)
    desk.conditions = [state[0] for state in states]
    desk.wish(wish_kw)
    readings = [reading(0, soc, charge, discharge) for _, soc, charge, discharge in states]
    orders = desk.tick(frequency_hz, readings=readings)

    for index, power_w in zip(orders.controlled, orders.powers_w, strict=True):
        one = readings[index]
        assert (
            -min(max(one.charge_limit_w, 0), 1e5)
            <= power_w
            <= min(max(one.discharge_limit_w, 0), 1e5)
        )
    total_w = math.fsum(orders.powers_w)
    assert -80 * KW - 1e-6 <= total_w <= 120 * KW + 1e-6
    assert total_w == pytest.approx(orders.decision.power_w - orders.unmet_w, abs=1e-6)
