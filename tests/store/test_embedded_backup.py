"""A backup is whole or says that it is not, whatever happens to the store meanwhile."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from tenhertz.link import Kind
from tenhertz.store import StoreTrouble
from tenhertz.store.contract import Retention
from tenhertz.store.embedded import EmbeddedReader, EmbeddedStore, backup
from tenhertz.store.embedded.backup import (
    MANIFEST_FILE,
    NotABackup,
    copy_store,
    is_empty,
    verified,
    write_manifest,
)

from .frames import BASE_NS, SECOND_NS, frame

FOR_EVER = Retention(None, None)


def quiet(_done: int, _whole: int) -> None:
    pass


def commit(store: EmbeddedStore, number: int) -> None:
    made = frame(first=1 + 6 * number, at_ns=BASE_NS + number * SECOND_NS)
    store.commit([made], {"key": b"%d" % number}, number + 1)


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    found = EmbeddedStore(tmp_path / "store", FOR_EVER)
    found.recover()
    for number in range(4):
        commit(found, number)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "backup"
    path.mkdir()
    return path


def rows(folder: Path) -> int:
    reader = EmbeddedReader(folder)
    found = [
        len(reader.range(Kind.CELL, "site-1", entity, 0, 1 << 62)["time_ns"])
        for entity in ("p1", "p2")
    ]
    reader.close()
    return sum(found)


def made(tmp_path: Path, folder: Path) -> None:
    position, count = copy_store(tmp_path / "store", folder, quiet)
    write_manifest(folder, "embedded", BASE_NS, position, count, quiet)


def test_a_copy_is_a_store_as_it_stood_and_does_not_follow(
    tmp_path: Path, store: EmbeddedStore, folder: Path
) -> None:
    assert copy_store(tmp_path / "store", folder, quiet) == (4, 24)
    for number in range(4, 40):
        commit(store, number)
    while store.upkeep(BASE_NS):
        pass
    while store.upkeep(BASE_NS + 3600 * SECOND_NS):  # what was replaced is deleted
        pass
    again = EmbeddedStore(folder, FOR_EVER)
    assert again.recover() == (4, {"key": b"3"})
    commit(again, 4)
    assert rows(folder) == 30
    newest = EmbeddedReader(folder).latest(Kind.CELL)["time_ns"]
    assert newest.tolist() == [BASE_NS + 4 * SECOND_NS + 200_000_000] * 2


def test_the_segments_are_the_same_files_where_that_is_possible(
    tmp_path: Path, store: EmbeddedStore, folder: Path
) -> None:
    copy_store(tmp_path / "store", folder, quiet)
    for path in (folder / "segments").iterdir():
        assert path.samefile(tmp_path / "store" / "segments" / path.name)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM])
def test_without_hard_links_the_segments_are_copied(
    tmp_path: Path,
    store: EmbeddedStore,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    made(tmp_path, folder)
    verified(folder, quiet)
    assert rows(folder) == 24
    assert all(path.stat().st_nlink == 1 for path in (folder / "segments").iterdir())


def test_a_segment_that_is_replaced_meanwhile_makes_it_begin_anew(
    tmp_path: Path, store: EmbeddedStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, calls = backup.link_or_copy, 0

    def compacted_first(origin: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            for number in range(4, 16):
                commit(store, number)
            while store.upkeep(BASE_NS):
                pass
            while store.upkeep(BASE_NS + 3600 * SECOND_NS):
                pass
        link(origin, target)

    monkeypatch.setattr(backup, "link_or_copy", compacted_first)
    made(tmp_path, folder)
    assert calls > 4
    assert verified(folder, quiet).position == 16
    assert rows(folder) == 16 * 6
    listed = {path.name for path in (folder / "segments").iterdir()}
    again = EmbeddedStore(folder, FOR_EVER)
    again.recover()
    assert {path.name for path in (folder / "segments").iterdir()} == listed


def test_a_segment_that_is_gone_for_good_is_told(
    tmp_path: Path, store: EmbeddedStore, folder: Path
) -> None:
    next((tmp_path / "store" / "segments").iterdir()).unlink()
    with pytest.raises(StoreTrouble, match="is missing"):
        copy_store(tmp_path / "store", folder, quiet)
    with pytest.raises(NotABackup, match="not ended"):
        verified(folder, quiet)


def test_a_full_disk_is_told_and_leaves_no_manifest(
    tmp_path: Path, store: EmbeddedStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    copy_store(tmp_path / "store", folder, quiet)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreTrouble, match="No space left"):
        write_manifest(folder, "embedded", BASE_NS, 4, 24, quiet)
    assert not (folder / MANIFEST_FILE).exists()


def test_any_change_to_any_file_is_found(
    tmp_path: Path, store: EmbeddedStore, folder: Path
) -> None:
    made(tmp_path, folder)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_FILE]
    assert len(files) == len(verified(folder, quiet).files)
    for path in files:
        whole = path.read_bytes()
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        for damaged in (whole[:-1], whole + b"\0", flipped):
            path.unlink()  # it may be the store's own file
            path.write_bytes(damaged)
            with pytest.raises(NotABackup, match=path.name):
                verified(folder, quiet)
        path.unlink()
        with pytest.raises(NotABackup, match=path.name):
            verified(folder, quiet)
        path.write_bytes(whole)
    verified(folder, quiet)


@pytest.mark.parametrize("path", ["../outside", "/etc/hostname", ""])
def test_a_manifest_reaches_no_file_outside(folder: Path, path: str) -> None:
    text = (
        '{"version": 1, "store": "embedded", "made_ns": 0, "position": 0, "rows": 0, "files": '
        f'[{{"path": "{path}", "size": 0, "sha256": ""}}]}}'
    )
    (folder / MANIFEST_FILE).write_text(text)
    with pytest.raises(NotABackup, match="outside"):
        verified(folder, quiet)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"version": 9}'])
def test_a_manifest_that_is_none_is_told(folder: Path, text: str) -> None:
    (folder / MANIFEST_FILE).write_text(text)
    with pytest.raises(NotABackup):
        verified(folder, quiet)


def test_progress_ends_with_all(tmp_path: Path, store: EmbeddedStore, folder: Path) -> None:
    told: list[tuple[int, int]] = []
    position, count = copy_store(tmp_path / "store", folder, lambda *both: told.append(both))
    assert told[-1][0] == told[-1][1] > 0
    told.clear()
    write_manifest(folder, "embedded", 0, position, count, lambda *both: told.append(both))
    assert told[-1][0] == told[-1][1] > 0


def test_what_is_empty(tmp_path: Path, store: EmbeddedStore) -> None:
    assert not is_empty(tmp_path / "store")
    assert is_empty(tmp_path / "nothing")
    EmbeddedStore(tmp_path / "new", FOR_EVER).recover()
    assert is_empty(tmp_path / "new")
    shutil.copytree(tmp_path / "store" / "segments", tmp_path / "rows" / "segments")
    assert not is_empty(tmp_path / "rows")  # its catalogue was lost: the rows are not to be


def test_a_database_in_use_is_copied_with_what_is_in_its_log(tmp_path: Path) -> None:
    one = sqlite3.connect(tmp_path / "one")
    one.execute("PRAGMA journal_mode = WAL")
    one.execute("CREATE TABLE t(x)")
    one.execute("INSERT INTO t VALUES (5)")
    one.commit()
    backup.copy_database(tmp_path / "one", tmp_path / "two")
    two = sqlite3.connect(tmp_path / "two")
    assert two.execute("SELECT x FROM t").fetchall() == [(5,)]
    one.close()
    two.close()
    with pytest.raises(StoreTrouble):
        backup.copy_database(tmp_path / "none", tmp_path / "three")
