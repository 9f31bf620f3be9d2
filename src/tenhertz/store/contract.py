"""What every store of the fleet does, whichever database is below.

The writing end is called by one thread and blocks. Its promise: a commit moves rows, state and
position together, or nothing. The position is the caller's own count of what it handed over; after
a crash it begins again from there, so that nothing is stored twice and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from tenhertz.link.frame import Frame
from tenhertz.link.points import Kind
from tenhertz.store.account import Gap

# A result: columns of the same length, by name.
Columns = dict[str, NDArray[Any]]


class Recovered(NamedTuple):
    """Where a store stands when it is opened."""

    position: int  # 0: it is new
    state: dict[str, bytes]


class Retention(NamedTuple):
    """How long what is kept; `None` is for ever."""

    full_days: float | None = 90.0  # every sample
    minutes_days: float | None = 730.0  # the tier of minutes
    compress_after_days: float = 30.0


class FleetStore(Protocol):
    """The writing end. Every method raises StoreTrouble when the database cannot do it now."""

    def recover(self) -> Recovered:
        """Open (making or migrating it as needed) and tell where it stands."""
        ...

    def commit(self, frames: Sequence[Frame], state: Mapping[str, bytes], position: int) -> None:
        """Store rows, the changed keys of the state, and the position: all, durably, or nothing."""
        ...

    def upkeep(self, now_ns: int) -> bool:
        """Do one short piece of compaction, downsampling or retention; True if there is more."""
        ...

    def close(self) -> None:
        """Let go of everything. A store that is not closed loses nothing."""
        ...


class Reader(Protocol):
    """The reading end: any thread, any process, beside a running writer.

    Every answer has the columns `source`, `entity` and `time_ns`; then one a point. Per-cell points
    come as arrays of shape (rows, cells).
    """

    def latest(self, kind: Kind, source: str | None = None) -> Columns:
        """The newest row of each entity, ordered by source and entity."""
        ...

    def range(
        self,
        kind: Kind,
        source: str,
        entity: str,
        start_ns: int,
        end_ns: int,
        every_ns: int | None = None,
    ) -> Columns:
        """The rows of one entity with start_ns <= time_ns < end_ns, ascending in time.

        With `every_ns` (from 1 s up) one row a step that has any: `time_ns` is the step's begin (a
        multiple of `every_ns`), `rows` counts, and each point has `<point>_mean`, `<point>_min` and
        `<point>_max`, for per-cell points over time and cells. Text points are left out.
        """
        ...

    def state(self) -> Recovered:
        """Where the store stands, as its writer would recover it; 0 where there is none."""
        ...

    def gaps(self, source: str | None = None) -> list[Gap]:
        """What the store knows it does not have, from its accounts."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...
