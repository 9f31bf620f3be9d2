"""The store of Parquet segments, by the contract of all stores and by what only it can do wrong."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tenhertz.link import Kind
from tenhertz.store import StoreTrouble
from tenhertz.store.contract import Retention
from tenhertz.store.embedded import EmbeddedReader, EmbeddedStore
from tenhertz.store.embedded.catalogue import Catalogue

from . import contract
from .contract import Pair
from .frames import BASE_NS, SECOND_NS, frame

FOR_EVER = Retention(None, None)
DAY_NS = 86_400 * SECOND_NS


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(EmbeddedStore(tmp_path, FOR_EVER), lambda: EmbeddedReader(tmp_path))


def test_round_trip(pair: Pair) -> None:
    contract.check_round_trip(pair)


def test_latest(pair: Pair) -> None:
    contract.check_latest(pair)


@pytest.mark.parametrize("after_upkeep", [False, True])
@pytest.mark.slow
def test_steps(pair: Pair, after_upkeep: bool) -> None:
    contract.check_steps(pair, after_upkeep)


def test_gaps(pair: Pair) -> None:
    contract.check_gaps(pair)


def test_a_store_that_has_not_begun_is_empty(tmp_path: Path) -> None:
    reader = EmbeddedReader(tmp_path / "nothing")
    assert reader.state() == (0, {})
    assert reader.latest(Kind.CELL)["time_ns"].size == 0
    assert reader.range(Kind.SAMPLE, "a", "b", 0, 1 << 60)["power_w"].size == 0
    assert reader.gaps() == []


def test_a_store_that_is_being_made_is_empty(tmp_path: Path) -> None:
    (tmp_path / "catalogue.sqlite").touch()
    reader = EmbeddedReader(tmp_path)
    assert reader.state() == (0, {})
    EmbeddedStore(tmp_path, FOR_EVER).recover()
    EmbeddedStore(tmp_path, FOR_EVER).recover()
    assert reader.state() == (0, {})


def rows(folder: Path) -> int:
    reader = EmbeddedReader(folder)
    return sum(
        len(reader.range(Kind.CELL, "site-1", entity, 0, 1 << 62)["time_ns"])
        for entity in ("p1", "p2")
    )


def test_a_commit_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EmbeddedStore(tmp_path, FOR_EVER)
    store.recover()
    store.commit([frame()], {}, 1)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(StoreTrouble, match="No space left"):
            store.commit([frame(first=7)], {"a": b"b"}, 2)
    assert len(list((tmp_path / "segments").iterdir())) == 1
    assert store.recover() == (1, {})
    store.commit([frame(first=7, at_ns=BASE_NS + SECOND_NS)], {"a": b"b"}, 2)
    assert rows(tmp_path) == 12


def test_a_crash_before_the_catalogue_counts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EmbeddedStore(tmp_path, FOR_EVER)
    store.recover()

    class Crash(BaseException):
        """The process ends here."""

    def crash(*_arguments: object) -> None:
        raise Crash

    with monkeypatch.context() as death:
        death.setattr(Catalogue, "put_state", crash)
        with pytest.raises(Crash):
            store.commit([frame()], {}, 1)
    assert len(list((tmp_path / "segments").iterdir())) == 1
    again = EmbeddedStore(tmp_path, FOR_EVER)
    assert again.recover().position == 0
    assert list((tmp_path / "segments").iterdir()) == []


def test_the_newest_rows_follow_the_catalogue_after_a_crash(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, FOR_EVER)
    store.recover()
    store.commit([frame()], {}, 1)
    old = (tmp_path / "newest-cell.arrow").read_bytes()
    store.commit([frame(first=7, at_ns=BASE_NS + SECOND_NS)], {}, 2)
    for content in (old, b"", b"garbage"):
        (tmp_path / "newest-cell.arrow").write_bytes(content)
        again = EmbeddedStore(tmp_path, FOR_EVER)
        again.recover()
        again.commit([], {}, 3)
        newest = EmbeddedReader(tmp_path).latest(Kind.CELL)
        assert newest["time_ns"].tolist() == [BASE_NS + SECOND_NS + 200_000_000] * 2


@pytest.mark.slow
def test_retention_leaves_minutes(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, Retention(1.0, 10.0))
    store.recover()
    store.commit([frame(), frame(Kind.EVENT)], {}, 1)
    store.commit([frame(first=7, at_ns=BASE_NS + 5 * DAY_NS)], {}, 2)
    while store.upkeep(BASE_NS + 3 * DAY_NS):
        pass
    reader = EmbeddedReader(tmp_path)
    end_ns = BASE_NS + 60 * SECOND_NS
    assert reader.range(Kind.CELL, "site-1", "p1", BASE_NS, end_ns)["time_ns"].size == 0
    coarse = reader.range(Kind.CELL, "site-1", "p1", BASE_NS, end_ns, 60 * SECOND_NS)
    assert coarse["rows"].tolist() == [3]
    assert reader.range(Kind.EVENT, "site-1", "p1", BASE_NS, end_ns)["time_ns"].size == 3
    assert rows(tmp_path) == 6  # those of day 5
    while store.upkeep(BASE_NS + 12 * DAY_NS):
        pass
    gone = reader.range(Kind.CELL, "site-1", "p1", BASE_NS, end_ns, 60 * SECOND_NS)
    assert gone["rows"].size == 0
    while store.upkeep(BASE_NS + 13 * DAY_NS):
        pass
    left = {path.name.split("-")[1] for path in (tmp_path / "segments").iterdir()}
    assert left == {"minutes"}


def test_blank_cells_stay_blank(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, FOR_EVER)
    store.recover()
    one = frame(instants=1)
    values = one.columns["voltage_v"].physical
    values[0, 2] = np.nan
    one.columns["voltage_v"] = type(one.columns["voltage_v"])(values)
    store.commit([one], {}, 1)
    got = EmbeddedReader(tmp_path).range(Kind.CELL, "site-1", "p1", 0, 1 << 62)["voltage_v"]
    np.testing.assert_array_equal(np.isnan(got), [[False, False, True, False]])
