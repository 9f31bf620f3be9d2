"""A real site and a real fleet server with a real broker between them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.site.running import RunningSite, wait_for
from tests.telemetry.server import FleetServer, free_port

from tenhertz.link import Kind
from tenhertz.link.signature import new_key
from tenhertz.site.config import load_config
from tenhertz.store.account import decode_account
from tenhertz.store.embedded import EmbeddedReader

pytestmark = [pytest.mark.interop, pytest.mark.slow]

RULES = """
[[rule]]
name = "too much power"
kind = "above"
rows = "sample"
point = "power_w"
limit = 1000.0
level = "emergency"
stop = true
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def broker(tmp_path: Path):
    port = free_port()
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    process = subprocess.Popen([program, "-c", conf], stderr=subprocess.DEVNULL)
    wait_for(lambda: listens(port), "a broker")
    yield port
    process.terminate()
    process.wait(10)


@pytest.fixture
def fleet(tmp_path: Path, broker: int):
    folder = tmp_path / "fleet"
    folder.mkdir()
    made = FleetServer(folder, broker)
    yield made
    made.close()


def joined(site: RunningSite, broker: int, trusted: str) -> None:
    with site.path.open("a") as file:
        file.write(
            f'\n[uplink]\nfleet = "test"\nport = {broker}\n'
            f'trusted_keys = {{ fleet = "{trusted}" }}\n'
        )


def test_an_emergency_stops_the_site_and_is_confirmed(
    tmp_path: Path, broker: int, fleet: FleetServer
) -> None:
    public = new_key(fleet.folder / "fleet.key")
    (fleet.folder / "rules.toml").write_text(RULES)
    text = fleet.config.read_text().replace('match = "site-*"', 'match = "*"')
    fleet.config.write_text(f'{text}rules = ["rules.toml"]\n[command]\nkey_file = "fleet.key"\n')
    fleet.start()
    site = RunningSite(tmp_path)
    joined(site, broker, public)
    with site:
        wait_for(lambda: site.control and site.control.stopped, "the stop")
        wait_for(site.stopped, "the units to be de-energised")
        wait_for(lambda: fleet.status()["stops_confirmed"], "the confirmation")
        status = fleet.status()
        assert status["alerts_open"] == {"emergency": site.units}
        assert status["stop_slowest_ms"] > 0
        print("sample to alert", status["alert_lag_ms"], "stop", status["stop_slowest_ms"], "ms")
        assert site.end() == 0
    site.assert_all_stored()


def test_all_that_a_site_took_is_in_the_fleet(
    tmp_path: Path, broker: int, fleet: FleetServer
) -> None:
    fleet.config.write_text(fleet.config.read_text().replace('match = "site-*"', 'match = "*"'))
    fleet.start()
    site = RunningSite(tmp_path)
    joined(site, broker, new_key(tmp_path / "other.key"))
    with site:
        site.wait_for_delivery()
        fleet.kill("ingest")
        site.ticks_go_on(10)
        fleet.kill("writer")
        site.ticks_go_on(10)
        assert site.end() == 0
        done = subprocess.run(
            [sys.executable, "-m", "tenhertz.site.uplink", str(site.path), "--until-sent"],
            timeout=30,
        )
        assert done.returncode == 0
    taken = site.tally
    assert fleet.stop() == 0
    reader = EmbeddedReader(fleet.data / "store")
    source = load_config(site.path).site.name
    numbers = [
        number
        for unit in ("c1", "c2")
        for number in reader.range(Kind.SAMPLE, source, unit, 0, 1 << 62)["number"].tolist()
    ]
    assert sorted(numbers) == list(range(1, taken + 1))
    accounts = [
        decode_account(body) for key, body in reader.state().state.items() if "account/" in key
    ]
    assert reader.gaps() == []
    assert sum(account.stored for account in accounts if account.kind == Kind.SAMPLE) == taken
