"""What every store must do; each one's tests run these against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tenhertz.link import Kind
from tenhertz.link.frame import Frame
from tenhertz.link.points import POINTS
from tenhertz.store.account import ENCODE, Account, account_key
from tenhertz.store.contract import FleetStore, Reader

from .frames import BASE_NS, SECOND_NS, frame


class Pair(NamedTuple):
    """A store under test."""

    store: FleetStore
    reader: Callable[[], Reader]


def expected(frames: list[Frame], kind: Kind, source: str, entity: str) -> dict[str, np.ndarray]:
    """The rows of an entity, gathered without any store."""
    rows = [
        one.take(one.entity == one.entities.index(entity))
        for one in frames
        if one.kind is kind and one.source == source and entity in one.entities
    ]
    time_ns = np.concatenate([one.time_ns for one in rows])
    order = np.argsort(time_ns, kind="stable")
    found = {"time_ns": time_ns[order]}
    for point in POINTS[kind]:
        values = np.concatenate([one.columns[point.name].physical for one in rows])
        found[point.name] = values[order]
    return found


def check_round_trip(pair: Pair) -> None:
    """Every kind comes back as it went in, to the bit where the point's type allows."""
    assert pair.store.recover().position == 0
    frames = [frame(kind, seed=int(kind)) for kind in Kind]
    frames += [frame(source="site-2", cells=7, seed=9), frame(first=7, at_ns=BASE_NS + SECOND_NS)]
    pair.store.commit(frames, {"k": b"v"}, 5)
    reader = pair.reader()
    for kind in Kind:
        for source, entity in (("site-1", "p1"), ("site-1", "p2")):
            got = reader.range(kind, source, entity, BASE_NS, BASE_NS + 60 * SECOND_NS)
            want = expected(frames, kind, source, entity)
            for name, values in want.items():
                if values.dtype == object:
                    assert got[name].tolist() == values.tolist()
                else:
                    np.testing.assert_allclose(got[name], values, rtol=1e-6, err_msg=name)
            assert set(got["source"]) == {source}
            assert set(got["entity"]) == {entity}
    assert reader.state() == (5, {"k": b"v"})
    reader.close()


def check_latest(pair: Pair) -> None:
    """The newest row of each entity, whatever order they came in."""
    pair.store.recover()
    new = frame(first=100, at_ns=BASE_NS + 10 * SECOND_NS, seed=3)
    pair.store.commit([new], {}, 1)
    pair.store.commit([frame(seed=4), frame(source="a", cells=2, entities=("z",))], {}, 2)
    reader = pair.reader()
    got = reader.latest(Kind.CELL)
    assert list(zip(got["source"], got["entity"], strict=True)) == [
        ("a", "z"),
        ("site-1", "p1"),
        ("site-1", "p2"),
    ]
    assert got["time_ns"][1] == BASE_NS + 10 * SECOND_NS + 200_000_000
    np.testing.assert_allclose(got["voltage_v"][1:], new.columns["voltage_v"].physical[-2:])
    only = reader.latest(Kind.CELL, "site-1")
    assert only["entity"].tolist() == ["p1", "p2"]
    assert reader.latest(Kind.TICK)["time_ns"].size == 0
    reader.close()


def check_steps(pair: Pair, after_upkeep: bool) -> None:
    """Steps have the mean and extremes of their rows, also at broken edges."""
    pair.store.recover()
    frames = [
        frame(first=1 + 100 * n, instants=50, at_ns=BASE_NS + n * 5 * SECOND_NS, seed=n)
        for n in range(40)
    ]
    for position, one in enumerate(frames, 1):
        pair.store.commit([one], {}, position)
    if after_upkeep:
        while pair.store.upkeep(BASE_NS + 3600 * SECOND_NS):
            pass
        pair.store.commit([frame(first=9000, at_ns=BASE_NS + 150 * SECOND_NS + 1, seed=77)], {}, 99)
        frames.append(frame(first=9000, at_ns=BASE_NS + 150 * SECOND_NS + 1, seed=77))
    want = expected(frames, Kind.CELL, "site-1", "p1")
    start_ns, end_ns = BASE_NS + 30 * SECOND_NS, BASE_NS + 185 * SECOND_NS
    reader = pair.reader()
    for every_s in (60, 120, 7):
        every_ns = every_s * SECOND_NS
        got = reader.range(Kind.CELL, "site-1", "p1", start_ns, end_ns, every_ns)
        there = (want["time_ns"] >= start_ns) & (want["time_ns"] < end_ns)
        step = want["time_ns"][there] // every_ns * every_ns
        assert got["time_ns"].tolist() == np.unique(step).tolist()
        for number, begin in enumerate(np.unique(step)):
            rows = step == begin
            assert got["rows"][number] == rows.sum()
            for point in ("voltage_v", "current_a", "temperature_c"):
                values = want[point][there][rows].astype(float)
                for what, value in (
                    ("mean", np.nanmean(values)),
                    ("min", np.nanmin(values)),
                    ("max", np.nanmax(values)),
                ):
                    np.testing.assert_allclose(got[f"{point}_{what}"][number], value, rtol=1e-5)
    assert (
        reader.range(Kind.CELL, "site-1", "nobody", start_ns, end_ns, 60 * SECOND_NS)[
            "time_ns"
        ].tolist()
        == []
    )
    reader.close()


def check_gaps(pair: Pair) -> None:
    """Gaps come from the accounts in the state."""
    pair.store.recover()
    account = Account("s", 3, int(Kind.SAMPLE), head=20, held=[1, 5, 8, 10])
    account.gone = [(5, 8, "retention")]
    pair.store.commit([], {account_key("s", 3, 1): ENCODE(account)}, 1)
    reader = pair.reader()
    assert [(gap.first, gap.end, gap.cause) for gap in reader.gaps()] == [
        (5, 8, "retention"),
        (10, 20, ""),
    ]
    assert reader.gaps("other") == []
    reader.close()
