"""What a real PostgreSQL holds after commits: tables, days, minutes, values."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from tenhertz.link import POINTS, Kind
from tenhertz.link.frame import Column, Frame
from tenhertz.store import StoreTrouble
from tenhertz.store.contract import Retention
from tenhertz.store.postgres import PostgresReader, schema
from tenhertz.store.postgres.records import SQL

from .frames import BASE_NS, SECOND_NS, frame
from .postgres_server import (
    Open,
    ask,
    count,
    opened,
    postgres_server,
    postgres_url,
)

__all__ = ["opened", "postgres_server", "postgres_url"]
pytestmark = [pytest.mark.interop, pytest.mark.slow]
DAY_NS = 86_400 * SECOND_NS
MINUTE_NS = 60 * SECOND_NS


# -- tables ---------------------------------------------------------------------------------------


def test_many_servers_may_begin_at_once(opened: Open, postgres_url: str) -> None:
    stores = [opened(f"server-{number}") for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda store: store.recover().position, stores))

    assert found == [0, 0, 0, 0]
    versions = ask(postgres_url, "SELECT version FROM tenhertz_schema ORDER BY 1")
    assert [row[0] for row in versions] == [number for number, _ in schema.migrations()]


def test_tables_of_a_newer_version_are_left_alone(opened: Open, postgres_url: str) -> None:
    opened().recover()
    ask(postgres_url, "INSERT INTO tenhertz_schema VALUES (9999)")

    with pytest.raises(StoreTrouble, match="newer version"):
        opened().recover()
    with pytest.raises(StoreTrouble, match="newer version"):
        PostgresReader(postgres_url).state()


def test_the_tables_have_the_points_of_the_link(opened: Open, postgres_url: str) -> None:
    opened().recover()
    keys = ["time_ns", "entity", "stream", "sequence"]
    for kind, points in POINTS.items():
        want = [(p.name, SQL[p.type] + "[]" * p.per_cell, not p.may_be_absent) for p in points]
        for table in (kind.name.lower(), f"latest_{kind.name.lower()}"):
            found = ask(
                postgres_url,
                "SELECT attname, format_type(atttypid, -1), attnotnull FROM pg_attribute"
                " WHERE attrelid = $1::text::regclass AND attnum > 0 ORDER BY attnum",
                table,
            )
            assert [row[0] for row in found[:4]] == keys
            assert [tuple(row) for row in found[4:]] == want


def test_rows_lie_in_the_partition_of_their_utc_day(opened: Open, postgres_url: str) -> None:
    store = opened()
    store.recover()
    store.commit([frame(at_ns=BASE_NS - 150_000_000)], {}, 1)

    found = ask(postgres_url, "SELECT tableoid::regclass::text, count(*) FROM cell GROUP BY 1")
    assert sorted(tuple(row) for row in found) == [("cell_2027_01_14", 4), ("cell_2027_01_15", 2)]


def test_days_and_minutes_go_after_their_time(opened: Open, postgres_url: str) -> None:
    store = opened(retention=Retention(full_days=2, minutes_days=4))
    store.recover()
    for day in range(6):
        frames = [frame(kind, at_ns=BASE_NS + day * DAY_NS) for kind in (Kind.CELL, Kind.EVENT)]
        store.commit(frames, {}, day + 1)

    pieces = 0
    while store.upkeep(BASE_NS + 6 * DAY_NS):
        pieces += 1

    assert pieces == 2 * 4 + 2
    days = "SELECT DISTINCT time_ns FROM cell UNION SELECT time_ns FROM event"
    assert {row[0] // DAY_NS - BASE_NS // DAY_NS for row in ask(postgres_url, days)} == {4, 5}
    minutes = "SELECT DISTINCT minute_ns FROM cell_minute UNION SELECT minute_ns FROM event_minute"
    kept = {row[0] // DAY_NS - BASE_NS // DAY_NS for row in ask(postgres_url, minutes)}
    assert kept == {2, 3, 4, 5}
    # What comes late is taken all the same, and goes again.
    store.commit([frame(at_ns=BASE_NS)], {}, 7)
    assert count(postgres_url) == 2 * 6 + 6
    assert store.upkeep(BASE_NS + 7 * DAY_NS)


def test_upkeep_asks_the_server_once_a_minute_when_all_is_done(opened: Open) -> None:
    store = opened(retention=Retention())
    store.recover()
    assert not store.upkeep(BASE_NS)
    store.close()

    assert not store.upkeep(BASE_NS + 59 * SECOND_NS)
    assert store._database._loop is None  # it was not even opened
    assert not store.upkeep(BASE_NS + 60 * SECOND_NS)
    assert store._database._loop is not None


# -- values ---------------------------------------------------------------------------------------


def test_the_view_shows_one_row_a_cell(opened: Open, postgres_url: str) -> None:
    store = opened()
    store.recover()
    one = frame(instants=2, entities=("p1",), cells=3)
    store.commit([one], {}, 1)

    for relation in (
        "battery_telemetry",
        "battery_telemetry_between('2027-01-15 00:00Z', '2027-01-15 00:00:01Z')",
    ):
        found = ask(postgres_url, f"SELECT * FROM {relation} ORDER BY time, cell_id")
        assert list(found[0].keys()) == [
            *("time", "pack_id", "cell_id", "voltage", "current", "temperature")
        ]
        assert [row["cell_id"] for row in found] == [1, 2, 3, 1, 2, 3]
        assert {row["pack_id"] for row in found} == {"site-1/p1"}
        times = [round(row["time"].timestamp() * 1e6) * 1000 for row in found]
        assert times == np.repeat(one.time_ns, 3).tolist()
        for point, name in (("voltage_v", "voltage"), ("temperature_c", "temperature")):
            want = one.columns[point].physical.ravel().tolist()
            assert [row[name] for row in found] == want
        assert [row["current"] for row in found[:3]] == [None] * 3  # frame() has NaN there
    nothing = "battery_telemetry_between('2027-01-15 00:00:01Z', '2027-01-16Z')"
    assert ask(postgres_url, f"SELECT * FROM {nothing}") == []


def with_column(one: Frame, name: str, values: np.ndarray) -> Frame:
    return replace(one, columns={**one.columns, name: Column(values)})


def test_absent_numbers_are_null_and_come_back_as_nan(opened: Open, postgres_url: str) -> None:
    """Every pattern of what is absent, in rows and in cells."""
    store = opened()
    store.recover()
    optional = [p.name for p in POINTS[Kind.SAMPLE] if p.may_be_absent]
    rows = 2 ** len(optional)
    sample = frame(Kind.SAMPLE, entities=("u",), instants=rows)
    for bit, name in enumerate(optional):
        values = np.where(np.arange(rows) >> bit & 1, np.nan, np.arange(rows)).astype(np.float32)
        sample = with_column(sample, name, values)
    del sample.columns[optional[-1]]  # a device that never has it
    cells = frame(entities=("p",), instants=2, cells=3)
    broken = np.array([[np.nan, 3.0, np.nan], [np.nan] * 3], np.float32)
    cells = with_column(cells, "voltage_v", broken)
    store.commit([sample, cells], {}, 1)

    reader = PostgresReader(postgres_url)
    got = reader.range(Kind.SAMPLE, "site-1", "u", 0, 1 << 62)
    for name in optional[:-1]:
        np.testing.assert_array_equal(got[name], sample.columns[name].values)
    assert np.isnan(got[optional[-1]]).all()
    assert count(postgres_url, f"sample WHERE {optional[0]} IS NULL") == rows // 2
    got = reader.range(Kind.CELL, "site-1", "p", 0, 1 << 62)
    np.testing.assert_array_equal(got["voltage_v"], broken)
    for every_ns in (SECOND_NS, MINUTE_NS):
        step = reader.range(Kind.CELL, "site-1", "p", BASE_NS, BASE_NS + MINUTE_NS, every_ns)
        assert (step["voltage_v_mean"], step["voltage_v_min"], step["rows"]) == (3.0, 3.0, 2)
    reader.close()


def test_the_minute_tier_is_what_the_rows_say(opened: Open, postgres_url: str) -> None:
    """Late rows, several sources, widths and commits that share their minutes."""
    store = opened()
    store.recover()
    rng = np.random.default_rng(5)
    frames = [
        frame(
            kind,
            source=f"s{n % 3}",
            cells=2 + n % 2,
            instants=40,
            step_ns=7 * SECOND_NS,
            at_ns=BASE_NS + int(rng.integers(0, 600)) * SECOND_NS,
            first=1 + 1000 * n,
            seed=n,
        )
        for n in range(12)
        for kind in (Kind.CELL, Kind.TICK)
    ]
    for position, part in enumerate((frames[::2], frames[1::4], frames[3::4]), 1):
        store.commit(part, {}, position)

    reader = PostgresReader(postgres_url)
    end_ns = BASE_NS + 20 * MINUTE_NS
    for kind in (Kind.CELL, Kind.TICK):
        for source in ("s0", "s1", "s2"):
            tier = reader.range(kind, source, "p2", BASE_NS, end_ns, MINUTE_NS)
            # The same steps by way of the rows: seconds, put together here.
            raw = reader.range(kind, source, "p2", BASE_NS, end_ns)
            minute = raw["time_ns"] // MINUTE_NS * MINUTE_NS
            assert tier["time_ns"].tolist() == np.unique(minute).tolist()
            assert tier["rows"].tolist() == np.unique(minute, return_counts=True)[1].tolist()
            for number, begin in enumerate(np.unique(minute)):
                for point in POINTS[kind]:
                    values = raw[point.name][minute == begin].astype(float)
                    for what, value in (
                        ("mean", np.nanmean(values)),
                        ("min", np.nanmin(values)),
                        ("max", np.nanmax(values)),
                    ):
                        got = tier[f"{point.name}_{what}"][number]
                        np.testing.assert_allclose(got, value, rtol=1e-6)
    reader.close()


def test_odd_names_texts_and_numbers_are_taken(opened: Open, postgres_url: str) -> None:
    store = opened()
    store.recover()
    name = 'it\'s\\ "1" \N{SNOWMAN}\t\0'
    one = frame(Kind.EVENT, source=name, entities=(name,), instants=2, stream=2**64 - 1)
    one.columns["text"].values[:] = ["", "nul \0 \\N \n"]
    again = replace(one, entities=("other",), sequence=one.sequence + 2)
    one = replace(one, source="s")
    store.commit([one, replace(again, source="s"), one], {name[:-1]: b"\0\xff"}, 1)

    reader = PostgresReader(postgres_url)
    got = reader.range(Kind.EVENT, "s", name.replace("\0", "\u2400"), 0, 1 << 62)
    assert sorted(got["text"].tolist()) == ["", "", "nul \u2400 \\N \n", "nul \u2400 \\N \n"]
    assert reader.range(Kind.EVENT, "s", "other", 0, 1 << 62)["time_ns"].size == 2
    assert reader.state().state == {name[:-1]: b"\0\xff"}
    assert {row[0] for row in ask(postgres_url, "SELECT stream FROM event")} == {-1}
    reader.close()
