"""What is kept: by age, by size, and in short steps."""

from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.store import EventRow, SampleRow, SiteStore, TickRow, open_for_reading


@pytest.fixture
def store(tmp_path):
    with closing(SiteStore(tmp_path / "s.sqlite", ["a"], "normal")) as made:
        yield made


def sample(number, at_ns):
    return SampleRow(number, 0, number, at_ns, 0, 3, 0.0, 0.0, 0.5, 0.0, 0.0, 20.0, 0)


def tick(at_ns):
    return TickRow(at_ns, at_ns, 0, 3, 1, 50.0, 0.0, 0.0, 0.0)


def fill(store, count, ticks=True):
    store.put(
        "samples",
        (1, count, count),
        [sample(number, number * 10) for number in range(1, count + 1)],
        [tick(number * 10) for number in range(1, count + 1)] if ticks else [],
        [EventRow(number * 10, None, 0, "e") for number in range(1, count + 1, 10)],
    )


def column(store, query):
    with open_for_reading(store.path) as db:
        return [row[0] for row in db.execute(query)]


def test_what_is_too_old_goes_and_is_no_loss(store):
    fill(store, 100)
    deleted = store.retain(505, 1e9, at_ns=999)

    assert deleted == 50 + 50 + 5
    assert column(store, "SELECT min(number) FROM sample") == [51]
    assert column(store, "SELECT min(at_ns) FROM tick") == [510]
    assert column(store, "SELECT min(at_ns) FROM event") == [510]
    assert column(store, "SELECT count(*) FROM loss") == [0]
    assert store.retain(505, 1e9, at_ns=999) == 0
    assert store.totals("samples") == (100, 0)


def test_a_call_is_bounded_and_the_next_goes_on(store):
    fill(store, 100, ticks=False)
    steps = []
    while deleted := store.retain(905, 1e9, 0, most=30):
        steps.append(deleted)

    assert steps[0] == 30 + 9
    assert column(store, "SELECT min(number) FROM sample") == [91]


def test_beyond_its_size_the_oldest_go_and_the_samples_are_told_as_lost(store):
    fill(store, 5000)
    size_mb = store.size_mb
    calls = 0
    while store.retain(0, size_mb / 2, at_ns=999, most=500):
        calls += 1

    assert store.size_mb <= size_mb / 2
    kept = column(store, "SELECT number FROM sample ORDER BY id")
    assert kept == list(range(kept[0], 5001))
    assert column(store, "SELECT sum(samples) FROM loss") == [5000 - len(kept)]
    assert set(column(store, "SELECT epoch || ' ' || cause FROM loss")) == {
        "0 database at its largest size"
    }
    assert calls > 2
    assert column(store, "SELECT min(at_ns) FROM tick")[0] >= (kept[0] - 500) * 10


def test_within_its_size_nothing_goes(store):
    fill(store, 100)
    assert store.retain(0, store.size_mb, 0) == 0
    assert column(store, "SELECT count(*) FROM sample") == [100]


def test_ticks_and_events_are_bounded_though_no_unit_was_ever_sampled(store):
    store.put(
        "samples",
        (1, 3000, 0),
        ticks=[tick(number) for number in range(3000)],
        events=[EventRow(number, None, 1, "not reachable " * 9) for number in range(3000)],
    )
    store.retain(1000, 1e9, 0)
    assert column(store, "SELECT min(at_ns) FROM tick") == [1000]
    assert column(store, "SELECT min(at_ns) FROM event") == [1000]

    size_mb = store.size_mb
    while store.retain(0, size_mb / 2, 0, most=200):
        pass
    assert store.size_mb <= size_mb / 2
    assert column(store, "SELECT count(*) FROM loss") == [0]


def test_a_clock_that_was_wrong_for_a_moment_costs_no_fresh_samples(store):
    instants = [1000, 1010, 5, 1020, 1030]
    store.put("samples", (1, 5, 5), [sample(number, at) for number, at in enumerate(instants, 1)])
    store.retain(900, 1e9, 0)
    assert column(store, "SELECT number FROM sample ORDER BY id") == [1, 2, 4, 5]


def test_space_is_given_back_to_the_file_system(store):
    fill(store, 20_000)
    before = store._db.execute("PRAGMA page_count").fetchone()[0]
    while store.retain(10**9, 1e9, 0):
        pass
    assert store._db.execute("PRAGMA auto_vacuum").fetchone()[0] == 2
    assert store._db.execute("PRAGMA page_count").fetchone()[0] < before / 4


@given(
    st.lists(st.integers(0, 1000), max_size=60),
    st.integers(0, 1000),
    st.integers(1, 40),
)
def test_by_age_exactly_the_old_ones_go_in_the_end(tmp_path_factory, instants, edge, most):
    instants.sort()
    path = tmp_path_factory.mktemp("s") / "s.sqlite"
    with closing(SiteStore(path, ["a"], "normal")) as store:
        rows = [sample(number, at) for number, at in enumerate(instants, 1)]
        store.put("samples", (1, len(rows), len(rows)), rows)
        while deleted := store.retain(edge, 1e9, 0, most=most):
            assert deleted <= most
        kept = column(store, "SELECT measured_at_ns FROM sample ORDER BY id")
    assert kept == [at for at in instants if at >= edge]
