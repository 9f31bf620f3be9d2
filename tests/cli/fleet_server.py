"""A fleet server's files, without the server: a configuration, and a store with rows in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tenhertz import cli
from tenhertz.link import Kind
from tenhertz.link.frame import Column, Frame
from tenhertz.link.points import POINTS
from tenhertz.store.contract import Retention
from tenhertz.store.embedded import EmbeddedStore

CONFIG = """
[fleet]
name = "nordic"
[[source]]
match = "*"
"""
BEGIN_NS = 1_800_000_000 * 10**9 // (60 * 10**9) * 60 * 10**9
BEGIN = "2027-01-15T08:00:00Z"
FOR_EVER = Retention(None, None)


class Done(NamedTuple):
    """How a call ended."""

    code: int
    out: str
    err: str


class Call:
    """Calls the command line as `main` does, in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *words: object) -> Done:
        self._capsys.readouterr()
        self._monkeypatch.setattr("sys.argv", ["tenhertz", "fleet", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = self._capsys.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0, out, err)


def rows(kind: Kind, instants: int, *, first: int = 1, cells: int = 3) -> Frame:
    """10 Hz rows of pack p1 of site-1 that say which they are; every fourth current is absent."""
    import numpy as np

    number = np.arange(first - 1, first - 1 + instants)
    columns = {}
    for point in POINTS[kind]:
        if point.type == "text":
            columns[point.name] = Column(np.array([f"event {n}" for n in number], object))
        elif point.per_cell:
            places = np.arange(cells) / 100
            columns[point.name] = Column((number[:, None] * 0 + 3.25 + places).astype(np.float32))
        elif point.type.startswith("i"):
            columns[point.name] = Column(number)
        else:
            values = number.astype(np.float64) / 1000
            values[::4] = np.nan
            columns[point.name] = Column(values)
    return Frame(
        "site-1",
        7,
        kind,
        number + 1,
        BEGIN_NS + number * 100_000_000,
        np.zeros(instants, np.uint32),
        ("p1",),
        columns,
        BEGIN_NS,
    )


def fill(folder: Path, frames: Sequence[Frame], state: dict[str, bytes] | None = None) -> None:
    """Commit frames to the store of a server."""
    store = EmbeddedStore(folder / "var" / "store", FOR_EVER)
    position = store.recover().position
    store.commit(frames, state or {}, position + 1)
    store.close()
