"""The writing end of the embedded store."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tenhertz.link.frame import Frame
from tenhertz.link.points import Kind
from tenhertz.store.contract import Recovered, Retention
from tenhertz.store.embedded import minutes, newest, segments
from tenhertz.store.embedded.block import Block, from_frames, merged, merged_in_ranges
from tenhertz.store.embedded.catalogue import SEGMENT_FOLDER, Catalogue, Segment
from tenhertz.store.embedded.newest import Newest
from tenhertz.store.sqlite import StoreTrouble

# So many segments of a level become one of the next, unless that is too large to sort at once.
_FAN_IN = 16
_LARGEST_NUMBERS = 32_000_000
# How long a segment that was replaced stays for readers that have begun.
_GRACE_NS = 120_000_000_000
_DAY_NS = 86_400_000_000_000


def newest_file(folder: Path, kind: Kind) -> Path:
    """Where the newest rows of a kind stand."""
    return folder / f"newest-{kind.name.lower()}.arrow"


class EmbeddedStore:
    """A store in a folder; see the contract."""

    def __init__(self, folder: Path, retention: Retention) -> None:
        self._folder = folder
        self._segments = folder / SEGMENT_FOLDER
        self._retention = retention
        self._catalogue: Catalogue | None = None
        self._newest: dict[Kind, Newest] = {}
        self._untold: set[Kind] = set()  # newest rows that the files do not have yet

    def recover(self) -> Recovered:
        """Open, sweep up what a crash has left, and tell where the store stands."""
        self.close()
        self._catalogue = catalogue = Catalogue(self._folder, writable=True)
        recovered = catalogue.recovered()
        known = catalogue.known()
        try:
            for path in self._segments.iterdir():
                if path.name not in known:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreTrouble(f"{self._segments}: {error}") from error
        self._newest = {kind: self._recover_newest(kind) for kind in Kind}
        return recovered

    def _recover_newest(self, kind: Kind) -> Newest:
        found = Newest(kind)
        position, table = newest.read(newest_file(self._folder, kind))
        if table is not None:
            found.take(newest.blocks_of(table, kind))
        later = self._open.segments(
            kind, minutes=False, after=position if table is not None else -1
        )
        for segment in later:
            found.take(merged(self._read([segment])))
            self._untold.add(kind)
        return found

    @property
    def _open(self) -> Catalogue:
        if self._catalogue is None:
            raise StoreTrouble(f"{self._folder}: the store is not open")
        return self._catalogue

    def close(self) -> None:
        """Let go of everything."""
        if self._catalogue is not None:
            self._catalogue.close()
            self._catalogue = None

    # -- rows ---------------------------------------------------------------------------------

    def commit(self, frames: Sequence[Frame], state: Mapping[str, bytes], position: int) -> None:
        """Store rows, state and position, durably, or nothing."""
        catalogue = self._open
        added: list[Segment] = []
        taken: dict[Kind, list[Block]] = {}
        try:
            for kind in Kind:
                of_kind = [frame for frame in frames if frame.kind is kind and frame.rows]
                if of_kind:
                    taken[kind] = blocks = merged(from_frames(of_kind, kind))
                    added.append(self._write(blocks, kind, 0, position))
            with catalogue.transaction():
                catalogue.add(added)
                catalogue.put_state(state, position)
        except StoreTrouble:
            self._discard(added)
            raise
        for kind, blocks in taken.items():
            self._newest[kind].take(blocks)
            self._untold.add(kind)
        self._tell_newest(position)

    def _write(
        self,
        blocks: Iterable[Block],
        kind: Kind,
        level: int,
        position: int,
        *,
        of_minutes: bool = False,
    ) -> Segment:
        number = self._next_number()
        tier = "minutes" if of_minutes else "rows"
        path = self._segments / f"{kind.name.lower()}-{tier}-{level}-{number:012}.parquet"
        return segments.write(
            path, blocks, kind, of_minutes=of_minutes, level=level, position=position
        )

    def _next_number(self) -> int:
        with self._open.transaction():
            return self._open.next_number()

    def _discard(self, written: Sequence[Segment]) -> None:
        """Remove segments that the catalogue did not take; a crash leaves that to `recover`."""
        for segment in written:
            try:
                if segment.file not in self._open.known():
                    (self._segments / segment.file).unlink(missing_ok=True)
            except (OSError, StoreTrouble):
                return

    def _tell_newest(self, position: int) -> None:
        for kind in tuple(self._untold):
            self._newest[kind].write(newest_file(self._folder, kind), position)
            self._untold.discard(kind)

    def _sorted(self, wanted: Sequence[Segment]) -> list[Block]:
        """The rows of segments, each a sorted block or, of rows of several widths, several."""
        return [block for segment in wanted for block in merged(self._read([segment]))]

    def _read(self, wanted: Sequence[Segment]) -> list[Block]:
        try:
            return segments.read(self._segments, wanted)
        except FileNotFoundError as error:
            raise StoreTrouble(f"{error.filename or error}: a segment is missing") from error

    # -- upkeep -------------------------------------------------------------------------------

    def upkeep(self, now_ns: int) -> bool:
        """One piece of compaction, retention or tidying."""
        return self._compact(now_ns) or self._retain(now_ns) or self._tidy(now_ns)

    def _compact(self, now_ns: int) -> bool:
        for kind, of_minutes in itertools.product(Kind, (False, True)):
            by_level: dict[int, list[Segment]] = {}
            for segment in self._open.segments(kind, minutes=of_minutes):
                by_level.setdefault(segment.level, []).append(segment)
            for level, found in by_level.items():
                chosen = found[:_FAN_IN]
                numbers = sum(segment.numbers for segment in chosen)
                if level > 0 and numbers > _LARGEST_NUMBERS:
                    continue
                if len(chosen) == _FAN_IN or numbers > _LARGEST_NUMBERS:
                    self._join(
                        _first_of(chosen, _LARGEST_NUMBERS), kind, now_ns, of_minutes=of_minutes
                    )
                    return True
        return False

    def _join(
        self, chosen: Sequence[Segment], kind: Kind, now_ns: int, *, of_minutes: bool = False
    ) -> None:
        """Put segments together; those that were just committed also become minutes."""
        level = chosen[0].level
        position = max(segment.position for segment in chosen)
        tiered = not of_minutes and level == 0 and kind not in minutes.UNTIERED
        tier: list[Block] = []

        def joined() -> Iterator[Block]:
            for block in merged_in_ranges(self._sorted(chosen)):
                if tiered:
                    tier.append(minutes.from_rows(block, kind))
                yield minutes.folded(block) if of_minutes else block

        added = [self._write(joined(), kind, level + 1, position, of_minutes=of_minutes)]
        try:
            if tiered:
                summed = [minutes.folded(block) for block in merged(tier)]
                added.append(self._write(summed, kind, 0, position, of_minutes=True))
            with self._open.transaction():
                self._open.add(added)
                self._open.retire(chosen, now_ns)
        except StoreTrouble:
            self._discard(added)
            raise

    def _retain(self, now_ns: int) -> bool:
        full, tier = self._retention.full_days, self._retention.minutes_days
        for kind in Kind:
            rows_days = tier if kind in minutes.UNTIERED else full
            for of_minutes, days in ((False, rows_days), (True, tier)):
                if days is None:
                    continue
                before_ns = now_ns - int(days * _DAY_NS)
                found = self._open.segments(kind, minutes=of_minutes, end_ns=before_ns)
                # Rows that were never put together have no minutes yet.
                old = [s for s in found if s.last_ns < before_ns]
                plain = [s for s in old if not of_minutes and s.level == 0]
                if plain and kind not in minutes.UNTIERED:
                    self._join(_first_of(plain, _LARGEST_NUMBERS), kind, now_ns)
                    return True
                if old:
                    with self._open.transaction():
                        self._open.retire(old[:_FAN_IN], now_ns)
                    return True
        return False

    def _tidy(self, now_ns: int) -> bool:
        files = self._open.retired(now_ns - _GRACE_NS)[: 4 * _FAN_IN]
        if not files:
            return False
        try:
            for file in files:
                (self._segments / file).unlink(missing_ok=True)
        except OSError as error:
            raise StoreTrouble(f"{self._segments}: {error}") from error
        with self._open.transaction():
            self._open.forget(files)
        return True


def _first_of(found: Sequence[Segment], largest: int) -> list[Segment]:
    """The first segments that are not too many numbers together, at least one."""
    chosen: list[Segment] = []
    numbers = 0
    for segment in found:
        numbers += segment.numbers
        if chosen and numbers > largest:
            break
        chosen.append(segment)
    return chosen
