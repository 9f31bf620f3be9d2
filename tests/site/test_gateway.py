"""The gateway: what the ring holds comes into the database, whatever happens to either."""

import sqlite3
import time
from contextlib import closing

import pytest

from tenhertz.site.config import Frequency, Ring, Site, SiteConfig, Store, Unit
from tenhertz.site.gateway import DIED, UNREADABLE, Gateway
from tenhertz.site.paths import open_parts
from tenhertz.site.record import Event, Sample, Tick, pack_event, pack_sample, pack_tick
from tenhertz.site.status import decode_gateway
from tenhertz.store import open_for_reading
from tenhertz.store import sqlite as sqlite_module

CAPACITY = 1024  # the least
NOW_NS = time.time_ns()  # what is older than the retention would go


class Bench:
    """Control's side of the rings, filled by the test, and a gateway that is turned by hand."""

    def __init__(self, tmp_path):
        self.config = SiteConfig(
            Site("alpha", runtime_dir=str(tmp_path / "run")),
            Frequency("meter", "localhost"),
            (Unit("a", "localhost", 100.0, 200.0), Unit("b", "localhost", 100.0, 200.0, port=1)),
            ring=Ring(hold_s=1.0),
            store=Store(sync="normal"),
        )
        self.path = tmp_path / "samples.sqlite"
        self.parts = open_parts(self.config, create=True)
        self.parts.samples.open_for_writing()
        assert self.parts.samples.capacity == CAPACITY
        self.tick_number = 0
        self.start()

    def start(self):
        self.gateway = Gateway(self.config, self.parts, self.path)

    def kill(self):
        """The gateway dies without a word; another one starts."""
        if self.gateway._store is not None:
            self.gateway._store.close()
        self.start()

    def tick(self, samples=2, extra=()):
        """One tick of the control process."""
        number = self.parts.samples.state.tally
        self.tick_number += 1
        bodies = [
            pack_sample(
                Sample(n % 2, 3, 10, self.tick_number, NOW_NS, number + n, 1, 1, 0.5, 1, 1, 20, 0)
            )
            for n in range(1, samples + 1)
        ]
        late = Tick(3, 2, 0, self.tick_number, NOW_NS, number + samples, 50.0, 0.0, 0.0, 0.0)
        self.parts.samples.append([*bodies, *extra, pack_tick(late)], tally=samples)

    def ticks(self, count, samples=2):
        for _ in range(count):
            self.tick(samples)

    def rows(self, query):
        with open_for_reading(self.path) as db:
            return db.execute(query).fetchall()

    @property
    def numbers(self):
        return [row[0] for row in self.rows("SELECT number FROM sample ORDER BY id")]

    @property
    def losses(self):
        return self.rows("SELECT samples, cause FROM loss ORDER BY rowid")

    @property
    def status(self):
        return decode_gateway(self.parts.gateway.read())

    def assert_taken_is_stored_and_lost(self):
        taken = self.parts.samples.state.tally
        lost = sum(count for count, _ in self.losses)
        assert len(self.numbers) + lost == taken
        assert len(set(self.numbers)) == len(self.numbers)
        assert (self.status.stored_rows, self.status.lost) == (len(self.numbers), lost)
        assert self.status.backlog == 0


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_module, "BUSY_TIMEOUT_S", 0.0)
    made = Bench(tmp_path)
    yield made
    made.kill()


def test_everything_in_the_ring_is_stored_and_told(bench):
    bench.ticks(10)
    bench.parts.events.append([pack_event(Event(NOW_NS, 1, 2, "unit b faulted"))])

    assert bench.gateway.turn()
    assert bench.numbers == list(range(1, 21))
    assert len(bench.rows("SELECT * FROM tick")) == 10
    assert bench.rows("SELECT * FROM event") == [(1, NOW_NS, 1, 2, "unit b faulted")]
    assert bench.losses == []
    bench.assert_taken_is_stored_and_lost()
    assert bench.status.trouble == ""


def test_a_turn_with_nothing_to_do_is_done(bench):
    assert bench.gateway.turn()
    assert bench.gateway.turn()
    assert bench.numbers == []


def test_after_a_kill_between_batches_nothing_is_stored_twice_or_skipped(bench):
    for _ in range(5):
        bench.ticks(7)
        bench.gateway.turn()
        bench.kill()
        bench.ticks(3)
    bench.gateway.turn()
    assert bench.numbers == list(range(1, 101))
    bench.assert_taken_is_stored_and_lost()


def test_a_small_batch_leaves_the_rest_for_the_next_turn(bench, monkeypatch):
    monkeypatch.setattr("tenhertz.site.gateway.MOST_A_BATCH", 10)
    bench.ticks(9)
    assert not bench.gateway.turn()
    assert bench.status.backlog == 17
    while not bench.gateway.turn():
        pass
    assert bench.numbers == list(range(1, 19))


def test_while_the_database_is_locked_the_ring_holds_the_rows(bench, capfd):
    bench.ticks(2)
    bench.gateway.turn()
    with closing(sqlite3.connect(bench.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        bench.ticks(5)
        for _ in range(3):
            assert not bench.gateway.turn()
        assert "locked" in bench.status.trouble
        assert bench.status.failures == 3
        assert bench.status.stored_rows == 4
        assert bench.status.backlog == 15
        other.execute("ROLLBACK")
    told = capfd.readouterr().out
    assert told.count("database takes no rows") == 1, "one line, not one a turn"

    assert bench.gateway.turn()
    assert bench.numbers == list(range(1, 15))
    assert bench.status.trouble == ""
    assert "database takes rows again" in capfd.readouterr().out


def test_while_the_disk_is_full_the_ring_holds_the_rows(bench, monkeypatch):
    bench.ticks(2)
    bench.gateway.turn()
    bench.kill()
    real = sqlite3.connect

    def on_a_full_disk(*arguments, **options):
        db = real(*arguments, **options)
        db.execute("PRAGMA max_page_count = 1")  # SQLite takes the present size as the least
        return db

    with monkeypatch.context() as full:
        full.setattr(sqlite_module.sqlite3, "connect", on_a_full_disk)
        bench.ticks(200)
        for _ in range(3):
            assert not bench.gateway.turn()
        assert "full" in bench.status.trouble

    assert bench.gateway.turn()
    assert bench.numbers == list(range(1, 405))
    bench.assert_taken_is_stored_and_lost()


@pytest.mark.parametrize("overrun", [0, 1, 300, 2000])
def test_what_the_ring_could_not_hold_is_lost_to_the_sample(bench, overrun):
    bench.ticks(2)
    bench.gateway.turn()
    with closing(sqlite3.connect(bench.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        bench.ticks(CAPACITY // 3 + overrun)
        bench.gateway.turn()
        other.execute("ROLLBACK")
    while not bench.gateway.turn():
        pass
    assert bool(bench.losses) == bool(overrun)
    assert {cause for _, cause in bench.losses} <= {"ring overrun"}
    bench.assert_taken_is_stored_and_lost()


def test_an_overrun_that_took_only_ticks_is_no_loss(bench):
    bench.ticks(1)
    bench.gateway.turn()
    bench.ticks(CAPACITY + 50, samples=0)
    bench.tick(samples=3)
    bench.gateway.turn()
    assert bench.losses == []
    assert bench.numbers == [1, 2, 3, 4, 5]


def test_samples_counted_by_a_control_process_that_died_are_told_as_such(bench):
    bench.ticks(2)
    bench.parts.samples.append([], tally=2)  # it died between its count and its publication
    bench.ticks(2)
    bench.gateway.turn()
    assert bench.losses == [(2, DIED)]
    bench.assert_taken_is_stored_and_lost()


def test_a_record_of_unknown_kind_is_skipped_and_told_once(bench, capfd):
    bench.tick(extra=[b"\x63" + bytes(71)])
    bench.ticks(2)

    assert bench.gateway.turn()
    assert bench.gateway.turn()
    assert bench.numbers == list(range(1, 7))
    texts = bench.rows("SELECT severity, text FROM event")
    assert texts == [(2, "1 records of the ring skipped: their kind is unknown to this version")]
    assert capfd.readouterr().out.count("records of the ring skipped") == 1
    bench.assert_taken_is_stored_and_lost()


def test_samples_of_unknown_kind_are_lost_to_the_sample(bench):
    bench.ticks(1)
    bench.parts.samples.append([b"\x63" + bytes(71)] * 3, tally=3)
    bench.ticks(1)
    bench.gateway.turn()
    assert bench.losses == [(3, UNREADABLE)]
    bench.assert_taken_is_stored_and_lost()


def folder(path):
    path.mkdir()


def no_database(path):
    path.write_bytes(b"x" * 5000)


def newer(path):
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize("spoil", [folder, no_database, newer])
def test_a_database_that_cannot_be_used_is_told_once_and_the_ring_holds(bench, spoil, capfd):
    spoil(bench.path)
    bench.ticks(5)
    for _ in range(4):
        assert not bench.gateway.turn()
    assert capfd.readouterr().out.count("database takes no rows") == 1
    assert bench.status.failures == 4
    assert str(bench.path) in bench.status.trouble
    assert bench.status.backlog == 15

    # The operator moves it away.
    if bench.path.is_dir():
        bench.path.rmdir()
    else:
        bench.path.unlink()
    assert bench.gateway.turn()
    bench.assert_taken_is_stored_and_lost()


def test_a_database_that_was_removed_is_made_again_and_what_the_ring_has_is_kept(bench):
    bench.ticks(3)
    bench.gateway.turn()
    bench.path.unlink()
    bench.ticks(2)
    bench.gateway.turn()
    assert bench.gateway.turn()
    assert bench.numbers == list(range(1, 11))
    bench.assert_taken_is_stored_and_lost()


def test_another_ring_begins_anew_under_another_epoch(bench, tmp_path):
    bench.ticks(3)
    bench.gateway.turn()
    bench.kill()
    (tmp_path / "run" / "samples.ring").unlink()
    bench.parts = open_parts(bench.config, create=True)
    bench.start()
    bench.ticks(2)
    bench.gateway.turn()
    assert bench.numbers == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4]
    assert len(set(bench.rows("SELECT epoch FROM sample"))) == 2
    assert bench.losses == []


def test_events_that_were_overrun_are_told(bench):
    for number in range(4096 + 5):
        bench.parts.events.append([pack_event(Event(NOW_NS, 65535, 0, f"event {number}"))])
    bench.gateway.turn()
    texts = [row[0] for row in bench.rows("SELECT text FROM event ORDER BY rowid")]
    assert texts[0] == "5 events were lost: the gateway was away for too long"
    assert texts[1:] == [f"event {number}" for number in range(5, 4101)]
