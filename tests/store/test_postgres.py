"""The PostgreSQL store against a real server: by the contract, and that nothing comes twice."""

from __future__ import annotations

import asyncio
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tenhertz.errors import UserError
from tenhertz.link import Kind
from tenhertz.store import StoreTrouble
from tenhertz.store.contract import Retention
from tenhertz.store.postgres import PostgresReader, PostgresStore, database, timescale
from tenhertz.store.postgres import store as store_module

from . import contract
from .contract import Pair
from .frames import BASE_NS, SECOND_NS, frame
from .postgres_server import (
    FOR_EVER,
    Open,
    ask,
    count,
    crash,
    opened,
    postgres_server,
    postgres_url,
    running,
    total_rows,
)

__all__ = ["opened", "postgres_server", "postgres_url"]
pytestmark = [pytest.mark.interop, pytest.mark.slow]
MINUTE_NS = 60 * SECOND_NS


@pytest.fixture
def pair(opened: Open, postgres_url: str) -> Pair:
    return Pair(opened(), lambda: PostgresReader(postgres_url))


# -- the contract ---------------------------------------------------------------------------------


def test_round_trip(pair: Pair) -> None:
    contract.check_round_trip(pair)


def test_latest(pair: Pair) -> None:
    contract.check_latest(pair)


@pytest.mark.parametrize("after_upkeep", [False, True])
def test_steps(pair: Pair, after_upkeep: bool) -> None:
    contract.check_steps(pair, after_upkeep)


def test_gaps(pair: Pair) -> None:
    contract.check_gaps(pair)


def test_a_store_that_has_not_begun_is_empty(postgres_url: str) -> None:
    reader = PostgresReader(postgres_url)
    assert reader.state() == (0, {})
    assert reader.latest(Kind.CELL)["time_ns"].size == 0
    assert reader.latest(Kind.EVENT, "a")["text"].size == 0
    assert reader.range(Kind.SAMPLE, "a", "b", 0, 1 << 60)["power_w"].size == 0
    assert reader.range(Kind.TICK, "a", "b", 0, 1 << 60, MINUTE_NS)["rows"].size == 0
    assert reader.gaps() == []
    reader.close()


# -- once and only once ---------------------------------------------------------------------------


def cut_before_copy(monkeypatch: pytest.MonkeyPatch, url: str, number: int) -> None:
    """End the writer's connection, from the server's side, before the commit's n-th COPY."""
    copy, calls = store_module._copy, iter(range(1, 100))
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"

    async def cut(connection: Any, into: str, pieces: Any) -> None:
        if next(calls) == number:
            await asyncio.to_thread(ask, url, kill, "tenhertz server-1")
        await copy(connection, into, pieces)

    monkeypatch.setattr(store_module, "_copy", cut)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_connection_cut_in_a_commit_leaves_nothing_of_it(
    opened: Open, postgres_url: str, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = opened()
    store.recover()
    store.commit([frame()], {"k": b"1"}, 1)
    cut_before_copy(monkeypatch, postgres_url, number)

    with pytest.raises(StoreTrouble, match="PostgreSQL at"):
        store.commit([frame(first=7, at_ns=BASE_NS + SECOND_NS)], {"k": b"2"}, 2)

    assert (count(postgres_url), total_rows(postgres_url)) == (6, 6)
    assert store.recover() == (1, {"k": b"1"})
    store.commit([frame(first=7, at_ns=BASE_NS + SECOND_NS)], {"k": b"2"}, 2)
    assert (count(postgres_url), total_rows(postgres_url)) == (12, 12)
    assert store.recover() == (2, {"k": b"2"})


def test_a_commit_whose_answer_was_lost_is_not_done_twice(
    opened: Open, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    store.recover()
    commit = store._commit

    async def cut(*arguments: Any, **named: Any) -> None:
        await commit(*arguments, **named)
        raise ConnectionResetError("cut after COMMIT")

    monkeypatch.setattr(store, "_commit", cut)
    with pytest.raises(StoreTrouble, match="cut after COMMIT"):
        store.commit([frame()], {}, 4)
    monkeypatch.undo()

    with pytest.raises(StoreTrouble, match="recover it first"):
        store.commit([frame()], {}, 4)
    assert store.recover().position == 4
    assert count(postgres_url) == 6


def test_recovery_waits_for_a_commit_that_is_still_on_its_way(
    opened: Open, postgres_url: str
) -> None:
    """The connection broke, but the server is about to finish what came over it."""
    store = opened()
    store.recover()

    async def work() -> None:
        orphan = await asyncpg.connect(postgres_url)
        begun = orphan.transaction()
        await begun.start()
        await orphan.execute("UPDATE position SET position = 1 WHERE server = 'server-1'")
        await orphan.execute("INSERT INTO state VALUES ('server-1', 'k', 'new')")
        recovery = asyncio.create_task(asyncio.to_thread(store.recover))
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(count, postgres_url, "pg_locks WHERE NOT granted"):
                assert not recovery.done()
        await begun.commit()
        assert await recovery == (1, {"k": b"new"})
        await orphan.close()

    asyncio.run(work())


def commit_until_trouble(store: PostgresStore) -> int:
    """The position that was acknowledged last."""
    for done in range(1000):
        try:
            store.commit(
                [frame(first=1 + 6 * done, at_ns=BASE_NS + done * SECOND_NS)], {}, done + 1
            )
        except StoreTrouble:
            return done
    raise AssertionError("no trouble")


def test_a_server_that_crashes_keeps_what_was_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    copy, copies = store_module._copy, iter(range(1, 10_000))
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        with running(Path(folder)) as server, ThreadPoolExecutor(1) as pool:
            url, crashed = server.get_uri(), []

            async def crashing(connection: Any, into: str, pieces: Any) -> None:
                await copy(connection, into, pieces)
                if next(copies) == 3 * 5 + 2:  # within the sixth commit
                    crashed.append(pool.submit(crash, server))

            monkeypatch.setattr(store_module, "_copy", crashing)
            store = PostgresStore(url, FOR_EVER, server_name="server-1")
            store.recover()
            done = commit_until_trouble(store)
            crashed[0].result()
        with running(Path(folder)):
            position = store.recover().position

            assert 5 <= done <= position <= done + 1
            assert (count(url), total_rows(url)) == (6 * position, 6 * position)
            store.close()


def test_a_second_writer_of_the_same_name_stops_the_first(opened: Open, postgres_url: str) -> None:
    first, second = opened(), opened()
    first.recover()
    second.recover()
    second.commit([frame()], {}, 3)

    with pytest.raises(StoreTrouble, match="another writer is at work as 'server-1'"):
        first.commit([frame()], {}, 3)

    assert count(postgres_url) == 6


def test_two_servers_share_the_rows_and_nothing_else(opened: Open, postgres_url: str) -> None:
    one, two = opened("one"), opened("two")
    assert (one.recover().position, two.recover().position) == (0, 0)
    one.commit([frame()], {"k": b"one"}, 7)
    two.commit([frame(first=7, at_ns=BASE_NS + SECOND_NS)], {"k": b"two"}, 1)

    assert one.recover() == (7, {"k": b"one"})
    assert two.recover() == (1, {"k": b"two"})
    assert count(postgres_url, "entity") == 2
    readers = [PostgresReader(postgres_url, server_name=name) for name in ("one", "two", "three")]
    assert [reader.state().position for reader in readers] == [7, 1, 0]
    assert readers[2].latest(Kind.CELL)["time_ns"].size == 2
    for reader in readers:
        reader.close()


@pytest.mark.parametrize("_time", range(5))
def test_a_reader_comes_back_after_its_connection_was_cut(
    opened: Open, postgres_url: str, _time: int
) -> None:
    store = opened()
    store.recover()
    store.commit([frame()], {}, 1)
    reader = PostgresReader(postgres_url)
    reader.latest(Kind.CELL)
    ask(
        postgres_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'tenhertz reader' AND datname = current_database()",
    )

    # Whether the end was already seen decides whether there is an error; once at most.
    with suppress(StoreTrouble):
        reader.latest(Kind.CELL)
    assert reader.latest(Kind.CELL)["time_ns"].size == 2
    reader.close()


def test_a_reader_may_be_asked_within_an_event_loop(opened: Open, postgres_url: str) -> None:
    opened().recover()
    reader = PostgresReader(postgres_url)

    async def work() -> int:
        return reader.state().position

    assert asyncio.run(work()) == 0
    reader.close()


# -- trouble --------------------------------------------------------------------------------------


def test_trouble_is_one_sentence_without_the_password() -> None:
    store = PostgresStore("postgresql://u:secret@127.0.0.1:1/d", FOR_EVER, server_name="s")

    with pytest.raises(StoreTrouble, match=re.escape("PostgreSQL at 127.0.0.1:1/d: ")) as caught:
        store.recover()

    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    store.close()


def test_several_numbers_where_the_table_has_one_are_told_clearly(opened: Open) -> None:
    store = opened()
    store.recover()
    one = frame(cells=2)
    one.columns["current_a"] = one.columns["voltage_v"]

    with pytest.raises(StoreTrouble, match="site-1: current_a came with 2 numbers a row"):
        store.commit([one], {}, 1)


@pytest.mark.parametrize("url", ["", "mysql://h/d", "postgresql://h:port/d", "/var/lib/x"])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="the URL of the store"):
        PostgresStore(url, FOR_EVER, server_name="s")


def test_an_old_server_is_refused(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "OLDEST_SERVER", 99)

    with pytest.raises(StoreTrouble, match="use version 99 or newer"):
        opened().recover()


def test_a_step_below_a_second_is_refused(postgres_url: str) -> None:
    with pytest.raises(UserError, match="one second or more"):
        PostgresReader(postgres_url).range(Kind.CELL, "s", "e", 0, 1, 999_999_999)


def test_tables_without_partitions_of_ours_take_rows(
    opened: Open, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layout under TimescaleDB, as far as it goes without the extension."""

    async def nothing(*_arguments: Any) -> None:
        return None

    async def there(_connection: Any) -> bool:
        return True

    monkeypatch.setattr(timescale, "is_there", there)
    monkeypatch.setattr(timescale, "divide", nothing)
    monkeypatch.setattr(timescale, "set_retention", nothing)
    store = PostgresStore(postgres_url, Retention(1, 1), server_name="s", timescale=True)
    store.recover()
    store.commit([frame()], {}, 1)

    assert not store.upkeep(BASE_NS + SECOND_NS)
    found = ask(postgres_url, "SELECT DISTINCT tableoid::regclass::text FROM cell")
    assert [row[0] for row in found] == ["cell"]
    store.close()
