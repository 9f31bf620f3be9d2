"""What was written to the spool is read once, in order, whatever happened in between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenhertz.store import StoreTrouble
from tenhertz.store.spool import SpoolWriter, spool_files
from tenhertz.store.spool_reader import SpoolReader


def writer(folder: Path, *, file_bytes: int = 1 << 20, largest: int = 1 << 20) -> SpoolWriter:
    return SpoolWriter(folder, largest_bytes=largest, file_bytes=file_bytes)


def started(folder: Path, number: int = 1, **options: int) -> SpoolWriter:
    made = writer(folder, **options)
    assert made.recover() is None
    made.start(b"begin", number)
    return made


def flush(spool: SpoolWriter) -> None:
    spool.write(*spool.take_pending())


def test_what_is_written_is_read_in_order(tmp_path: Path) -> None:
    spool = started(tmp_path)
    assert [spool.append(body) for body in (b"a", b"", b"c" * 5000)] == [1, 2, 3]
    reader = SpoolReader(tmp_path, 1)
    assert reader.read() == []
    flush(spool)
    assert reader.read() == [(1, b"a"), (2, b""), (3, b"c" * 5000)]
    assert reader.read() == []


def test_a_record_longer_than_a_look_is_read(tmp_path: Path) -> None:
    spool = started(tmp_path)
    spool.append(b"x" * 50_000)
    flush(spool)
    assert SpoolReader(tmp_path, 1).read(most_bytes=1000) == [(1, b"x" * 50_000)]


def test_a_restart_brings_back_the_snapshot_and_the_records_after_it(tmp_path: Path) -> None:
    spool = started(tmp_path, 7)
    spool.append(b"one")
    flush(spool)
    spool.rotate(b"state")
    spool.append(b"two")
    flush(spool)
    spool.append(b"never written")
    again = writer(tmp_path)
    assert again.recover() == (b"state", [(8, b"two")])
    assert again.next == again.synced == 9


def test_a_fresh_file_with_only_its_snapshot_goes_on_at_its_number(tmp_path: Path) -> None:
    started(tmp_path, 41).close()
    again = writer(tmp_path)
    assert again.recover() == (b"begin", [])
    assert again.append(b"x") == 41


@pytest.mark.parametrize("cut", [1, 5, 20, 25])
def test_a_torn_end_is_cut_off_and_written_over(tmp_path: Path, cut: int) -> None:
    spool = started(tmp_path)
    spool.append(b"kept")
    flush(spool)
    size = spool_files(tmp_path)[0].stat().st_size
    spool.append(b"torn by a power cut")
    flush(spool)
    reader = SpoolReader(tmp_path, 1)
    path = spool_files(tmp_path)[0]
    os.truncate(path, size + cut)
    assert reader.read() == [(1, b"kept")]
    again = writer(tmp_path)
    assert again.recover() == (b"begin", [(1, b"kept")])
    assert again.append(b"another, and longer than what was torn") == 2
    flush(again)
    assert reader.read() == [(2, b"another, and longer than what was torn")]


def test_a_file_without_a_whole_snapshot_was_never_used(tmp_path: Path) -> None:
    spool = started(tmp_path)
    spool.append(b"a")
    flush(spool)
    (tmp_path / f"{2:020}.spool").write_bytes(b"half a snap")
    assert writer(tmp_path).recover() == (b"begin", [(1, b"a")])
    assert len(spool_files(tmp_path)) == 1


def test_a_failed_write_may_be_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = started(tmp_path)
    spool.append(b"a" * 100)
    pending = spool.take_pending()
    real_write, calls = os.write, []

    def short(handle: int, data: memoryview) -> int:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real_write(handle, data[:50])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(StoreTrouble, match="No space"):
        spool.write(*pending)
    monkeypatch.undo()
    assert spool.synced == 1
    assert SpoolReader(tmp_path, 1).read() == []
    spool.write(*pending)
    assert SpoolReader(tmp_path, 1).read() == [(1, b"a" * 100)]


def test_a_full_spool_says_so(tmp_path: Path) -> None:
    spool = started(tmp_path, largest=1000)
    assert spool.room(500)
    spool.append(b"x" * 500)
    assert not spool.room(500)
    flush(spool)
    assert not spool.room(500)
    spool.rotate(b"")
    SpoolReader(tmp_path, 2).forget(2)
    spool.measure()
    assert spool.room(500)


def test_the_reader_removes_what_it_is_done_with_but_never_the_newest(tmp_path: Path) -> None:
    spool = started(tmp_path)
    for body in (b"1", b"2", b"3"):
        spool.append(body)
        flush(spool)
        spool.rotate(b"state")
    reader = SpoolReader(tmp_path, 1)
    assert len(spool_files(tmp_path)) == 4
    reader.forget(2)
    assert reader.oldest == 2
    reader.forget(100)
    assert reader.oldest == 4


def test_a_reader_that_is_behind_what_is_there_is_told(tmp_path: Path) -> None:
    spool = started(tmp_path, 10)
    spool.append(b"x")
    flush(spool)
    with pytest.raises(StoreTrouble, match="records 3 to 9 are not there"):
        SpoolReader(tmp_path, 3).read()


@settings(max_examples=60)
@given(st.data())
def test_any_order_of_writing_rotating_crashing_and_reading_gives_each_record_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = started(folder)
    reader = SpoolReader(folder, 1)
    written: list[bytes] = []
    pending: list[bytes] = []
    got: list[tuple[int, bytes]] = []
    step = st.sampled_from(["append", "flush", "rotate", "crash", "read", "forget", "new reader"])
    for action in data.draw(st.lists(step, max_size=40)):
        if action == "append":
            pending.append(data.draw(st.binary(max_size=40)))
            spool.append(pending[-1])
        elif action == "flush":
            flush(spool)
            written += pending
            pending = []
        elif action == "rotate" and not pending:
            spool.rotate(b"snapshot")
        elif action == "crash":
            spool.close()
            spool, pending = writer(folder), []
            assert spool.recover() is not None
            assert spool.next == len(written) + 1
        elif action == "read":
            got += reader.read()
        elif action == "forget":
            reader.forget(reader.next)
        elif action == "new reader":
            reader.close()
            reader = SpoolReader(folder, reader.next)
    while more := reader.read():
        got += more
    assert got == list(enumerate(written, 1))
    spool.close()
    reader.close()
