"""Rules, alerts and stops together, across a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenhertz.telemetry.alerts import AlertBook
from tenhertz.telemetry.config import load_fleet
from tenhertz.telemetry.watch import ALERT_FILE, Watch

from .frames import NOW_NS, cells

SECOND_NS = 1_000_000_000
FLEET = """
[fleet]
name = "test"
[[source]]
match = "gate"
rules = ["rules.toml"]
"""
RULES = """
[[rule]]
name = "cell far too high"
kind = "above"
rows = "cell"
point = "voltage_v"
limit = 4.0
clear = 3.9
level = "emergency"
stop = true
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "fleet.toml").write_text(FLEET)
    (tmp_path / "rules.toml").write_text(RULES)
    (tmp_path / "var").mkdir()
    return tmp_path / "fleet.toml"


class Watched:
    """A watch with the stops that it ordered."""

    def __init__(self, path: Path) -> None:
        self.stops: list[str] = []
        self.watch = Watch(load_fleet(path), path, lambda source, _why: self.stops.append(source))
        self.watch.start()

    def see(self, millivolts: int, at_s: float, source: str = "gate") -> None:
        at_ns = NOW_NS + int(at_s * SECOND_NS)
        frame = cells(packs=2, voltage_mv=millivolts, at_ns=at_ns, received_ns=at_ns, source=source)
        self.watch.look(frame, at_ns)

    def close(self) -> None:
        self.watch.close()


def opened(path: Path) -> list[tuple[str, str]]:
    book = AlertBook(path.parent / "var" / ALERT_FILE)
    found = sorted((alert.entity, alert.level) for alert in book.open_alerts())
    book.close()
    return found


def test_an_emergency_orders_a_stop_at_once_and_is_kept(path: Path) -> None:
    one = Watched(path)
    one.see(3300, 0)
    assert one.stops == []
    one.see(4100, 0.1)
    assert one.stops  # before anything was written
    assert set(one.stops) == {"gate"}
    one.close()
    assert opened(path) == [("p0", "emergency"), ("p1", "emergency")]
    assert one.watch.open_alerts() == {"emergency": 2}


def test_what_still_holds_after_a_restart_orders_no_second_stop(path: Path) -> None:
    one = Watched(path)
    one.see(4100, 0)
    one.close()
    two = Watched(path)
    two.see(4100, 1)
    assert two.stops == []
    two.see(3300, 2)
    two.close()
    assert opened(path) == []
    three = Watched(path)
    three.see(4100, 3)
    assert three.stops
    three.close()


def test_sources_without_rules_are_not_watched(path: Path) -> None:
    path.write_text(FLEET + '[[source]]\nmatch = "other"\n')
    one = Watched(path)
    one.see(4100, 0, source="other")
    one.see(4100, 0, source="nobody")
    one.close()
    assert one.stops == []
    assert opened(path) == []
