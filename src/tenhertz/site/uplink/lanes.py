"""What goes to the fleet next: the newest rows first, older ones in what room is left.

Sans-I/O. For each kind of rows it knows what the site has numbered, what the fleet has said it
holds, and what is under way. What is neither is still to be sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tenhertz.link import Intervals, Kind
from tenhertz.site.uplink.pace import Pace

# Between two batches of new rows of a kind: a part of the round trip, within these bounds.
_LEAST_GAP_NS = 100_000_000
_MOST_GAP_NS = 1_000_000_000
# A row takes about this much before any was sent.
_FIRST_ROW_BYTES = 24.0


class Wanted(NamedTuple):
    """Rows that should go out now: [first, end) of a kind."""

    kind: Kind
    first: int
    end: int
    live: bool


class _Flying(NamedTuple):
    first: int
    end: int
    size: int
    sent_ns: int
    live: bool


class _Lane:
    """One kind of rows."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.head = 1
        self.watermark = 1  # rows below it are backlog unless they are claimed
        self.held = Intervals()
        self.claimed = Intervals()  # held, or under way
        self.flying: list[_Flying] = []
        self.row_bytes = _FIRST_ROW_BYTES
        self.live_sent_ns = 0

    def backlog(self) -> tuple[int, int] | None:
        missing = self.claimed.missing(1, self.watermark)
        return missing[0] if missing else None


class Lanes:
    """All kinds of rows of one site. Sequence numbers begin at 1; time is monotonic."""

    def __init__(self, kinds: Iterable[Kind], pace: Pace) -> None:
        self._lanes = {kind: _Lane(kind) for kind in kinds}
        self._pace = pace
        self._turn = 0
        self.resent_rows = 0  # claimed once, and then again

    # -- what is known ------------------------------------------------------------------------

    def numbered(self, kind: Kind, head: int) -> None:
        """The site will give `head` to the next row."""
        self._lanes[kind].head = head

    def begin(self, held: dict[Kind, Intervals]) -> None:
        """The fleet has told all that it holds; nothing is under way any more."""
        self._pace.begin()
        for kind, lane in self._lanes.items():
            lane.held = held.get(kind, Intervals()).copy()
            lane.claimed = lane.held.copy()
            self.resent_rows += sum(
                b - a for f in lane.flying for a, b in lane.held.missing(f.first, f.end)
            )
            lane.flying.clear()

    def held(self, kind: Kind, held: Intervals, now_ns: int) -> int:
        """The fleet holds these, as it did before; returns how many rows are new to us."""
        lane = self._lanes[kind]
        before = lane.held.total
        lane.held.add_all(held)
        lane.claimed.add_all(held)
        still = []
        for flight in lane.flying:
            if lane.held.covers(flight.first, flight.end):
                took_s = (now_ns - flight.sent_ns) / 1e9
                self._pace.acknowledged(flight.size, took_s, now_ns)
            else:
                still.append(flight)
        lane.flying = still
        return lane.held.total - before

    # -- what is to be done -------------------------------------------------------------------

    def wanted(self, now_ns: int) -> Wanted | None:
        """What should go out next, if anything."""
        if self._pace.live_open:
            for lane in self._lanes.values():
                if lane.head > lane.watermark and self._due(lane, now_ns):
                    first = max(lane.watermark, lane.head - self._rows(lane))
                    return Wanted(lane.kind, first, lane.head, live=True)
        if self._pace.backlog_open:
            lanes = list(self._lanes.values())
            for step in range(len(lanes)):
                lane = lanes[(self._turn + step) % len(lanes)]
                found = lane.backlog()
                if found is not None:
                    self._turn = (self._turn + step + 1) % len(lanes)
                    end = min(found[1], found[0] + self._rows(lane))
                    return Wanted(lane.kind, found[0], end, live=False)
        return None

    def _due(self, lane: _Lane, now_ns: int) -> bool:
        quarter_ns = int(self._pace.smooth_s * 1e9 / 4)
        gap_ns = max(_LEAST_GAP_NS, min(_MOST_GAP_NS, quarter_ns))
        return now_ns - lane.live_sent_ns >= gap_ns

    def _rows(self, lane: _Lane) -> int:
        return max(1, int(self._pace.batch_bytes / lane.row_bytes))

    def sent(self, wanted: Wanted, end: int, size: int, now_ns: int) -> None:
        """[wanted.first, end) went out in `size` bytes."""
        lane = self._lanes[wanted.kind]
        rows = end - wanted.first
        lane.claimed.add(wanted.first, end)
        lane.flying.append(_Flying(wanted.first, end, size, now_ns, wanted.live))
        lane.row_bytes += (size / rows - lane.row_bytes) / 4
        if wanted.live:
            lane.watermark = max(lane.watermark, end)
            lane.live_sent_ns = now_ns
        self._pace.sent(size)

    def late(self, now_ns: int) -> bool:
        """Whether something has been under way for too long."""
        before_ns = now_ns - self._pace.patience_ns
        return any(
            flight.sent_ns < before_ns for lane in self._lanes.values() for flight in lane.flying
        )

    # -- figures ------------------------------------------------------------------------------

    @property
    def waiting_rows(self) -> int:
        """Rows that the fleet does not hold yet."""
        return sum(
            b - a for lane in self._lanes.values() for a, b in lane.held.missing(1, lane.head)
        )

    def beyond(self) -> Kind | None:
        """A kind of which the fleet holds more than the site has numbered: an older copy."""
        for kind, lane in self._lanes.items():
            if lane.held.end > lane.head:
                return kind
        return None
