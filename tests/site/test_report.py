"""What the control process tells of itself can be read by whoever looks."""

import math
import os

import pytest

from tenhertz.devices import Condition, Reading
from tenhertz.site.beat import Due, Histogram
from tenhertz.site.config import Frequency, Site, SiteConfig, Unit
from tenhertz.site.controller import Orders
from tenhertz.site.paths import open_parts
from tenhertz.site.plant import Plant
from tenhertz.site.proposal import Decision, Reason
from tenhertz.site.report import OVERLOAD_MEMORY_NS, POST_EVERY_NS, Reporter, spread
from tenhertz.site.status import (
    ENCODE,
    GatewayStatus,
    ParentStatus,
    decode_control,
    decode_gateway,
    decode_parent,
)

START_NS = 50_000_000_000
READING = Reading(1500.0, 0.75, 1e5, 1e5, 0, 0, 0, 20, 3, 1, 0, 1)
ORDERS = Orders(
    Decision(3000.0, 500.0, Reason.RESERVE, Reason.PROTECTION, 200.0),
    stop=False,
    powers_w=[3000.0],
    controlled=[0],
    measured_w=1500.0,
    capacities_w={"fcr-n": 6e4},
    unmet_w=100.0,
    dropped_inbound=4,
)


class Desk:
    """A reporter of two units that are never connected, and the board it posts on."""

    def __init__(self, folder, units=2):
        config = SiteConfig(
            Site("alpha", runtime_dir=str(folder / "run")),
            Frequency("meter", "localhost"),
            tuple(Unit(f"u{n}", "localhost", 100.0, 200.0, port=n + 1) for n in range(units)),
        )
        self.told = []
        self.parts = open_parts(config, create=True)
        self.plant = Plant(config, lambda: START_NS, lambda *words: self.told.append(words), seed=1)
        self.reporter = Reporter(
            self.plant,
            self.parts,
            lambda *words: self.told.append(words),
            lambda: 1_800_000_000_000_000_000,
            "nice",
        )
        self.number = -1
        self.now_ns = START_NS

    def tick(self, orders=ORDERS, skipped=0, late_ns=0, after_ns=POST_EVERY_NS):
        self.number += 1 + skipped
        self.now_ns += after_ns
        due = Due(self.number, self.now_ns - late_ns, late_ns, skipped)
        self.reporter.tick(due, orders, self.now_ns)

    @property
    def status(self):
        return decode_control(self.parts.control.read())

    def close(self):
        self.reporter._rss.close()


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    yield made
    made.close()


def test_a_status_is_posted_in_time_and_the_heart_beats_every_tick(desk):
    desk.tick()
    desk.tick(after_ns=100_000_000)
    assert desk.status.tick == 0
    desk.tick(after_ns=POST_EVERY_NS)
    assert desk.status.tick == 2
    assert desk.parts.control.heartbeat == (3, desk.now_ns)


def test_before_the_first_decision_a_status_can_be_told(desk):
    desk.tick(orders=None)
    status = desk.status
    assert status.reason == "idle"
    assert status.frequency_hz is None
    assert status.signal == "none"
    assert [unit.condition for unit in status.units] == ["absent", "absent"]
    assert [unit.age_ms for unit in status.units] == [-1.0, -1.0]


def test_what_was_decided_is_told(desk):
    desk.plant.watch.measured(49.97, START_NS)
    desk.parts.samples.append([], tally=12)
    desk.parts.mailbox.stop()
    desk.tick()
    status = desk.status
    assert (status.pid, status.scheduling) == (os.getpid(), "nice")
    assert (status.frequency_hz, status.signal) == (49.97, "fresh")
    assert (status.target_w, status.baseline_w, status.power_w) == (2900.0, 500.0, 1500.0)
    assert (status.reason, status.limited_by, status.short_w) == ("reserve", "protection", 300.0)
    assert status.capacities_w == {"fcr-n": 6e4}
    assert (status.samples, status.stopped, status.dropped_inbound) == (12, True, 4)
    assert status.rss_mb > 1


def test_each_unit_is_told_by_its_session(desk):
    session = desk.plant.lines[1].session
    session.reading = READING
    session.measured_at_ns = START_NS
    session.round_trip_ns = 7_000_000
    session.counters.samples = 9
    session.counters.late, session.counters.garbage = 2, 1
    desk.plant.image.conditions[1] = Condition.CONTROLLED
    desk.plant.image.setpoints_w[1] = 1600.0
    desk.tick()
    unit = desk.status.units[1]
    assert (unit.name, unit.condition) == ("u1", "controlled")
    assert (unit.power_w, unit.setpoint_w, unit.soc) == (1500.0, 1600.0, 0.75)
    assert (unit.age_ms, unit.round_trip_ms) == (POST_EVERY_NS / 1e6, 7.0)
    assert (unit.samples, unit.stray) == (9, 3)


def test_skipped_ticks_are_told_and_count_as_overload_for_a_while(desk):
    desk.tick()
    desk.tick(skipped=3, late_ns=20_000_000)
    assert desk.status.missed_ticks == 3
    assert desk.status.overloaded
    texts = [words[0] for words in desk.told]
    assert "3 ticks skipped: the loop was too late" in texts
    assert any(text.startswith("overload begins") for text in texts)

    desk.tick(after_ns=OVERLOAD_MEMORY_NS)
    assert not desk.status.overloaded
    assert desk.told[-1][0].startswith("overload is over")
    assert desk.status.missed_ticks == 3


def test_the_notice_of_many_units_fits_its_board(tmp_path):
    desk = Desk(tmp_path, units=300)
    for line in desk.plant.lines:
        line.session.name = "n" * 60
        line.session.reading = READING._replace(power_w=-123456.789)
        line.session.counters.samples = 2**40
    desk.tick()
    desk.tick(after_ns=4 * POST_EVERY_NS)
    assert len(desk.status.units) == 300
    desk.close()


def test_the_other_boards_read_as_they_were_posted():
    gateway = GatewayStatus(5, 6, 7, 8, 9, 10, "database is locked", 1.5)
    parent = ParentStatus(5, {"control": 2, "gateway": 0})
    assert decode_gateway(ENCODE(gateway)) == gateway
    assert decode_parent(ENCODE(parent)) == parent


def test_a_spread_is_four_numbers_and_none_without_durations():
    histogram = Histogram()
    assert math.isnan(spread(histogram).p50)
    for ms in range(1, 1001):
        histogram.add(ms * 1_000_000)
    found = spread(histogram)
    assert (round(found.p50), round(found.p99), round(found.p999)) == (500, 990, 999)
    assert found.max == 1000.0
