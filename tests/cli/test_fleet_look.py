"""Looking at what a fleet server has, as a user calls it."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import pytest

from tenhertz.link import Kind
from tenhertz.store.account import ENCODE, Account, account_key
from tenhertz.store.embedded import EmbeddedStore
from tenhertz.telemetry.alerts import AlertBook
from tenhertz.telemetry.rules.change import Change

from .fleet_server import BEGIN, BEGIN_NS, CONFIG, FOR_EVER, Call, fill, rows

END = "2027-01-15T09:00:00Z"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return Call(monkeypatch, capsys)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.toml"
    path.write_text(CONFIG)
    return path


def test_the_newest_row_has_null_for_what_was_not_given(call: Call, config: Path) -> None:
    fill(config.parent, [rows(Kind.CELL, 5)])
    done = call("latest", config, "--kind", "cell", "--json")
    (row,) = json.loads(done.out)["rows"]
    assert row["source"] == "site-1"
    assert row["time_ns"] == BEGIN_NS + 400_000_000
    assert row["current_a"] is None
    assert row["voltage_v"] == [3.25, 3.26, 3.27]


def test_a_table_tells_many_cells_as_their_range(call: Call, config: Path) -> None:
    fill(config.parent, [rows(Kind.CELL, 5)])
    done = call("latest", config, "--kind", "cell")
    assert "3.25..3.27 (3)" in done.out
    assert "08:00:00.400" in done.out


def test_a_range_is_cut_at_its_limit_and_says_so(call: Call, config: Path) -> None:
    fill(config.parent, [rows(Kind.SAMPLE, 50)])
    words = ("range", config, "site-1", "p1", "--start", BEGIN, "--end", END, "--json")
    done = call(*words, "--limit", 10)
    found = json.loads(done.out)
    assert [row["number"] for row in found["rows"]] == list(range(10))
    assert found["more"]
    assert "--limit" in done.err
    done = call(*words, "--limit", 50)
    assert len(json.loads(done.out)["rows"]) == 50
    assert not json.loads(done.out)["more"]
    assert done.err == ""


def test_steps_tell_mean_least_and_greatest(call: Call, config: Path) -> None:
    fill(config.parent, [rows(Kind.SAMPLE, 20)])
    words = ("--start", BEGIN, "--end", END, "--every", "1s", "--json")
    done = call("range", config, "site-1", "p1", *words)
    first, second = json.loads(done.out)["rows"]
    assert (first["rows"], first["number_min"], first["number_max"]) == (10, 0, 9)
    assert second["number_mean"] == 14.5


def test_csv_has_one_column_a_cell_and_nothing_for_what_is_absent(call: Call, config: Path) -> None:
    fill(config.parent, [rows(Kind.CELL, 2)])
    words = ("--kind", "cell", "--start", BEGIN, "--end", END, "--csv")
    done = call("range", config, "site-1", "p1", *words)
    lines = list(csv.DictReader(done.out.splitlines()))
    assert [line["voltage_v_3"] for line in lines] == ["3.27", "3.27"]
    assert [line["current_a"] for line in lines] == ["", "0.001"]


def test_gaps_name_their_cause(call: Call, config: Path) -> None:
    account = Account("site-1", 7, int(Kind.CELL), head=20, held=[1, 5], gone=[(5, 8, "too old")])
    state = {account_key("site-1", 7, int(Kind.CELL)): ENCODE(account)}
    fill(config.parent, [rows(Kind.CELL, 1)], state)
    found = json.loads(call("gaps", config, "--json").out)["rows"]
    assert [(gap["first"], gap["end"], gap["cause"]) for gap in found] == [
        (5, 8, "too old"),
        (8, 20, None),
    ]
    assert "not yet come" in call("gaps", config).out


def test_a_server_that_has_nothing_yet_says_so(call: Call, config: Path) -> None:
    assert "no gaps" in call("gaps", config).out
    assert "no sample rows yet" in call("latest", config).out
    assert "no open alerts" in call("alerts", config).out
    assert json.loads(call("sql", config, "SELECT * FROM cell", "--json").out)["rows"] == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--start", "yesterday"), "not an instant"),
        (("--start", "2027-01-15T08:00:00"), "has no zone"),
        (("--start", "-1y"), "not a duration"),
        (("--start", "now"), "not before"),
        (("--every", "0.5s"), "too short"),
        (("--start", "0001-01-01T00:00:00Z"), "too far"),
        (("--json", "--csv"), "exclude each other"),
    ],
)
def test_a_mistake_is_one_sentence(
    call: Call, config: Path, words: tuple[str, ...], expected: str
) -> None:
    done = call("range", config, "site-1", "p1", *words)
    assert done.code == 2
    assert expected in done.err
    assert done.err.count("\n") == 1


def test_a_store_that_cannot_be_read_is_one_sentence(call: Call, config: Path) -> None:
    fill(config.parent, [rows(Kind.SAMPLE, 3)])
    (config.parent / "var/store/catalogue.sqlite").write_bytes(b"nonsense" * 1000)
    for words in (("gaps",), ("sql",), ("range",)):
        rest = {"sql": ("SELECT 1",), "range": ("site-1", "p1")}.get(words[0], ())
        done = call(words[0], config, *rest)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "not a database" in done.err


def test_names_that_are_no_text_are_one_sentence(call: Call, config: Path) -> None:
    fill(config.parent, [rows(Kind.SAMPLE, 3)])
    now = ("--start", BEGIN, "--end", END)
    for words in (("range", config, "\udcff", "p1", *now), ("sql", config, "SELECT '\udcff'")):
        done = call(*words)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "UTF-8" in done.err


# -- alerts -----------------------------------------------------------------------------------


def test_an_alert_is_shown_and_acknowledged(call: Call, config: Path) -> None:
    (config.parent / "var").mkdir()
    book = AlertBook(config.parent / "var" / "alerts.sqlite")
    change = Change(
        *("site-1", "p1", "over-voltage", "cell/voltage_v/above", "critical", "raised", 3.7, 3),
        *(BEGIN_NS, BEGIN_NS, False, "cell 3: \x1b[31m3.7 V"),
    )
    book.apply([change], time.time_ns())
    book.close()
    shown = call("alerts", config).out
    assert "critical" in shown
    assert "\x1b" not in shown
    done = call("ack", config, 1, "--who", "R. Lind")
    assert done.code == 0, done.err
    (alert,) = json.loads(call("alerts", config, "--all", "--json").out)["rows"]
    assert (alert["state"], alert["acknowledged_by"]) == ("acknowledged", "R. Lind")
    done = call("ack", config, 2, "--who", "R. Lind")
    assert (done.code, done.err.count("\n")) == (2, 1)


def test_a_broken_file_of_alerts_is_one_sentence(call: Call, config: Path) -> None:
    (config.parent / "var").mkdir()
    (config.parent / "var" / "alerts.sqlite").write_bytes(b"nonsense" * 1000)
    done = call("alerts", config)
    assert (done.code, done.err.count("\n")) == (2, 1)


# -- SQL --------------------------------------------------------------------------------------


def ask(call: Call, config: Path, query: str) -> list[dict[str, object]]:
    done = call("sql", config, query, "--json")
    assert done.code == 0, done.err
    found: list[dict[str, object]] = json.loads(done.out)["rows"]
    return found


@pytest.mark.slow
def test_sql_sees_every_kind_and_each_cell(call: Call, config: Path) -> None:
    fill(config.parent, [rows(kind, 4) for kind in Kind])
    for kind in Kind:
        query = f"SELECT count(*) AS n FROM {kind.name}"
        assert ask(call, config, query) == [{"n": 4}]
    query = "SELECT * EXCLUDE (time_ns) FROM battery_telemetry ORDER BY time, cell_id LIMIT 4"
    first, _, third, fourth = ask(call, config, query)
    assert first == {
        "time": "2027-01-15T08:00:00",
        "pack_id": "site-1/p1",
        "cell_id": 1,
        "voltage": 3.25,
        "current": None,
        "temperature": 3.25,
    }
    assert (third["cell_id"], third["voltage"]) == (3, pytest.approx(3.27))
    assert fourth["cell_id"] == 1


@pytest.mark.slow
def test_sql_reads_the_minutes_and_no_row_twice(call: Call, config: Path) -> None:
    store = EmbeddedStore(config.parent / "var" / "store", FOR_EVER)
    store.recover()
    for number in range(16):
        store.commit([rows(Kind.CELL, 2, first=1 + 2 * number)], {}, number + 1)
    while store.upkeep(BEGIN_NS):
        pass
    store.close()
    assert ask(call, config, "SELECT count(*) AS n FROM cell") == [{"n": 32}]
    assert ask(call, config, "SELECT sum(rows)::INT AS n FROM cell_minutes") == [{"n": 32}]


@pytest.mark.parametrize(
    "query",
    [
        "DROP VIEW sample",
        "SELECT 1; SELECT 2",
        "COPY (SELECT 1) TO 'here.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'here.csv'",
        "SELECT * FROM read_text('fleet.toml')",
        "SELECT * FROM nowhere",
        "SELEC 1",
        "",
        "SET memory_limit = '1TB'",
        "ATTACH 'other.db'",
        "SELECT 'x'::INT",
    ],
)
def test_sql_cannot_write_or_see_more_and_says_why_in_a_line(
    call: Call, config: Path, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.chdir(config.parent)
    fill(config.parent, [rows(Kind.SAMPLE, 1)])
    done = call("sql", config, query)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert not (config.parent / "here.csv").exists()


def test_sql_shows_so_many_rows_and_says_that_there_are_more(call: Call, config: Path) -> None:
    done = call("sql", config, "SELECT * FROM range(100)", "--limit", 3, "--json")
    assert len(json.loads(done.out)["rows"]) == 3
    assert "--limit" in done.err
    done = call("sql", config, "SELECT 1 AS a, 2 AS a", "--json")
    assert json.loads(done.out)["rows"] == [{"a": 1, "a_2": 2}]


def test_sql_tells_values_of_any_type(call: Call, config: Path) -> None:
    query = (
        "SELECT 2::HUGEINT * 10000000000000000000 AS wide, [1.5, 'nan'::FLOAT] AS list, {'a': 1} AS"
        " struct, MAP {1: 2} AS map, INTERVAL 1 DAY AS span, 'x'::BLOB AS bytes, 1.5::DECIMAL(3, 1)"
        " AS exact, DATE '2027-01-15' AS day"
    )
    (row,) = ask(call, config, query)
    assert row["wide"] == "20000000000000000000"
    assert (row["list"], row["struct"], row["day"]) == ([1.5, None], {"a": 1}, "2027-01-15")
    for form in ((), ("--csv",)):
        done = call("sql", config, query, *form)
        assert done.code == 0, done.err


def test_sql_sends_a_user_of_postgresql_to_psql(call: Call, config: Path) -> None:
    config.write_text(CONFIG + '[store]\nkind = "postgresql"\n')
    done = call("sql", config, "SELECT 1")
    assert done.code == 2
    assert "psql" in done.err
