"""The site's database: all or nothing, resumed exactly, and bounded."""

import math
import os
import sqlite3
from contextlib import closing

import pytest

from tenhertz.store import (
    EventRow,
    LossRow,
    SampleRow,
    SiteStore,
    StoreTrouble,
    TickRow,
    open_for_reading,
)
from tenhertz.store import sqlite as sqlite_module

EPOCH = 77


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Nobody unlocks while a test waits."""
    monkeypatch.setattr(sqlite_module, "BUSY_TIMEOUT_S", 0.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "samples.sqlite"


@pytest.fixture
def store(path):
    with closing(SiteStore(path, ["a", "b"], "normal")) as made:
        yield made


def sample(number, at_ns=None, **changed):
    at_ns = number * 100 if at_ns is None else at_ns
    row = SampleRow(number, number % 2, number, at_ns, 900, 3, 1.5, 2.5, 0.5, 1e5, 1e5, 20.0, 0)
    return row._replace(**changed)


def samples(first, count):
    return [sample(number) for number in range(first, first + count)]


def tick(number):
    return TickRow(number * 100, number, 5, 3, 2, 49.99, 1.0, 0.0, 1.0)


def column(path, query):
    with open_for_reading(path) as db:
        return [row[0] for row in db.execute(query)]


def numbers(path):
    return column(path, "SELECT number FROM sample ORDER BY id")


def test_a_batch_and_the_position_behind_it_are_found_after_opening_again(path, store):
    assert store.position("samples") == (0, 0, 0)
    store.put("samples", (EPOCH, 4, 3), samples(1, 3), [tick(1)])
    store.close()

    with closing(SiteStore(path, ["a", "b"], "full")) as again:
        assert again.position("samples") == (EPOCH, 4, 3)
        assert again.totals("samples") == (3, 0)
    assert numbers(path) == [1, 2, 3]
    assert column(path, "SELECT name FROM unit ORDER BY unit") == ["a", "b"]


def test_each_ring_has_its_own_position(store):
    store.put("samples", (EPOCH, 4, 3), samples(1, 3))
    store.put("events", (88, 1, 0), events=[EventRow(5, None, 2, "stop")])

    assert store.position("samples") == (EPOCH, 4, 3)
    assert store.position("events") == (88, 1, 0)


@pytest.mark.parametrize(
    "broken",
    [
        {"samples": [sample(1), sample(2, power_w="much")]},
        {"ticks": [tick(1), tick(2)._replace(tick=None)]},
        {"events": [EventRow(1, None, 0, None)]},
        {"losses": [LossRow(1, EPOCH, "x", "cause")]},
        {"samples": [sample(2**63)]},
    ],
    ids=["sample", "tick", "event", "loss", "number too large"],
)
def test_of_a_batch_that_fails_nothing_is_stored_and_the_position_stays(path, store, broken):
    store.put("samples", (EPOCH, 1, 1), samples(1, 1))
    everything = {
        "samples": samples(2, 2),
        "ticks": [tick(2)],
        "events": [EventRow(1, 0, 0, "e")],
        "losses": [LossRow(1, EPOCH, 4, "c")],
    }
    with pytest.raises(StoreTrouble):
        store.put("samples", (EPOCH, 9, 9), **{**everything, **broken})

    assert store.position("samples") == (EPOCH, 1, 1)
    assert numbers(path) == [1]
    for table in ("tick", "event", "loss"):
        assert column(path, f"SELECT count(*) FROM {table}") == [0]
    store.put("samples", (EPOCH, 9, 9), **everything)
    assert numbers(path) == [1, 2, 3]


def test_what_is_no_number_is_null_and_blocks_nothing(path, store):
    lost = dict.fromkeys(("power_w", "setpoint_w", "soc", "temperature_c"), math.nan)
    store.put(
        "samples",
        (EPOCH, 3, 2),
        [sample(1, **lost), sample(2, power_w=math.inf)],
        [tick(1)._replace(frequency_hz=None, target_w=math.nan)],
    )
    assert column(path, "SELECT power_w FROM sample ORDER BY id") == [None, math.inf]
    assert column(path, "SELECT soc FROM sample ORDER BY id") == [None, 0.5]
    assert column(path, "SELECT target_w FROM tick") == [None]


def test_a_locked_database_is_trouble_and_loses_nothing(path, store):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreTrouble, match="locked"):
            store.put("samples", (EPOCH, 3, 2), samples(1, 2))
        with pytest.raises(StoreTrouble, match="locked"):
            store.retain(10**9, 1e9, 0)
        with pytest.raises(StoreTrouble, match="locked"):
            SiteStore(path, ["a"], "normal")
        other.execute("ROLLBACK")
    store.put("samples", (EPOCH, 3, 2), samples(1, 2))
    assert numbers(path) == [1, 2]


def test_a_full_disk_is_trouble_and_loses_nothing(path, store):
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(StoreTrouble, match="full"):
        store.put("samples", (EPOCH, 2000, 2000), samples(1, 2000))
    assert store.position("samples") == (0, 0, 0)
    assert numbers(path) == []

    store._db.execute("PRAGMA max_page_count = 1000000")
    store.put("samples", (EPOCH, 2000, 2000), samples(1, 2000))
    assert numbers(path) == list(range(1, 2001))


@pytest.mark.parametrize(
    "content", [b"this is no database" * 300, b"SQLite format 3\0" + b"x" * 5000]
)
def test_a_file_that_is_no_database_is_trouble_with_a_remedy_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(StoreTrouble, match=r"samples.sqlite is .*not a database.*move it away"):
        SiteStore(path, ["a"], "normal")
    assert path.read_bytes() == content


def test_a_database_of_a_newer_version_is_trouble_and_left_alone(path, store):
    store.put("samples", (EPOCH, 1, 1), samples(1, 1))
    store._db.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreTrouble, match=r"newer version \(schema 99; this is 2\); use that"):
        SiteStore(path, ["a"], "normal")
    assert column(path, "PRAGMA user_version") == [99]


def test_a_folder_in_place_of_the_database_is_trouble(path):
    path.mkdir()
    with pytest.raises(StoreTrouble, match=r"samples\.sqlite: unable to open"):
        SiteStore(path, ["a"], "normal")


def test_a_file_in_place_of_its_folder_is_trouble(tmp_path):
    (tmp_path / "var").write_text("")
    with pytest.raises(StoreTrouble, match="var"):
        SiteStore(tmp_path / "var" / "samples.sqlite", ["a"], "normal")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_trouble(tmp_path, path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreTrouble):
        SiteStore(path, ["a"], "normal")
    tmp_path.chmod(0o700)


def test_a_database_that_was_removed_or_replaced_takes_no_rows(path, store):
    store.put("samples", (EPOCH, 1, 1), samples(1, 1))
    path.unlink()
    with pytest.raises(StoreTrouble, match=r"samples\.sqlite"):
        store.put("samples", (EPOCH, 2, 2), samples(2, 1))
    path.write_bytes(b"")
    with pytest.raises(StoreTrouble, match="replaced by another file"):
        store.put("samples", (EPOCH, 2, 2), samples(2, 1))


def test_a_database_damaged_inside_is_trouble_wherever_it_is_read(path, store):
    store.put("samples", (EPOCH, 9000, 9000), samples(1, 9000))
    store.close()
    content = bytearray(path.read_bytes())
    content[4096 : len(content)] = os.urandom(len(content) - 4096)
    path.write_bytes(content)

    def read():
        with closing(SiteStore(path, ["a"], "normal")) as damaged:
            damaged.position("samples")

    with pytest.raises(StoreTrouble):
        read()


def test_reading_a_closed_database_is_trouble_not_a_crash(store):
    store.close()
    for read in (lambda: store.position("samples"), lambda: store.totals("samples")):
        with pytest.raises(StoreTrouble):
            read()
    with pytest.raises(StoreTrouble):
        store.put("samples", (EPOCH, 1, 1))


def test_losses_count_against_their_own_epoch(store):
    store.put("samples", (EPOCH, 10, 9), samples(5, 5), losses=[LossRow(1, EPOCH, 4, "overrun")])
    assert store.totals("samples") == (5, 4)
    store.put("samples", (EPOCH + 1, 3, 3), samples(1, 3))
    assert store.totals("samples") == (3, 0)


def test_a_database_of_version_1_keeps_its_rows_and_their_numbers(path):
    old = sqlite3.connect(path, isolation_level=None)
    old.executescript(
        """
        CREATE TABLE unit (unit INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
        CREATE TABLE sample (
            id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, number INTEGER NOT NULL,
            unit INTEGER NOT NULL, tick INTEGER NOT NULL, measured_at_ns INTEGER NOT NULL,
            round_trip_us INTEGER NOT NULL, condition INTEGER NOT NULL, power_w REAL,
            setpoint_w REAL, soc REAL, charge_limit_w REAL, discharge_limit_w REAL,
            temperature_c REAL, faults INTEGER NOT NULL) STRICT;
        CREATE TABLE tick (
            at_ns INTEGER NOT NULL, tick INTEGER NOT NULL, late_us INTEGER NOT NULL,
            reason INTEGER NOT NULL, units INTEGER NOT NULL, frequency_hz REAL, target_w REAL,
            baseline_w REAL, power_w REAL) STRICT;
        CREATE TABLE event (
            at_ns INTEGER NOT NULL, unit INTEGER, severity INTEGER NOT NULL, text TEXT NOT NULL
        ) STRICT;
        CREATE TABLE loss (
            noticed_at_ns INTEGER NOT NULL, epoch INTEGER NOT NULL, samples INTEGER NOT NULL,
            cause TEXT NOT NULL) STRICT;
        CREATE TABLE position (
            ring TEXT PRIMARY KEY, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,
            samples INTEGER NOT NULL) STRICT, WITHOUT ROWID;
        CREATE INDEX tick_at ON tick (at_ns);
        INSERT INTO event VALUES (5, NULL, 1, 'one'), (6, 0, 2, 'two');
        INSERT INTO sample VALUES (41, 9, 1, 0, 1, 7, 0, 3, 1, 1, 1, 1, 1, 1, 0);
        PRAGMA user_version = 1;
        """
    )
    old.close()
    with closing(SiteStore(path, ["a"], "normal")) as store:
        store.put("events", (1, 1, 0), events=[EventRow(7, None, 0, "three")])
        store.put("samples", (1, 1, 1), samples(1, 1))
    assert column(path, "SELECT id FROM event") == [1, 2, 3]
    assert column(path, "SELECT text FROM event ORDER BY id") == ["one", "two", "three"]
    assert column(path, "SELECT id FROM sample") == [41, 42]
    assert column(path, "SELECT end FROM gone WHERE kind = 1") == [41]


def test_numbers_are_never_given_twice(path, store):
    store.put("samples", (EPOCH, 1, 3), samples(1, 3))
    at_ns = max(column(path, "SELECT measured_at_ns FROM sample")) + 1
    assert store.retain(at_ns, 1e9, at_ns) == 3
    store.put("samples", (EPOCH, 2, 4), samples(4, 1))
    assert column(path, "SELECT id FROM sample") == [4]
    assert column(path, "SELECT first || '-' || end || ' ' || cause FROM gone") == [
        "1-4 older than the site keeps"
    ]
    store.retain(at_ns + 10**18, 1e9, at_ns)
    assert column(path, "SELECT first || '-' || end FROM gone") == ["1-5"]
    stream = column(path, "SELECT value FROM meta WHERE key = 'stream'")
    store.close()
    SiteStore(path, ["a"], "normal").close()
    assert column(path, "SELECT value FROM meta WHERE key = 'stream'") == stream
