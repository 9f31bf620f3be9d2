"""A site's talk with the fleet over links that are good, bad, cut and cut again."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tenhertz.link import Kind
from tenhertz.store import LossRow
from tenhertz.telemetry.validate import FUTURE

from .world import SECOND_NS, World

HOUR_NS = 3600 * SECOND_NS


def test_every_row_arrives_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(20)
    world.until_held()
    assert world.check()[Kind.SAMPLE] == (400, 0)
    assert world.session.births == 1
    assert world.intake.counts.duplicates == 0


def test_live_rows_are_there_within_a_second(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(5)
    for _ in range(20):
        world.run(0.5)
        assert world.utc_ns - world.newest_ns < 0.6 * SECOND_NS


@pytest.mark.slow
def test_after_an_hour_without_a_link_the_newest_comes_first(tmp_path: Path) -> None:
    world = World(tmp_path, rate_bps=2e6, latency_s=0.05)
    world.run(5)
    world.cut()
    world.run(3600)
    world.mend()
    world.run(3)
    assert world.utc_ns - world.newest_ns < 2 * SECOND_NS
    world.until_held()
    assert world.check()[Kind.SAMPLE][1] == 0


@pytest.mark.slow
def test_a_mobile_link_of_50_kbit_s_keeps_the_newest_state_within_seconds(tmp_path: Path) -> None:
    """2 s latency, 5 % loss, and half an hour of backlog to carry beside the live rows."""
    world = World(tmp_path, rate_bps=50e3, latency_s=1.0, loss=0.05)
    world.cut()
    world.run(1800)
    world.mend()
    world.run(20)
    ages_s = []
    for _ in range(60):
        world.run(1)
        ages_s.append((world.utc_ns - world.newest_ns) / 1e9)
    ages_s.sort()
    assert ages_s[len(ages_s) // 2] < 4.0
    assert ages_s[-1] < 8.0
    assert world.session.status(0, 0).waiting_rows > 0  # the backlog was there all the time
    world.until_held(7200)
    world.check()
    # Few rows went over twice, although the link was slow to answer.
    assert world.intake.counts.duplicates < 0.05 * world.taken


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_cuts_and_crashes_at_any_time_lose_and_repeat_nothing(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    world = World(tmp_path, rate_bps=200e3, latency_s=0.2, loss=0.01, seed=seed)
    for _ in range(25):
        world.run(chance.uniform(0.2, 8))
        what = chance.choice(["cut", "uplink", "fleet", "deaf"])
        if what == "cut":
            world.cut()
            world.run(chance.uniform(0.1, 20))
            world.mend()
        elif what == "uplink":
            world.kill_uplink()
        elif what == "fleet":  # what it acknowledged it still has
            world.kill_fleet(world.intake.books.everything())
        else:
            world.fleet_up = False
            world.run(chance.uniform(0.1, 15))
            world.fleet_up = True
    world.until_held()
    world.check()


def test_what_retention_deletes_is_told_as_gone(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.cut()
    world.run(10)
    deleted = 0
    while found := world.store.retain(world.utc_ns - 4 * SECOND_NS, 1e9, world.utc_ns, 7):
        deleted += found
    world.run(2)
    world.mend()
    world.until_held()
    stored, lost = world.check()[Kind.SAMPLE]
    assert stored + lost == world.taken
    assert lost > 0
    rows = world.session._rows
    assert rows is not None
    gaps = list(world.intake.books.account("site", rows.stream, 1).closed().gaps())
    assert {gap.cause for gap in gaps} == {"older than the site keeps"}
    assert sum(gap.rows for gap in gaps) == lost


def test_losses_before_the_database_go_up_as_rows(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(1)
    world.put([LossRow(world.utc_ns, 1, 17, "ring overrun"), LossRow(world.utc_ns, 0, 5, "size")])
    world.until_held()
    assert world.check()[Kind.LOSS] == (2, 0)


def test_a_clock_set_back_by_an_hour_loses_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(5)
    world.utc_offset_ns -= HOUR_NS
    world.run(5)
    world.until_held()
    assert world.check()[Kind.SAMPLE] == (200, 0)
    assert not world.intake.counts.rejected
    assert world.session.births == 2


def test_a_clock_set_forward_by_an_hour_and_back_is_accounted_for(tmp_path: Path) -> None:
    """The fleet believes no rows from the future; it counts them."""
    world = World(tmp_path)
    world.run(5)
    world.utc_offset_ns += HOUR_NS
    world.run(5)
    world.utc_offset_ns -= HOUR_NS
    world.run(5)
    world.until_held()
    assert set(world.intake.counts.rejected) == {FUTURE}
    samples = [key for key in world.stored if key[1] == Kind.SAMPLE]
    assert len(samples) == 200
    assert world.intake.counts.duplicates == 0


def test_a_fleet_that_holds_more_than_the_site_numbered_is_not_sent_anything(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    world.run(3)
    rows = world.session._rows
    assert rows is not None
    key = ("site", rows.stream, int(Kind.SAMPLE))
    book = world.intake.books.hold(key, [(1, 5000)], 5000)
    book.durable.add(1, 5000)
    world.kill_uplink()
    sent = world.intake.counts.rows
    world.run(3)
    assert world.intake.counts.rows == sent
    assert "older copy" in world.session.trouble


def test_nonsense_from_the_fleet_is_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    for message in (b"\xff\xff", b"", b"\x0a\x00"):
        world.session.hear(message, world.now_ns, world.utc_ns)
    assert world.session.broken == 2
