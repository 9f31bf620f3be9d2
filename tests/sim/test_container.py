"""The container's states, as its page tells them. Time is passed in; nothing waits."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tenhertz.sim.battery import BatteryParameters
from tenhertz.sim.bms import Fault
from tenhertz.sim.container import (
    WARN_CHARGE_DERATED,
    WARN_WATCHDOG,
    BmsState,
    Command,
    Container,
    ContainerParameters,
    Mode,
    PcsState,
    Source,
)

S = 1_000_000_000


def container(
    frequency_hz: Callable[[int], float] = lambda _ns: 50.0, **battery: float
) -> Container:
    parameters = ContainerParameters(battery=BatteryParameters(**battery))
    return Container(parameters, 0, frequency_hz)


def running(**battery: float) -> Container:
    """In remote control and manual power, started at 0 and brought to 1 s."""
    c = container(**battery)
    c.write_source(Source.REMOTE)
    c.write_mode(Mode.MANUAL_POWER)
    assert c.write_command(Command.START)
    c.advance(1 * S)
    return c


def drive(c: Container, power_w: int, until_ns: int) -> None:
    """Keep writing a setpoint ten times a second."""
    while c.now_ns < until_ns:
        c.write_setpoint(power_w)
        c.advance(min(c.now_ns + S // 10, until_ns))


def test_after_power_up_it_stands_by_in_local_control() -> None:
    c = container()
    assert (c.pcs_state, c.source, c.mode) == (PcsState.STANDBY, Source.LOCAL, Mode.STANDBY)
    assert (c.watchdog_tenths, c.setpoint_w, c.bms_state) == (50, 0, BmsState.READY)


def test_a_start_takes_one_second() -> None:
    c = container()
    c.write_command(Command.START)
    c.advance(S - 1)
    assert c.pcs_state is PcsState.STARTING
    c.advance(S)
    assert c.pcs_state is PcsState.RUNNING
    assert c.bms_state is BmsState.CONNECTED


def test_in_remote_manual_running_the_setpoint_moves_the_power() -> None:
    c = running()
    drive(c, 150_000, 4 * S)
    assert c.path.power_w == pytest.approx(150_000, rel=1e-3)
    drive(c, -150_000, 8 * S)
    assert c.path.power_w == pytest.approx(-150_000, rel=1e-3)
    assert c.battery.lifetime_charged_wh > 0
    assert c.battery.lifetime_discharged_wh > 0


@pytest.mark.parametrize("missing", ["remote", "manual", "started"])
def test_in_any_other_state_the_setpoint_moves_nothing(missing: str) -> None:
    c = container()
    if missing != "remote":
        c.write_source(Source.REMOTE)
    if missing != "manual":
        c.write_mode(Mode.MANUAL_POWER)
    if missing != "started":
        c.write_command(Command.START)
    drive(c, 100_000, 4 * S)
    assert c.path.power_w == 0
    assert c.setpoint_w == 100_000
    assert c.setpoint_in_force_w == 0


def test_an_unfed_watchdog_ends_the_power_and_a_start_is_needed_to_go_on() -> None:
    c = running()
    c.write_setpoint(100_000)
    c.advance(c.now_ns + 5 * S - 1)
    assert c.setpoint_in_force_w == 100_000
    c.advance(c.now_ns + 1)
    assert c.setpoint_w == 0
    assert c.warnings & WARN_WATCHDOG
    c.advance(c.now_ns + 3 * S)
    assert c.pcs_state is PcsState.STANDBY
    assert c.path.power_w == 0
    drive(c, 100_000, c.now_ns + 2 * S)
    assert c.path.power_w == 0
    c.write_command(Command.START)
    assert not c.warnings & WARN_WATCHDOG
    drive(c, 100_000, c.now_ns + 3 * S)
    assert c.path.power_w == pytest.approx(100_000, rel=1e-3)


def test_every_write_of_the_setpoint_restarts_the_watchdog() -> None:
    c = running()
    drive(c, 100_000, 30 * S)
    assert c.pcs_state is PcsState.RUNNING
    assert c.watchdog_left_s == pytest.approx(4.9)


def test_a_start_after_an_expiry_never_runs_without_a_watchdog() -> None:
    c = running()
    c.advance(20 * S)
    assert c.watchdog_left_s == 0
    c.write_command(Command.START)
    assert c.watchdog_left_s == 5


def test_local_control_has_no_watchdog() -> None:
    c = running()
    c.write_source(Source.LOCAL)
    c.advance(60 * S)
    assert c.pcs_state is PcsState.RUNNING
    assert c.watchdog_left_s == 0


def test_a_changed_watchdog_counts_from_the_next_write() -> None:
    c = running()
    c.watchdog_tenths = 10
    c.write_setpoint(1_000)
    assert c.watchdog_left_s == 1


def test_a_stop_ramps_down_before_it_stands_by() -> None:
    c = running()
    drive(c, 200_000, 4 * S)
    c.write_command(Command.STOP)
    c.advance(c.now_ns + S // 2)
    assert c.pcs_state is PcsState.STOPPING
    assert 0 < c.path.power_w < 200_000
    c.advance(c.now_ns + 2 * S)
    assert c.pcs_state is PcsState.STANDBY
    assert c.path.power_w == 0
    assert c.setpoint_w == 0


def test_an_emergency_stop_takes_the_power_away_at_once() -> None:
    c = running()
    drive(c, 200_000, 4 * S)
    c.write_command(Command.EMERGENCY_STOP)
    assert (c.path.power_w, c.pcs_state, c.faults) == (0, PcsState.OFF, Fault.EMERGENCY_STOP)
    drive(c, 200_000, 6 * S)
    assert c.path.power_w == 0


def test_after_an_emergency_stop_only_reset_and_start_bring_it_back() -> None:
    c = running()
    c.write_command(Command.EMERGENCY_STOP)
    assert not c.write_command(Command.START)
    c.write_command(Command.RESET_FAULTS)
    assert (c.pcs_state, c.faults) == (PcsState.OFF, Fault.NONE)
    assert c.write_command(Command.START)
    c.advance(c.now_ns + S)
    assert c.pcs_state is PcsState.RUNNING


def test_the_setpoint_is_limited_to_the_rated_power() -> None:
    c = running()
    drive(c, 900_000, 4 * S)
    assert c.setpoint_w == 900_000
    assert c.setpoint_in_force_w == 200_000
    assert c.path.power_w == pytest.approx(200_000, rel=1e-3)


def test_near_the_full_end_charging_is_derated_and_said_so() -> None:
    c = running(soc=0.95)
    drive(c, -200_000, 3 * S)
    assert c.pcs_state is PcsState.DERATED
    assert c.warnings == WARN_CHARGE_DERATED
    assert c.path.power_w == pytest.approx(-c.charge_limit_w, rel=0.01)


def test_the_end_of_charge_inhibits_only_its_own_direction() -> None:
    c = running(soc=1.0)
    drive(c, -100_000, 3 * S)
    assert c.path.power_w == 0
    assert c.bms_state is BmsState.CHARGE_INHIBITED
    drive(c, 100_000, 6 * S)
    assert c.path.power_w == pytest.approx(100_000, rel=1e-3)


def test_a_battery_run_down_never_gives_more_than_it_held() -> None:
    c = running(soc=0.02, rated_energy_wh=10_000.0)
    drive(c, 200_000, 600 * S)
    assert c.battery.lifetime_discharged_wh <= 200 * 0.97
    assert 0 <= c.battery.soc < 0.02


def test_a_grid_out_of_range_trips_until_it_is_back_and_reset() -> None:
    grid_hz = [50.0]
    c = container(lambda _ns: grid_hz[0])
    c.write_command(Command.START)
    c.advance(2 * S)
    grid_hz[0] = 46.0
    c.advance(3 * S)
    assert (c.pcs_state, c.faults) == (PcsState.FAULT, Fault.GRID_OUT_OF_RANGE)
    c.write_command(Command.RESET_FAULTS)
    c.advance(4 * S)
    assert c.pcs_state is PcsState.FAULT
    grid_hz[0] = 50.0
    c.advance(5 * S)
    c.write_command(Command.RESET_FAULTS)
    assert (c.pcs_state, c.faults) == (PcsState.STANDBY, Fault.NONE)


def test_a_battery_too_hot_faults() -> None:
    c = container(ambient_c=70.0)
    c.advance(S)
    assert c.pcs_state is PcsState.FAULT
    assert c.bms_state is BmsState.FAULT


def test_a_silent_clamp_limits_the_power_but_not_what_is_shown() -> None:
    c = running()
    c.clamp_fraction = 0.25
    drive(c, 200_000, 4 * S)
    assert c.path.power_w == pytest.approx(50_000, rel=1e-3)
    assert c.setpoint_in_force_w == 200_000


def test_held_power_stands_still_and_follows_again_when_let_go() -> None:
    c = running()
    drive(c, 100_000, 4 * S)
    c.power_held = True
    drive(c, -100_000, 6 * S)
    assert c.path.power_w == pytest.approx(100_000, rel=1e-3)
    c.power_held = False
    drive(c, -100_000, 10 * S)
    assert c.path.power_w == pytest.approx(-100_000, rel=1e-3)


def test_its_life_does_not_depend_on_how_often_it_is_advanced() -> None:
    rough, fine = running(), running()
    for c in (rough, fine):
        c.write_setpoint(120_000)
    rough.advance(20 * S)
    for t in range(1_000, 20_001, 7):
        fine.advance(t * S // 1_000)
    fine.advance(20 * S)
    assert rough.battery.stored_wh == pytest.approx(fine.battery.stored_wh, rel=1e-9)
    assert rough.pcs_state == fine.pcs_state == PcsState.STANDBY


def test_parameters_of_a_container_can_be_replaced_one_by_one() -> None:
    assert replace(ContainerParameters(), name="c09").power_path.rated_power_w == 200_000


_ACTS: dict[str, Callable[[Container, int], object]] = {
    "setpoint": lambda c, n: c.write_setpoint(n),
    "source": lambda c, n: c.write_source(Source(n % 2)),
    "mode": lambda c, n: c.write_mode((Mode.MANUAL_POWER, Mode.STANDBY)[n % 2]),
    "command": lambda c, n: c.write_command(Command(1 + n % 4)),
    "wait": lambda c, n: c.advance(c.now_ns + abs(n) * 100_000),
}


@given(
    soc=st.floats(0, 1),
    acts=st.lists(
        st.tuples(st.sampled_from(sorted(_ACTS)), st.integers(-300_000, 300_000)), max_size=60
    ),
)
@example(soc=1.0, acts=[("setpoint", 2877), ("command", 1), ("command", 0), ("command", 1)])
def test_no_order_of_events_makes_power_out_of_nothing(
    soc: float, acts: list[tuple[str, int]]
) -> None:
    c = running(soc=soc, rated_energy_wh=20_000.0)
    resting = {PcsState.OFF, PcsState.STANDBY, PcsState.STARTING, PcsState.FAULT}
    for name, number in acts:
        _ACTS[name](c, number)
        c.advance(c.now_ns + S // 20)
        assert abs(c.path.power_w) <= c.rated_power_w
        assert 0 <= c.battery.soc <= 1
        if c.pcs_state in (PcsState.OFF, PcsState.STANDBY, PcsState.FAULT):
            assert c.path.power_w == 0
        if c.pcs_state in resting:
            assert c.setpoint_in_force_w == 0
        if c.faults:
            assert c.path.power_w == 0
    gained_wh = c.battery.lifetime_charged_wh * 0.97 - c.battery.lifetime_discharged_wh / 0.97
    # at the very ends the store cannot take the last watt-seconds of the lag: hence the margin
    assert c.battery.stored_wh == pytest.approx(soc * 20_000 + gained_wh, abs=20)
