"""Energy, heat and limits of the battery."""

import pytest

from tenhertz.sim import bms
from tenhertz.sim.battery import Battery, BatteryParameters
from tenhertz.sim.bms import BmsParameters, Fault


def battery(**changes: float) -> Battery:
    return Battery(BatteryParameters(**({"rated_energy_wh": 100_000.0} | changes)))


def test_discharging_takes_more_from_the_cells_than_the_grid_gets() -> None:
    b = battery(soc=0.5)
    b.move(3_600_000.0, 0.0, 60.0)  # 1 kWh at the grid side
    assert b.stored_wh == pytest.approx(50_000 - 1_000 / 0.97)
    assert b.lifetime_discharged_wh == pytest.approx(1_000)


def test_charging_puts_less_into_the_cells_than_the_grid_gave() -> None:
    b = battery(soc=0.5)
    b.move(0.0, 3_600_000.0, 60.0)
    assert b.stored_wh == pytest.approx(50_000 + 1_000 * 0.97)
    assert b.lifetime_charged_wh == pytest.approx(1_000)


def test_a_worn_battery_holds_less() -> None:
    assert battery(soc=1.0, soh=0.8).stored_wh == 80_000


def test_the_store_never_leaves_its_ends_and_says_so() -> None:
    b = battery(soc=0.001)
    assert b.move(3_600_000.0, 0.0, 60.0)
    assert b.soc == 0
    assert not b.move(0.0, 3_600.0, 1.0)


def test_voltage_rises_with_charge_and_falls_under_load() -> None:
    voltages = [battery(soc=s / 20).dc_voltage_v for s in range(21)]
    assert voltages == sorted(voltages)
    b = battery(soc=0.5)
    rest_v = b.dc_voltage_v
    b.move(100_000.0, 0.0, 1.0)
    assert b.dc_voltage_v < rest_v
    assert b.dc_current_a > 0


def test_losses_warm_it_and_rest_cools_it_to_its_surroundings() -> None:
    b = battery()
    b.move(50_000.0 * 600, 0.0, 600.0)
    warm_c = b.temperature_c
    assert warm_c > 20
    b.move(0.0, 0.0, 1e6)
    assert b.temperature_c == pytest.approx(20)


@pytest.mark.parametrize(
    ("soc", "charge", "discharge"),
    [(0.5, 1, 1), (0.9, 1, 1), (0.95, 0.5, 1), (1.0, 0, 1), (0.1, 1, 1), (0.05, 1, 0.5), (0, 1, 0)],
)
def test_limits_fall_linearly_towards_the_ends_of_charge(
    soc: float, charge: float, discharge: float
) -> None:
    found = bms.allowed(battery(soc=soc), BmsParameters())
    assert found.charge == pytest.approx(charge)
    assert found.discharge == pytest.approx(discharge)


@pytest.mark.parametrize(
    ("cells_c", "charge", "discharge"),
    [(20, 1, 1), (49, 0.5, 0.5), (56, 0, 0), (3.5, 0.5, 1), (-5, 0, 1), (-14, 0, 0.5)],
)
def test_limits_fall_towards_the_ends_of_temperature(
    cells_c: float, charge: float, discharge: float
) -> None:
    found = bms.allowed(battery(ambient_c=cells_c), BmsParameters())
    assert found.charge == pytest.approx(charge)
    assert found.discharge == pytest.approx(discharge)


@pytest.mark.parametrize(
    ("ambient_c", "fault"),
    [(20, Fault.NONE), (59, Fault.OVER_TEMPERATURE), (-29, Fault.UNDER_TEMPERATURE)],
)
def test_temperatures_beyond_the_ends_are_faults(ambient_c: float, fault: Fault) -> None:
    assert bms.faults(battery(ambient_c=ambient_c), BmsParameters()) == fault


@pytest.mark.parametrize("wrong", [{"soc": 1.1}, {"rated_energy_wh": 0.0}, {"soh": 0.0}])
def test_parameters_without_meaning_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        battery(**wrong)
