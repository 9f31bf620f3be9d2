"""FFR: triggers, holds, lets go, recovers, and is ready again in time."""

import math

import msgspec
import pytest

from tenhertz.errors import UserError
from tenhertz.grid import ffr_rules, load_profile, start_ffr, step_ffr

NORDIC = load_profile("nordic-1.1")
S = 10**9


def powers_at(rules, frequency_of, times_s):
    """Power and phase at the given times, stepping every 100 ms, time 0 the first step."""
    state, found = start_ffr(0), {}
    for tick in range(round(max(times_s) * 10) + 1):
        state, out = step_ffr(rules, state, frequency_of(tick / 10), tick * S // 10)
        found[tick / 10] = (out.power_w, out.phase)
    return [found[time_s] for time_s in times_s]


def test_the_profile_offers_the_three_pairs_of_trigger_and_activation_time():
    pairs = [(t.trigger_hz, t.full_activation_s) for t in NORDIC.step["ffr"].triggers]
    assert pairs == [(49.7, 1.3), (49.6, 1.0), (49.5, 0.7)]


@pytest.mark.parametrize("trigger_hz", [49.7, 49.6, 49.5])
def test_it_triggers_at_its_frequency_and_not_above(trigger_hz):
    rules = ffr_rules(NORDIC, 100.0, trigger_hz)
    state, out = step_ffr(rules, start_ffr(0), math.nextafter(trigger_hz, 50), 0)
    assert (out.power_w, out.phase) == (0.0, "armed")
    _, out = step_ffr(rules, state, trigger_hz, S // 10)
    assert (out.power_w, out.phase) == (100.0, "support")


def test_it_holds_for_30_s_if_it_lets_go_at_once():
    rules = ffr_rules(NORDIC, 100.0, 49.7)
    found = powers_at(rules, lambda _: 49.6, [0, 29.9, 30.0, 39.9, 40.0])
    assert found == [
        (100.0, "support"),
        (100.0, "support"),
        (0.0, "buffer"),
        (0.0, "buffer"),
        (0.0, "armed"),
    ]


def test_it_holds_for_5_s_if_it_lets_go_gently_and_takes_back_what_it_gave():
    rules = ffr_rules(NORDIC, 100.0, 49.7, deactivation_per_s=0.2, recovery_power=0.25)
    times_s = [4.9, 6.0, 9.0, 10.0, 19.9, 20.0, 49.9, 50.0]
    found = powers_at(rules, lambda time_s: 49.6 if time_s < 1 else 50.0, times_s)
    powers = [power for power, _ in found]
    assert powers == pytest.approx([100.0, 80.0, 20.0, 0.0, 0.0, -25.0, -25.0, 0.0])
    phases = [phase for _, phase in found]
    assert phases == [
        "support",
        "deactivation",
        "deactivation",
        "buffer",
        "buffer",
        "recovery",
        "recovery",
        "armed",
    ]
    given = 100.0 * 5 + 100.0 * 5 / 2
    assert given == pytest.approx(25.0 * (rules.armed_from_s - rules.recovery_from_s))


def test_a_ramp_up_is_part_of_the_activation_and_not_of_the_support():
    rules = ffr_rules(NORDIC, 100.0, 49.7, activation_ramp_s=1.0)
    found = powers_at(rules, lambda _: 49.6, [0.0, 0.5, 1.0, 30.9, 31.0])
    assert [power for power, _ in found] == pytest.approx([0.0, 50.0, 100.0, 100.0, 0.0])


def test_an_activation_runs_its_course_when_the_frequency_returns():
    rules = ffr_rules(NORDIC, 100.0, 49.7)
    found = powers_at(rules, lambda time_s: 49.6 if time_s < 0.2 else 50.0, [29.9])
    assert found == [(100.0, "support")]


def test_a_frequency_that_stays_low_triggers_once_and_a_second_fall_triggers_again():
    rules = ffr_rules(NORDIC, 100.0, 49.7)
    assert powers_at(rules, lambda _: 49.6, [100.0, 900.0]) == [(0.0, "armed")] * 2
    found = powers_at(rules, lambda time_s: 50.0 if 50 < time_s < 60 else 49.6, [59.9, 60.0])
    assert found == [(0.0, "armed"), (100.0, "support")]


def test_a_fall_before_it_is_ready_is_told_once():
    rules = ffr_rules(NORDIC, 100.0, 49.7)
    state, missed = start_ffr(0), []
    for second, frequency_hz in enumerate([49.6, 50.0, 49.6, 49.6, 50.0]):
        state, out = step_ffr(rules, state, frequency_hz, second * S)
        missed.append(out.missed_trigger)
    assert missed == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"trigger_hz": 49.8}, r"choose one of 49\.7, 49\.6, 49\.5"),
        ({"trigger_hz": 49.5, "activation_ramp_s": 0.8}, r"within 0 and 0\.7"),
        ({"support_s": 29.0}, r"at least 30\.0"),
        ({"support_s": math.nan}, r"at least 30\.0"),
        ({"support_s": 4.0, "deactivation_per_s": 0.2}, r"at least 5\.0"),
        ({"support_s": 6.0, "deactivation_per_s": 0.21}, r"at least 30\.0"),
        ({"deactivation_per_s": 0.0}, "above 0"),
        ({"recovery_power": 0.26}, r"within 0 and 0\.25"),
        ({"recovery_power": 0.02}, "ready again 1540 s"),
        ({"capacity_w": -1.0}, "capacity"),
    ],
)
def test_what_the_rules_do_not_allow_is_refused_with_what_they_do(options, said):
    given = {"capacity_w": 100.0, "trigger_hz": 49.7, **options}
    with pytest.raises(UserError, match=said):
        ffr_rules(NORDIC, **given)


def test_a_profile_without_ffr_says_so():
    with pytest.raises(UserError, match="has no product 'ffr'"):
        ffr_rules(load_profile("continental"), 1.0, 49.7)


def test_a_droop_product_by_the_name_of_ffr_is_refused():
    nordic = load_profile("nordic-1.1")
    odd = msgspec.structs.replace(nordic, droop={"ffr": nordic.droop["fcr-n"]}, step={})
    with pytest.raises(UserError, match="not one of on and off"):
        ffr_rules(odd, 1.0, 49.7)


def test_bad_readings_are_refused():
    rules = ffr_rules(NORDIC, 100.0, 49.7)
    with pytest.raises(ValueError, match="frequency_hz"):
        step_ffr(rules, start_ffr(0), math.nan, 0)
    with pytest.raises(ValueError, match="goes back"):
        step_ffr(rules, start_ffr(5), 50.0, 4)
