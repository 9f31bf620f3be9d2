"""The converter's power over time, against closed solutions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.sim.power_path import NS, PowerPath, PowerPathParameters

MS = 1_000_000
RATED_W = 100_000.0


def path(**changes: float) -> PowerPath:
    settings = {"rated_power_w": RATED_W, "delay_s": 0.05, "ramp_per_s": 1.0, "lag_s": 0.1}
    return PowerPath(PowerPathParameters(**(settings | changes)), 0)


def advance(p: PowerPath, now_ns: int) -> float:
    p.advance(now_ns, -RATED_W, RATED_W)
    return p.power_w


def test_nothing_moves_before_the_delay_is_over() -> None:
    p = path()
    p.order(0, 50_000)
    assert advance(p, 50 * MS) == 0
    assert advance(p, 51 * MS) > 0


def test_without_lag_the_power_follows_the_ramp_exactly() -> None:
    p = path(lag_s=0.0, delay_s=0.0)
    p.order(0, RATED_W)
    assert advance(p, 250 * MS) == pytest.approx(25_000)
    assert advance(p, 1000 * MS) == RATED_W


def test_a_step_through_the_lag_is_the_textbook_exponential() -> None:
    p = path(ramp_per_s=1e9, delay_s=0.0)
    p.order(0, 40_000)
    assert advance(p, 100 * MS) == pytest.approx(40_000 * (1 - math.exp(-1)), rel=1e-6)


def test_the_power_arrives_and_stays_exactly_at_the_order() -> None:
    p = path()
    p.order(0, -30_000)
    assert advance(p, 10 * NS) == -30_000


def test_a_limit_holds_whatever_is_ordered() -> None:
    p = path()
    p.order(0, RATED_W)
    p.advance(10 * NS, -5_000, 20_000)
    assert p.power_w == 20_000


def test_a_trip_is_immediate_and_forgets_orders_on_their_way() -> None:
    p = path()
    p.order(0, 50_000)
    advance(p, 1 * NS)
    p.order(1 * NS, 90_000)
    p.trip()
    assert p.power_w == 0
    assert advance(p, 2 * NS) == 0


def test_orders_take_effect_in_turn_each_after_its_own_delay() -> None:
    p = path(lag_s=0.0, ramp_per_s=1e9, delay_s=0.1)
    p.order(0, 10_000)
    p.order(50 * MS, 20_000)
    assert advance(p, 120 * MS) == pytest.approx(10_000)
    assert advance(p, 160 * MS) == pytest.approx(20_000)


@given(
    cuts=st.lists(st.integers(1, 3_000), max_size=20),
    first_w=st.floats(-RATED_W, RATED_W),
    second_w=st.floats(-RATED_W, RATED_W),
)
def test_power_and_energy_do_not_depend_on_how_often_they_are_asked(
    cuts: list[int], first_w: float, second_w: float
) -> None:
    def live(instants: list[int]) -> tuple[float, float]:
        p = path()
        p.order(0, first_w)
        p.order(700 * MS, second_w)
        moved = [p.advance(t * MS, -RATED_W, RATED_W) for t in instants]
        return p.power_w, sum(m.discharged_ws - m.charged_ws for m in moved)

    power_w, energy_ws = live([3_000])
    cut_power_w, cut_energy_ws = live([*sorted(cuts), 3_000])
    assert cut_power_w == pytest.approx(power_w, abs=0.01)
    assert cut_energy_ws == pytest.approx(energy_ws, abs=0.1)


def test_the_energy_is_the_area_under_the_power() -> None:
    p, fine = path(), path()
    p.order(0, 80_000)
    fine.order(0, 80_000)
    area_ws = 0.0
    for ms in range(2_000):
        before_w = fine.power_w
        advance(fine, (ms + 1) * MS)
        area_ws += (before_w + fine.power_w) / 2 * 1e-3
    assert p.advance(2 * NS, -RATED_W, RATED_W).discharged_ws == pytest.approx(area_ws, rel=1e-4)


@pytest.mark.parametrize(
    "wrong", [{"rated_power_w": 0.0}, {"ramp_per_s": 0.0}, {"delay_s": -1.0}, {"lag_s": -0.1}]
)
def test_parameters_without_meaning_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        path(**wrong)
