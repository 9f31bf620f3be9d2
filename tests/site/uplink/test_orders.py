"""What a site obeys: genuine commands, each once, and a stop always."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tenhertz.link.schema_pb2 import (
    Command,
    Contract,
    Contracts,
    Plan,
    Resume,
    Setpoint,
    Step,
    Stop,
)
from tenhertz.link.signature import sign
from tenhertz.site.uplink.orders import Orders
from tenhertz.store import StoreTrouble

NOW_NS = 1_800_000_000_000_000_000
SECOND_NS = 1_000_000_000
KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "uplink.sqlite"


@pytest.fixture
def orders(path: Path):
    made = Orders(path, "site", {"fleet": KEY.public_key()}, ["fcr-n", "fcr-d-up"])
    yield made
    made.close()


def command(sequence: int = 1, *, source: str = "site", expires_s: float = 60, **order) -> Command:
    return Command(
        version=2,
        source=source,
        sequence=sequence,
        issued_ns=NOW_NS,
        expires_ns=NOW_NS + int(expires_s * SECOND_NS),
        **order,
    )


def signed(one: Command, key=KEY, name="fleet"):
    return sign(one, name, key)


def setpoint(power_w: float, for_s: float = 600) -> Setpoint:
    return Setpoint(power_w=power_w, until_ns=NOW_NS + int(for_s * SECOND_NS))


def test_a_setpoint_holds_until_its_end_also_after_a_restart(orders: Orders, path: Path) -> None:
    answer = orders.take(signed(command(setpoint=setpoint(-5e4))), NOW_NS)
    assert answer is not None
    assert answer.accepted
    again = Orders(path, "site", {"fleet": KEY.public_key()})
    for one in (orders, again):
        assert one.power_at(NOW_NS + 599 * SECOND_NS) == (-5e4, NOW_NS + 600 * SECOND_NS)
        assert one.power_at(NOW_NS + 600 * SECOND_NS) is None
    again.close()


def test_a_command_that_comes_twice_is_done_once(orders: Orders) -> None:
    one = signed(command(5, resume=Resume()))
    first, second = orders.take(one, NOW_NS), orders.take(one, NOW_NS)
    assert first is not None
    assert second is not None
    assert first.command is not None
    assert second.command is None
    assert second.accepted


@pytest.mark.parametrize(
    ("late", "why"),
    [
        (command(4, resume=Resume()), "newer command"),
        (command(6, expires_s=-1, resume=Resume()), "expired"),
        (command(6, source="elsewhere", resume=Resume()), "for 'elsewhere'"),
        (command(6, setpoint=setpoint(float("nan"))), "no number"),
        (command(6, setpoint=setpoint(1.0, 40 * 86400)), "32 days"),
        (command(6), "not known"),
        (command(6, plan=Plan(steps=[Step(start_ns=5, end_ns=5)])), "ends before"),
        (
            command(6, contracts=Contracts(contracts=[Contract(product="gold")])),
            "'gold' is not one",
        ),
        (
            command(6, contracts=Contracts(contracts=[Contract(product="fcr-n", capacity_w=-1)])),
            "capacity",
        ),
    ],
)
def test_what_is_refused_says_why(orders: Orders, late: Command, why: str) -> None:
    orders.take(signed(command(5, setpoint=setpoint(1.0))), NOW_NS)
    answer = orders.take(signed(late), NOW_NS)
    assert answer is not None
    assert not answer.accepted
    assert answer.command is None
    assert why in answer.text
    assert orders.power_at(NOW_NS) == (1.0, NOW_NS + 600 * SECOND_NS)


@pytest.mark.parametrize(
    "forged", [signed(command(1, stop=Stop()), OTHER), signed(command(1, stop=Stop()), KEY, "who")]
)
def test_what_no_trusted_key_signed_gets_no_answer(orders: Orders, forged) -> None:
    assert orders.take(forged, NOW_NS) is None
    assert orders.forged == 1


def test_a_genuine_stop_passes_whatever_its_number_and_age(orders: Orders) -> None:
    orders.take(signed(command(9, setpoint=setpoint(7.0))), NOW_NS)
    stop = signed(command(1, expires_s=-9999, stop=Stop()))
    for _ in range(2):
        answer = orders.take(stop, NOW_NS)
        assert answer is not None
        assert answer.command is not None
    assert orders.power_at(NOW_NS) is None  # after a stop no plan goes on by itself


def test_a_stop_passes_although_nothing_can_be_remembered(orders: Orders) -> None:
    orders.take(signed(command(1, setpoint=setpoint(7.0))), NOW_NS)
    orders.close()
    answer = orders.take(signed(command(2, stop=Stop())), NOW_NS)
    assert answer is not None
    assert answer.accepted
    with pytest.raises(StoreTrouble):
        orders.take(signed(command(3, setpoint=setpoint(7.0))), NOW_NS)


def test_a_plan_is_followed_step_by_step_and_a_setpoint_comes_first(orders: Orders) -> None:
    steps = [
        Step(start_ns=NOW_NS, end_ns=NOW_NS + 10, power_w=1.0),
        Step(start_ns=NOW_NS + 20, end_ns=NOW_NS + 30, power_w=2.0),
    ]
    orders.take(signed(command(1, plan=Plan(steps=steps))), NOW_NS)
    powers = [orders.power_at(NOW_NS + at) for at in (0, 9, 10, 20, 30)]
    assert [power and power[0] for power in powers] == [1.0, 1.0, None, 2.0, None]
    orders.take(signed(command(2, setpoint=setpoint(9.0, 5e-9))), NOW_NS)
    assert orders.power_at(NOW_NS + 4) == (9.0, NOW_NS + 5)
    assert orders.power_at(NOW_NS + 5) == (1.0, NOW_NS + 10)


def test_contracts_replace_those_before(orders: Orders) -> None:
    assert orders.contracts is None
    one = Contract(product="fcr-n", capacity_w=1e5, start_ns=1, end_ns=2)
    orders.take(signed(command(1, contracts=Contracts(contracts=[one]))), NOW_NS)
    assert orders.contracts is not None
    assert orders.contracts.contracts == [one]
    orders.take(signed(command(2, contracts=Contracts())), NOW_NS)
    assert orders.contracts is not None
    assert not orders.contracts.contracts
