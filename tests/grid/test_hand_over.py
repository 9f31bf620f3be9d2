"""How provision starts and ends: no jump that the rules forbid, no reserve that hangs on."""

import math

import pytest

from tenhertz.errors import UserError
from tenhertz.grid import (
    HandOver,
    PlanEntry,
    ProductInput,
    Schedule,
    load_profile,
    planned_power_w,
)

NORDIC = load_profile("nordic-1.1")
S = 10**9
MIN = 60 * S


def plan(start_ns, end_ns, baseline_w=0.0, **capacities_w):
    capacities_w = {name.replace("_", "-"): power for name, power in capacities_w.items()}
    return PlanEntry(start_ns, end_ns, capacities_w, baseline_w)


def handing_over(*entries, **options):
    return HandOver(NORDIC, Schedule(entries), **options)


def test_fcr_n_starts_and_stops_by_a_step_of_its_frequency_input():
    run = handing_over(plan(60 * S, 120 * S, fcr_n=100.0))
    assert run.step(59 * S, 49.95).products == {}
    begun = run.step(60 * S, 49.95)
    assert begun.products["fcr-n"] == ProductInput(100.0, 100.0, 49.95, "active")
    assert planned_power_w(NORDIC, begun) == pytest.approx(50.0)
    ended = run.step(120 * S, 49.95)
    assert ended.products["fcr-n"] == ProductInput(0.0, 100.0, 50.0, "off")
    assert planned_power_w(NORDIC, ended) == 0.0


def test_fcr_d_that_is_idle_at_its_end_ends_at_once():
    run = handing_over(plan(0, 60 * S, fcr_d_up=100.0))
    run.step(59 * S, 50.0)
    assert run.step(60 * S, 50.0).products["fcr-d-up"].phase == "off"


def test_fcr_d_stays_active_after_its_end_until_the_frequency_is_back_in_the_normal_band():
    run = handing_over(plan(0, 60 * S, fcr_d_up=100.0))
    run.step(59 * S, 49.7)
    tail = run.step(60 * S, 49.7)
    assert tail.products["fcr-d-up"] == ProductInput(0.0, 100.0, 49.7, "tail")
    assert planned_power_w(NORDIC, tail) == pytest.approx(50.0)
    assert run.step(61 * S, 49.8999).products["fcr-d-up"].phase == "tail"
    assert run.step(62 * S, 49.9).products["fcr-d-up"].phase == "off"
    again = run.step(63 * S, 49.5)
    assert again.products["fcr-d-up"].phase == "off"
    assert planned_power_w(NORDIC, again) == 0.0


def test_fcr_d_down_has_a_tail_of_its_own_side():
    run = handing_over(plan(0, 60 * S, fcr_d_down=100.0, fcr_d_up=100.0))
    run.step(59 * S, 50.3)
    products = run.step(60 * S, 50.3).products
    assert (products["fcr-d-down"].phase, products["fcr-d-up"].phase) == ("tail", "off")


def test_fcr_d_that_starts_after_its_end_is_not_taken_for_a_tail():
    run = handing_over(plan(0, 60 * S, fcr_d_up=100.0))
    run.step(59 * S, 50.0)
    run.step(60 * S, 50.0)
    assert run.step(61 * S, 49.5).products["fcr-d-up"].phase == "off"


@pytest.mark.parametrize(
    ("after_end_ns", "share", "phase"),
    [
        (15 * MIN, 1.0, "tail"),
        (16 * MIN, 0.8, "ramp"),
        (19 * MIN, 0.2, "ramp"),
        (20 * MIN, 0.0, "off"),
        (21 * MIN, 0.0, "off"),
    ],
)
def test_a_long_tail_ramps_down_from_15_to_20_minutes_after_the_end(after_end_ns, share, phase):
    run = handing_over(plan(0, MIN, fcr_d_up=100.0))
    run.step(0, 49.5)
    given = run.step(MIN + after_end_ns, 49.5).products["fcr-d-up"]
    assert given.capacity_w == pytest.approx(100.0 * share)
    assert given.phase == phase


def test_a_long_tail_stays_whole_where_the_ramp_is_not_used():
    run = handing_over(plan(0, MIN, fcr_d_up=100.0), ramp_long_tails=False)
    run.step(0, 49.5)
    assert run.step(60 * MIN, 49.5).products["fcr-d-up"].capacity_w == 100.0


def test_a_change_of_volume_is_delivered_from_the_border_on():
    run = handing_over(plan(0, MIN, fcr_d_up=100.0), plan(MIN, 2 * MIN, fcr_d_up=40.0))
    assert run.step(MIN - 1, 49.5).products["fcr-d-up"].capacity_w == 100.0
    assert run.step(MIN, 49.5).products["fcr-d-up"].capacity_w == 40.0


def test_a_product_that_the_next_plan_has_not_ends_as_at_the_end_of_all_plans():
    run = handing_over(plan(0, MIN, fcr_d_up=100.0), plan(MIN, 2 * MIN, fcr_n=40.0))
    run.step(MIN - 1, 49.7)
    products = run.step(MIN, 49.7).products
    assert products["fcr-d-up"] == ProductInput(0.0, 100.0, 49.7, "tail")
    assert products["fcr-n"] == ProductInput(40.0, 40.0, 49.7, "active")


def test_a_new_plan_takes_the_tail_over():
    run = handing_over(plan(0, MIN, fcr_d_up=100.0), plan(5 * MIN, 6 * MIN, fcr_d_up=30.0))
    run.step(0, 49.5)
    assert run.step(2 * MIN, 49.5).products["fcr-d-up"].phase == "tail"
    assert run.step(5 * MIN, 49.5).products["fcr-d-up"] == ProductInput(30.0, 30.0, 49.5, "active")


def test_a_plan_that_is_withdrawn_ends_when_that_is_seen():
    run = handing_over(plan(0, 60 * MIN, fcr_d_up=100.0))
    run.step(10 * MIN, 49.5)
    run.follow(Schedule())
    assert run.step(11 * MIN, 49.5).products["fcr-d-up"].phase == "tail"
    assert run.step(26 * MIN, 49.5).products["fcr-d-up"].phase == "tail"
    assert run.step(27 * MIN, 49.5).products["fcr-d-up"].phase == "ramp"


def test_after_a_restart_nothing_of_an_earlier_plan_is_delivered():
    run = handing_over(plan(0, MIN, fcr_d_up=100.0))
    assert run.step(MIN, 49.5).products == {}


def test_ffr_is_owed_within_its_plan_only():
    run = handing_over(plan(0, MIN, ffr=100.0))
    assert run.step(0, 49.5).products["ffr"] == ProductInput(100.0, 100.0, 49.5, "active")
    assert run.step(MIN, 49.5).products["ffr"] == ProductInput(0.0, 0.0, 49.5, "off")
    assert planned_power_w(NORDIC, run.step(MIN, 49.5)) == 0.0


def test_the_baseline_changes_at_once_or_in_a_line_from_the_border_on():
    entries = (plan(0, MIN, baseline_w=100.0), plan(MIN, 2 * MIN, baseline_w=-100.0))
    at_once = handing_over(*entries)
    assert [at_once.step(t, 50.0).baseline_w for t in (0, MIN, 2 * MIN)] == [100.0, -100.0, 0.0]
    slowly = handing_over(*entries, baseline_ramp_s=10.0)
    times = (0, MIN - 1, MIN + 5 * S, MIN + 10 * S, 2 * MIN + 5 * S, 2 * MIN + 10 * S)
    found = [slowly.step(t, 50.0).baseline_w for t in times]
    assert found == pytest.approx([100.0, 100.0, 0.0, -100.0, -50.0, 0.0])


def test_a_baseline_ramp_that_is_cut_short_goes_on_from_where_it_was():
    entries = (plan(0, MIN), plan(MIN, MIN + 4 * S, baseline_w=100.0), plan(MIN + 4 * S, 2 * MIN))
    run = handing_over(*entries, baseline_ramp_s=10.0)
    times = (0, MIN, MIN + 4 * S, MIN + 9 * S, MIN + 14 * S)
    assert [run.step(t, 50.0).baseline_w for t in times] == pytest.approx([0, 0, 40, 20, 0])


def test_a_baseline_that_is_changed_within_its_plan_ramps_from_the_last_step_on():
    run = handing_over(plan(0, 60 * MIN, baseline_w=100.0), baseline_ramp_s=10.0)
    run.step(10 * MIN, 50.0)
    run.follow(Schedule((plan(0, 60 * MIN, baseline_w=0.0),)))
    assert run.schedule.entries[0].baseline_w == 0.0
    assert run.step(10 * MIN + 5 * S, 50.0).baseline_w == pytest.approx(50.0)


def test_a_product_planned_with_nothing_is_off():
    run = handing_over(plan(0, MIN, fcr_n=0.0))
    assert run.step(0, 49.9).products["fcr-n"] == ProductInput(0.0, 0.0, 49.9, "off")


def test_mistakes_are_refused():
    with pytest.raises(UserError, match="fcr-x"):
        handing_over(plan(0, MIN, fcr_x=1.0))
    with pytest.raises(ValueError, match="baseline_ramp_s"):
        handing_over(baseline_ramp_s=-1.0)
    run = handing_over()
    with pytest.raises(ValueError, match="frequency_hz"):
        run.step(0, math.nan)
    run.step(10, 50.0)
    with pytest.raises(ValueError, match="goes back"):
        run.step(9, 50.0)
