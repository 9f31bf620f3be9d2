"""Register blocks, against offsets written out by hand from the pages of the devices."""

import struct

import pytest

from tenhertz.sim.battery import BatteryParameters
from tenhertz.sim.container import Container, ContainerParameters
from tenhertz.sim.meter import MeterRegisters
from tenhertz.sim.registers import ContainerRegisters, Refusal

S = 1_000_000_000


def device(**battery: float) -> ContainerRegisters:
    parameters = ContainerParameters(name="c07", battery=BatteryParameters(**battery))
    return ContainerRegisters(Container(parameters, 0, lambda _ns: 49.871))


def block(registers: ContainerRegisters | MeterRegisters, address: int, count: int) -> bytes:
    found = registers.read(0, address, count)
    assert isinstance(found, bytes)
    assert len(found) == 2 * count
    return found


def u16(registers: ContainerRegisters, address: int) -> int:
    return int.from_bytes(block(registers, address, 1), "big")


def i32(registers: ContainerRegisters, address: int) -> int:
    return int.from_bytes(block(registers, address, 2), "big", signed=True)


def start(registers: ContainerRegisters) -> None:
    for address, value in ((203, 1), (204, 0), (202, 1)):
        assert registers.write(0, address, [value]) is None


def words(value: int) -> list[int]:
    return list(struct.unpack(">HH", struct.pack(">i", value)))


def test_the_identity_is_text_padded_with_nul_and_two_ratings() -> None:
    found = block(device(), 0, 60)
    assert found[:32].rstrip(b"\0") == b"tenhertz"
    assert found[64:96] == b"c07" + bytes(29)
    assert struct.unpack(">II", found[112:]) == (200_000, 400_000)


def test_measurements_lie_where_the_page_puts_them() -> None:
    d = device(soc=0.3)
    assert len(block(d, 100, 40)) == 80
    assert [u16(d, a) for a in (101, 102, 103, 108, 111, 112)] == [1, 1, 0, 49871, 3000, 1000]
    assert [i32(d, a) for a in (104, 106, 113, 115, 117, 119)] == [
        0, 0, 200_000, 200_000, 280_000, 120_000,
    ]  # fmt: skip
    assert [u16(d, a) for a in (121, 122)] == [210, 190]
    assert u16(d, 109) == round(d.container.battery.dc_voltage_v * 10)
    assert u16(d, 138) - u16(d, 139) == 20


def test_a_running_container_shows_power_setpoint_and_counters() -> None:
    d = device()
    start(d)
    d.refresh(1 * S)
    assert d.write(1 * S, 200, words(-150_000)) is None
    d.refresh(4 * S)
    assert i32(d, 104) == pytest.approx(-150_000, abs=100)
    assert i32(d, 123) == i32(d, 200) == -150_000
    assert u16(d, 125) == 20
    assert struct.unpack(">h", block(d, 110, 1))[0] < 0
    d.refresh(100 * S)
    assert int.from_bytes(block(d, 130, 4), "big") > 0
    assert i32(d, 128) == 1 << 2


def test_the_image_counter_advances_by_one_and_wraps() -> None:
    d = device()
    d.image_counter = 65_534
    seen = []
    for k in range(3):
        d.refresh(k * S)
        seen.append(u16(d, 100))
    assert seen == [65_535, 0, 1]


def test_between_refreshes_the_image_stands_still() -> None:
    d = device()
    start(d)
    before = block(d, 100, 40)
    assert d.write(S, 200, words(1_000)) is None
    assert block(d, 100, 40) == before


def test_a_frozen_device_shows_the_old_image_while_it_lives_on() -> None:
    d = device()
    start(d)
    d.refresh(S)
    d.frozen = True
    before = block(d, 100, 40)
    d.write(S, 200, words(90_000))
    d.refresh(4 * S)
    assert block(d, 100, 40) == before
    assert d.container.path.power_w > 80_000


@pytest.mark.parametrize(
    ("address", "count"),
    [(59, 2), (60, 1), (99, 1), (99, 2), (139, 2), (140, 1), (199, 1), (206, 1), (100, 0)],
)
def test_reads_beyond_the_listed_registers_have_no_address(address: int, count: int) -> None:
    assert device().read(0, address, count) is Refusal.ADDRESS


def test_the_control_block_reads_back_and_the_command_reads_as_zero() -> None:
    d = device()
    start(d)
    assert d.write(0, 205, [77]) is None
    assert struct.unpack(">iHHHH", block(d, 200, 6)) == (0, 0, 1, 0, 77)


@pytest.mark.parametrize(
    ("address", "value"),
    [(202, 0), (202, 5), (203, 2), (204, 1), (204, 4), (205, 9), (205, 601)],
)
def test_values_out_of_range_are_refused_as_values(address: int, value: int) -> None:
    assert device().write(0, address, [value]) is Refusal.VALUE


@pytest.mark.parametrize(
    ("address", "values"),
    [(200, [0]), (201, [0]), (201, [0, 1]), (100, [0]), (0, [1]), (139, [1])],
)
def test_half_setpoints_and_measurements_cannot_be_written(address: int, values: list[int]) -> None:
    assert device().write(0, address, values) is Refusal.DEVICE


@pytest.mark.parametrize(("address", "values"), [(60, [1]), (199, [0, 0, 0]), (205, [50, 1])])
def test_writes_beyond_the_listed_registers_have_no_address(
    address: int, values: list[int]
) -> None:
    assert device().write(0, address, values) is Refusal.ADDRESS


def test_a_write_with_one_wrong_value_changes_nothing() -> None:
    d = device()
    assert d.write(0, 200, [*words(5_000), 1, 1, 0, 5]) is Refusal.VALUE
    assert struct.unpack(">iHHHH", block(d, 200, 6)) == (0, 0, 0, 3, 50)


def test_a_start_under_a_fault_is_refused_by_the_device() -> None:
    d = device()
    assert d.write(0, 202, [4]) is None
    d.refresh(0)
    assert (u16(d, 101), i32(d, 126)) == (0, 1)
    assert d.write(0, 202, [1]) is Refusal.DEVICE


def test_the_meter_shows_frequency_voltages_and_the_sum_of_power() -> None:
    meter = MeterRegisters(lambda _ns: 49.5, lambda: -1234.0)
    found = block(meter, 19000, 52)
    assert struct.unpack(">fff", found[:12]) == (230, 230, 230)
    assert struct.unpack(">f", found[52:56]) == (-1234,)
    assert struct.unpack(">f", found[100:]) == (49.5,)
    assert not any(found[12:52])
    assert not any(found[56:100])


@pytest.mark.parametrize(("address", "count"), [(18999, 1), (19051, 2), (19052, 1), (0, 1)])
def test_all_else_of_the_meter_has_no_address(address: int, count: int) -> None:
    meter = MeterRegisters(lambda _ns: 50.0, lambda: 0.0)
    assert meter.read(0, address, count) is Refusal.ADDRESS
    assert meter.write(0, address, [0] * count) is Refusal.ADDRESS


def test_a_held_meter_keeps_its_values_until_let_go() -> None:
    meter = MeterRegisters(lambda ns: 50 + ns / S, lambda: 0.0)
    meter.hold(0, held=True)
    meter.hold(S, held=True)
    assert meter.read(S, 19050, 2) == struct.pack(">f", 50)
    meter.hold(S, held=False)
    assert meter.read(S, 19050, 2) == struct.pack(">f", 51)
