"""The first rows of a long range: all that there are, once, without reading the rest."""

from __future__ import annotations

import numpy as np
import pytest

from tenhertz.cli.fleet_range import Asked, first_rows
from tenhertz.link import Kind
from tenhertz.store.contract import Columns


class Noted:
    """A reader of a row each second, over some stretches of time, that notes what it is asked."""

    def __init__(self, *stretches: tuple[int, int]) -> None:
        self.stretches = stretches  # s
        self.windows: list[tuple[int, int, int | None]] = []

    def range(
        self, kind: Kind, source: str, entity: str, start_ns: int, end_ns: int, every_ns: int | None
    ) -> Columns:
        self.windows.append((start_ns, end_ns, every_ns))
        low, high = -(-start_ns // 10**9), -(-end_ns // 10**9)
        parts = [np.arange(max(a, low), max(min(b, high), a, low)) for a, b in self.stretches]
        time_ns = np.concatenate(parts).astype(np.int64) * 10**9
        if every_ns is None:
            return {"time_ns": time_ns}
        step, rows = np.unique(time_ns // every_ns * every_ns, return_counts=True)
        return {"time_ns": step, "rows": rows}


DAY = 86_400
EVERY = pytest.mark.parametrize("every_s", [None, 7, 60, 3601])


def asked_for(end_s: int, every_s: int | None) -> Asked:
    return Asked(Kind.CELL, "s", "e", 500, end_s * 10**9, every_s and every_s * 10**9)


@EVERY
def test_a_long_range_is_read_only_as_far_as_it_is_shown(every_s: int | None) -> None:
    reader = Noted((0, 40 * DAY))
    found = first_rows(reader, asked_for(40 * DAY, every_s), 500)["time_ns"]  # type: ignore[arg-type]
    first = 1 if every_s is None else 0
    assert found.tolist() == [n * (every_s or 1) * 10**9 for n in range(first, 500 + first)]
    read = [window for window in reader.windows if window[2] == (every_s and every_s * 10**9)]
    assert sum(end - start for start, end, _ in read) < 2 * 500 * (every_s or 8) * 10**9 + 7200e9


@EVERY
def test_windows_leave_nothing_out_and_tell_no_step_twice(every_s: int | None) -> None:
    stretches = ((3599, 3601), (7 * DAY + 3, 7 * DAY + 7300), (7 * DAY + 10_799, 7 * DAY + 10_801))
    whole = Noted(*stretches)
    asked = asked_for(2000 * DAY, every_s)
    expected = whole.range(*asked)
    reader = Noted(*stretches)
    found = first_rows(reader, asked, 1_000_000)  # type: ignore[arg-type]
    for name, values in expected.items():
        assert found[name].tolist() == values.tolist()
    assert len(reader.windows) < 120  # years without rows cost little


@EVERY
def test_a_long_range_without_rows_is_empty(every_s: int | None) -> None:
    reader = Noted((0, 0))
    assert first_rows(reader, asked_for(2000 * DAY, every_s), 10)["time_ns"].size == 0  # type: ignore[arg-type]
