"""Commands to a site: what is signed and sent, and what its answers come to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenhertz.link.signature import new_key

from .fleet_server import CONFIG, Call
from .fleet_site import FakeSite, free_port, mosquitto, result

PLAN = "start,end,power_kw\n2027-01-15T08:00:00Z,2027-01-15T10:00:00+01:00,-50.5\n"
CONTRACTS = "product,capacity_kw,start,end\nfcr-n,100,2027-01-15T08:00:00Z,2027-01-15T09:00:00Z\n"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return Call(monkeypatch, capsys)


@pytest.fixture
def public(tmp_path: Path) -> str:
    return new_key(tmp_path / "fleet.key")


@pytest.fixture
def config(tmp_path: Path, public: str) -> Path:
    """A configuration whose broker is on a port that nobody listens on."""
    path = tmp_path / "fleet.toml"
    mqtt = f'[mqtt]\nport = {free_port()}\n[command]\nkey_file = "fleet.key"\n'
    path.write_text(CONFIG + mqtt)
    (tmp_path / "plan.csv").write_text(PLAN)
    (tmp_path / "contracts.csv").write_text(CONTRACTS)
    return path


@pytest.fixture
def site(config: Path, public: str) -> Iterator[FakeSite]:
    with mosquitto(config.parent) as port:
        command = '[command]\nkey_file = "fleet.key"\n'
        config.write_text(CONFIG + f"[mqtt]\nport = {port}\n" + command)
        found = FakeSite(lambda: public, port)
        with found.running():
            yield found


@pytest.mark.interop
@pytest.mark.slow
def test_every_command_arrives_signed_and_its_answer_counts(
    call: Call, config: Path, site: FakeSite
) -> None:
    site.answer = lambda command: [result(command)]
    folder = config.parent
    assert call("stop", config, "site-1", "--reason", "smoke").code == 0
    assert call("resume", config, "site-1").code == 0
    assert call("set-power", config, "site-1", "--power-kw", -50, "--for-s", 600).code == 0
    assert call("plan", config, "site-1", folder / "plan.csv").code == 0
    done = call("contracts", config, "site-1", folder / "contracts.csv", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["accepted"] is True

    stop, resume, power, plan, contracts = site.taken
    assert stop.WhichOneof("order") == "stop"
    assert (stop.source, stop.reason) == ("site-1", "smoke")
    assert resume.WhichOneof("order") == "resume"
    assert power.setpoint.power_w == -50_000
    assert power.setpoint.until_ns == power.issued_ns + 600 * 10**9
    (step,) = plan.plan.steps
    assert (step.power_w, step.end_ns - step.start_ns) == (-50_500, 3600 * 10**9)
    assert step.start_ns == 1_800_000_000 * 10**9
    (contract,) = contracts.contracts.contracts
    assert (contract.product, contract.capacity_w) == ("fcr-n", 100_000)
    sequences = [command.sequence for command in site.taken]
    assert sequences == sorted(set(sequences))
    for command in site.taken:
        assert command.issued_ns < command.expires_ns <= command.issued_ns + 60 * 10**9
    assert site.forged == 0


@pytest.mark.interop
@pytest.mark.slow
def test_only_the_answer_to_this_command_counts(call: Call, config: Path, site: FakeSite) -> None:
    site.answer = lambda command: [
        result(command, later=-1),
        result(command, key="another"),
        result(command, accepted=False, text="the key\x1b is worn"),
    ]
    done = call("resume", config, "site-1")
    assert done.code == 1
    assert "refuses: the key? is worn" in done.err


@pytest.mark.interop
@pytest.mark.slow
def test_a_site_that_does_not_answer_is_not_taken_for_obeying(
    call: Call, config: Path, site: FakeSite
) -> None:
    done = call("resume", config, "site-1", "--timeout-s", "0.5", "--json")
    assert done.code == 4
    found = json.loads(done.out)
    assert (found["sent"], found["accepted"]) == (True, None)
    assert "not confirmed" in found["text"]
    assert len(site.taken) == 1


@pytest.mark.interop
@pytest.mark.slow
def test_a_stop_is_sent_again_until_it_is_answered(
    call: Call, config: Path, site: FakeSite
) -> None:
    site.answer = lambda command: [result(command)] if len(site.taken) > 1 else []
    done = call("stop", config, "site-1", "--timeout-s", "30")
    assert done.code == 0, done.err
    assert len(site.taken) == 2
    assert site.taken[0] == site.taken[1]


@pytest.mark.slow
def test_without_a_broker_nothing_is_said_to_be_sent(call: Call, config: Path) -> None:
    done = call("stop", config, "site-1", "--timeout-s", "0.5")
    assert done.code == 4
    assert done.err.startswith("stop: not sent: no connection to 127.0.0.1")
    assert done.err.count("\n") == 1


def test_what_a_command_needs_is_told(call: Call, config: Path) -> None:
    whole = config.read_text()
    for addition, expected in (
        ('[command]\nkey_file = "fleet.key"\n', "there is no [mqtt] table"),
        ("[mqtt]\n", "there is no [command] table"),
        ('[mqtt]\n[command]\nkey_file = "none.key"\n', "none.key"),
        (
            '[mqtt]\nca_file = "none.pem"\ntls = true\n[command]\nkey_file = "fleet.key"\n',
            "none.pem",
        ),
    ):
        config.write_text(CONFIG + addition)
        done = call("stop", config, "site-1")
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert expected in done.err
    config.write_text(whole)
    for name in ("a/b", "#", "+", "", "a\nb"):
        done = call("stop", config, name)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "cannot be a site" in done.err
    done = call("stop", config, "site-1", "--reason", "\udcff")
    assert (done.code, done.err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("verb", "text", "expected"),
    [
        ("plan", "", "the first line must name"),
        ("plan", "start,end\n", "start,end,power_kw"),
        ("plan", PLAN.replace("08:00:00Z", "08:00:00"), "line 2: start"),
        ("plan", PLAN.replace("-50.5", "nan"), "not a number"),
        ("plan", PLAN.replace("-50.5", "-50.5,3"), "4 fields"),
        ("plan", PLAN.replace("-50.5", '"-50.5'), "not CSV"),
        ("plan", PLAN.replace("10:00:00+01", "09:00:00+01"), "start is not before end"),
        ("plan", PLAN + PLAN.splitlines()[1], "before the step above it ends"),
        ("contracts", CONTRACTS.replace(",100,", ",0,"), "above 0"),
        ("contracts", CONTRACTS.replace("fcr-n", ""), "name a product"),
    ],
)
def test_a_mistake_in_a_file_names_its_place(
    call: Call, config: Path, verb: str, text: str, expected: str
) -> None:
    file = config.parent / "input.csv"
    file.write_text(text)
    done = call(verb, config, "site-1", file)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "input.csv" in done.err
    assert expected in done.err


def test_a_plan_larger_than_a_command_is_told(call: Call, config: Path) -> None:
    lines = [
        f"2027-01-15T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z,"
        f"2027-01-15T{(n + 1) // 3600:02}:{(n + 1) // 60 % 60:02}:{(n + 1) % 60:02}Z,1"
        for n in range(4000)
    ]
    file = config.parent / "plan.csv"
    file.write_text("start,end,power_kw\n" + "\n".join(lines))
    done = call("plan", config, "site-1", file)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "send fewer rows" in done.err
