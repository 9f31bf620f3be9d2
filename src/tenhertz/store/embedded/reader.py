"""The reading end of the embedded store, beside a running writer or without one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from tenhertz.link.points import POINTS, Kind
from tenhertz.store.account import Gap, decode_account
from tenhertz.store.contract import Columns, Recovered
from tenhertz.store.embedded import minutes, newest, segments
from tenhertz.store.embedded.block import DTYPES, Block, merged
from tenhertz.store.embedded.catalogue import CATALOGUE_FILE, SEGMENT_FOLDER, Catalogue, Segment
from tenhertz.store.embedded.minutes import MINUTE_NS
from tenhertz.store.embedded.newest import Newest
from tenhertz.store.embedded.writer import newest_file
from tenhertz.store.sqlite import StoreTrouble

# A segment may be replaced between the look at the catalogue and its reading.
_TRIES = 3
_T = TypeVar("_T")


class EmbeddedReader:
    """Reads a store in a folder; see the contract."""

    def __init__(self, folder: Path) -> None:
        """Open it; a store that has not begun yet is empty.

        Raises:
            StoreTrouble: it cannot be read.
        """
        self._folder = folder
        self._segments = folder / SEGMENT_FOLDER
        self._fragments = segments.Fragments(self._segments)
        self._catalogue: Catalogue | None = None
        self._lock = threading.Lock()  # one thread at a time asks the catalogue

    def close(self) -> None:
        """Let go of the catalogue."""
        if self._catalogue is not None:
            self._catalogue.close()
            self._catalogue = None

    def _opened(self) -> Catalogue | None:
        if self._catalogue is None and (self._folder / CATALOGUE_FILE).exists():
            catalogue = Catalogue(self._folder, writable=False)
            if not catalogue.begun:
                catalogue.close()
                return None
            self._catalogue = catalogue
        return self._catalogue

    def state(self) -> Recovered:
        """Where the store stands."""
        with self._lock:
            catalogue = self._opened()
            return catalogue.recovered() if catalogue is not None else Recovered(0, {})

    def gaps(self, source: str | None = None) -> list[Gap]:
        """What the store knows it does not have."""
        found: list[Gap] = []
        for key, body in sorted(self.state().state.items()):
            if key.startswith("account/"):
                account = decode_account(body)
                if source in (None, account.source):
                    found.extend(account.gaps())
        return found

    # -- the newest ---------------------------------------------------------------------------

    def latest(self, kind: Kind, source: str | None = None) -> Columns:
        """The newest row of each entity."""
        _, table = newest.read(newest_file(self._folder, kind))
        if table is None:
            table = self._again(lambda: self._rebuilt(kind))
        columns = newest.columns_of(table, source)
        columns.pop("cells")
        return columns

    def _rebuilt(self, kind: Kind) -> pa.Table:
        found = Newest(kind)
        for segment in self._chosen(kind):
            if not segment.minutes:
                found.take(merged(segments.read(self._segments, [segment])))
        return found.table(0)

    # -- ranges -------------------------------------------------------------------------------

    def range(
        self,
        kind: Kind,
        source: str,
        entity: str,
        start_ns: int,
        end_ns: int,
        every_ns: int | None = None,
    ) -> Columns:
        """The rows of one entity, or their course in steps."""
        if every_ns is not None and every_ns < 1_000_000_000:
            raise ValueError(f"steps of {every_ns} ns: take one second or more")
        found = self._again(
            lambda: self._range(kind, source, entity, start_ns, max(start_ns, end_ns), every_ns)
        )
        rows = len(found["time_ns"])
        names = {"source": np.full(rows, source, object), "entity": np.full(rows, entity, object)}
        return names | found

    def _range(
        self, kind: Kind, source: str, entity: str, start_ns: int, end_ns: int, every_ns: int | None
    ) -> Columns:
        # One look at the catalogue: between two, rows could move into the tier of minutes.
        chosen = self._chosen(kind, start_ns, end_ns)
        every_row = [segment for segment in chosen if not segment.minutes]

        points = [point.name for point in POINTS[kind]]

        def rows_of(wanted: list[Segment], begin_ns: int, until_ns: int) -> list[Block]:
            if begin_ns >= until_ns:
                return []
            where = segments.of_entity(source, entity, begin_ns, until_ns)
            columns = (
                None if wanted and wanted[0].minutes else ["source", "entity", "time_ns", *points]
            )
            return segments.find(self._fragments, wanted, where, columns)

        if every_ns is None:
            return _plain(rows_of(every_row, start_ns, end_ns), kind)
        low, high = -(-start_ns // MINUTE_NS) * MINUTE_NS, end_ns // MINUTE_NS * MINUTE_NS
        tier: list[Block] = []
        if every_ns % MINUTE_NS or kind in minutes.UNTIERED or low >= high:
            parts = rows_of(every_row, start_ns, end_ns)
        else:
            # What has minutes is read there; what has none yet, and broken minutes, row by row.
            parts = rows_of([segment for segment in every_row if segment.level == 0], low, high)
            parts += rows_of(every_row, start_ns, low) + rows_of(every_row, high, end_ns)
            tier = rows_of([segment for segment in chosen if segment.minutes], low, high)
        steps = [minutes.from_rows(block, kind, every_ns) for block in merged(parts)]
        joined = merged(steps + tier)
        if not joined:
            return minutes.told(_no_minutes(kind), kind)
        return minutes.told(minutes.folded(joined[0], every_ns), kind)

    def _chosen(
        self, kind: Kind, start_ns: int = -(1 << 62), end_ns: int = 1 << 62
    ) -> list[Segment]:
        with self._lock:
            catalogue = self._opened()
            if catalogue is None:
                return []
            return catalogue.segments(kind, start_ns=start_ns, end_ns=end_ns)

    def _again(self, ask: Callable[[], _T]) -> _T:
        missing: object = None
        for _ in range(_TRIES):
            try:
                return ask()
            except FileNotFoundError as error:
                missing = error
        raise StoreTrouble(f"{self._segments}: a segment is missing: {missing}")


def _plain(blocks: list[Block], kind: Kind) -> Columns:
    """Rows as the contract has them, ascending in time; fewer cells are filled up with NaN."""
    points = POINTS[kind]
    widest = max((block.cells for block in blocks), default=0)
    times = [block.columns["time_ns"] for block in blocks]
    time_ns = np.concatenate(times) if times else np.zeros(0, np.int64)
    order = np.argsort(time_ns, kind="stable")
    found: Columns = {"time_ns": time_ns[order]}
    for point in points:
        if point.per_cell:
            values = np.full((len(time_ns), widest), np.nan, DTYPES[point.type])
            at = 0
            for block in blocks:
                part = block.columns[point.name]
                values[at : at + block.rows, : part.shape[1]] = part
                at += block.rows
        else:
            dtype = object if point.type == "text" else DTYPES[point.type]
            parts = [block.columns[point.name] for block in blocks]
            values = np.concatenate([np.zeros(0, dtype), *parts])
        found[point.name] = values[order]
    return found


def _no_minutes(kind: Kind) -> Block:
    names = minutes.schema_of(kind).names[2:]
    columns = {name: np.zeros(0, np.int64 if name == "time_ns" else np.float64) for name in names}
    return Block([], np.zeros(0, np.int32), columns)
