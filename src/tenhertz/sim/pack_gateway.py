"""A gateway of battery packs as the fleet sees it, without a socket: time and bytes go in.

It numbers rows, keeps every batch until the fleet has acknowledged it, sends again what did not
arrive, and reports what it had to give up. Five facts of what it keeps. Full: the oldest batch is
given up and reported with a cause. Threads: one. Order: as taken; what is sent again comes later.
Loss: only what was reported. Waiting: taking never waits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tenhertz.sim import wire

FAULTS = ("none", "omit", "repeat", "garble", "cut")
Fault = Literal["none", "omit", "repeat", "garble", "cut"]
FULL = "the gateway's memory was full"
LATE_S = 5.0
_BATCH_ROWS = 625
_VARIANTS = 32
_HOT = 850  # tenths of a degree
_POINTS = ("voltage_v", "current_a", "temperature_c")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a gateway are cut into batches: several ticks to one, or several of one."""

    packs: int
    cells: int
    rate_hz: float

    @property
    def ticks(self) -> int:
        """How many ticks go into one batch, one second of them at the most."""
        return max(1, min(_BATCH_ROWS // self.packs, int(self.rate_hz)))

    @property
    def chunks(self) -> list[range]:
        """Which packs go into each batch of the same ticks."""
        count = -(-self.packs // _BATCH_ROWS)
        bounds = [self.packs * number // count for number in range(count + 1)]
        return [range(a, b) for a, b in pairwise(bounds)]

    @property
    def columns(self) -> tuple[wire.Column, ...]:
        """What stands in a body, in this order."""
        return (
            wire.Column(wire.U32, wire.TIME),
            wire.Column(wire.U32, wire.ENTITY),
            wire.Column(wire.I16, point=0, width=self.cells, scale=0.001),
            wire.Column(wire.I16, point=1, scale=0.1),
            wire.Column(wire.I16, point=2, width=self.cells, scale=0.1),
        )


class Bodies:
    """The bodies of all batches, made beforehand: values walk at random, forth and back."""

    def __init__(self, layout: Layout, seed: int) -> None:
        self._layout = layout
        self._chunks = layout.chunks
        random = np.random.default_rng(seed)
        steps = _VARIANTS * layout.ticks
        shape = (steps, layout.packs, layout.cells)
        # Bounded, so that a long walk is no rapid rise in the eyes of a safety rule.
        voltage = _walk(random, shape, 30) + np.int16(3300)
        temperature = _walk(random, shape, 12) // 2 + np.int16(250)
        current = _walk(random, shape[:2], 100) + np.int16(50)
        self._bodies = [
            [
                self._body(packs, variant, voltage, current, temperature)
                for variant in range(_VARIANTS)
            ]
            for packs in layout.chunks
        ]

    def _body(
        self,
        packs: range,
        variant: int,
        voltage: NDArray[np.int16],
        current: NDArray[np.int16],
        temperature: NDArray[np.int16],
    ) -> bytes:
        ticks = self._layout.ticks
        rows = slice(variant * ticks, (variant + 1) * ticks)
        chosen = slice(packs.start, packs.stop)
        offset_ns = np.arange(ticks) * (1e9 / self._layout.rate_hz)
        parts: tuple[NDArray[np.generic], ...] = (
            np.repeat(offset_ns.astype("<u4"), len(packs)),
            np.tile(np.arange(packs.start, packs.stop, dtype="<u4"), ticks),
            voltage[rows, chosen].astype("<i2"),
            current[rows, chosen].astype("<i2"),
            temperature[rows, chosen].astype("<i2"),
        )
        return b"".join(part.tobytes() for part in parts)

    def get(self, chunk: int, beat: int, hot_pack: int | None = None) -> bytes:
        """The body of one batch; a cell of `hot_pack` stands at 85 °C if that is in it."""
        place = beat % (2 * _VARIANTS)
        body = self._bodies[chunk][min(place, 2 * _VARIANTS - 1 - place)]
        packs = self._chunks[chunk]
        if hot_pack is None or hot_pack not in packs:
            return body
        rows, cells = len(packs) * self._layout.ticks, self._layout.cells
        changed = np.frombuffer(bytearray(body), "<i2")
        temperature = changed[-rows * cells :].reshape(-1, len(packs), cells)
        temperature[:, hot_pack - packs.start, 0] = _HOT
        return changed.tobytes()


def _walk(random: np.random.Generator, shape: tuple[int, ...], bound: int) -> NDArray[np.int16]:
    begin = random.integers(-bound // 2, bound // 2 + 1, (1, *shape[1:]), np.int16)
    steps = random.integers(-1, 2, shape, np.int8)
    walk = begin + np.cumsum(steps, axis=0, dtype=np.int16)
    bounded: NDArray[np.int16] = np.clip(walk, -bound, bound).astype(np.int16)
    return bounded


@dataclass(slots=True, eq=False)
class _Kept:
    """Rows [first, end) that the fleet has not acknowledged: a batch, or a report without body."""

    first: int
    end: int
    taken_s: float
    body: bytes | None
    at_ns: int = 0
    sent_s: float | None = None  # None: it waits to be sent
    order: int = 0  # of its last sending
    sendings: int = 0


@dataclass(slots=True)
class Tally:
    """What became of the rows."""

    taken: int = 0
    acked: int = 0
    gone: int = 0  # given up
    gone_acked: int = 0
    resent: int = 0
    births: int = 0
    faults: int = 0
    ack_s: list[float] = field(default_factory=list)  # a batch, from taking to acknowledgement


class PackGateway:
    """One source."""

    def __init__(
        self,
        name: str,
        packs: Sequence[str],
        bodies: Bodies,
        layout: Layout,
        *,
        stream: int,
        keep_bytes: int,
        fault: Fault = "none",
        fault_every: int = 50,
    ) -> None:
        """`fault_every`: at each so many-th batch that is sent, the fault happens."""
        self.tally = Tally()
        self._speaker = wire.Speaker(name, stream)
        self._names = wire.Names(tuple(packs), _POINTS)
        self._form = wire.BatchForm(self._speaker, self._names, layout.columns)
        self._bodies = bodies
        self._rows = [len(chunk) * layout.ticks for chunk in layout.chunks]
        self._keep_bytes = keep_bytes
        self._fault = fault
        self._fault_every = fault_every
        self._next = 1
        self._session = 0
        self._birth_at_ns: int | None = None  # a birth waits to be sent
        self._kept: dict[int, _Kept] = {}  # batches by first row, ascending
        self._kept_bytes = 0
        self._gone: list[_Kept] = []
        self._out: deque[_Kept] = deque()
        self._order = self._acked_order = 0
        self._batches = 0
        self._answer_s = 0.0  # when the fleet last acknowledged anything new

    @property
    def name(self) -> str:
        """Its name as a source."""
        return self._speaker.source

    @property
    def waiting(self) -> int:
        """Batches that are not acknowledged."""
        return len(self._kept)

    @property
    def rows_waiting(self) -> int:
        """Rows that are neither acknowledged nor given up."""
        return sum(kept.end - kept.first for kept in self._kept.values())

    @property
    def settled(self) -> bool:
        """Whether the fleet knows of every row."""
        return not self._kept and not self._gone

    # -- rows ---------------------------------------------------------------------------------

    def take(self, beat: int, at_ns: int, now_s: float, hot_pack: int | None = None) -> None:
        """Measure the packs over the ticks of one batch, the first of them at `at_ns` (UTC)."""
        for chunk, rows in enumerate(self._rows):
            first, self._next = self._next, self._next + rows
            body = self._bodies.get(chunk, beat, hot_pack)
            kept = self._kept[first] = _Kept(first, self._next, now_s, body, at_ns)
            self._out.append(kept)
            self._kept_bytes += len(body)
            self.tally.taken += kept.end - first
        while self._kept_bytes > self._keep_bytes:
            self._give_up(next(iter(self._kept.values())), now_s)

    def _give_up(self, kept: _Kept, now_s: float) -> None:
        self._drop(kept)
        self.tally.gone += kept.end - kept.first
        last = self._gone[-1] if self._gone else None
        if last is not None and last.sent_s is None and last.end == kept.first:
            last.end = kept.end
        else:
            report = _Kept(kept.first, kept.end, now_s, None)
            self._gone.append(report)
            self._out.appendleft(report)

    def _drop(self, kept: _Kept) -> None:
        del self._kept[kept.first]
        self._kept_bytes -= len(kept.body or b"")

    # -- sending ------------------------------------------------------------------------------

    def begin(self, at_ns: int) -> None:
        """A connection stands: everything is told again, the birth first."""
        self._birth_at_ns = at_ns
        for kept in (*self._gone, *self._kept.values()):
            kept.sent_s = None
        self._out = deque((*self._gone, *self._kept.values()))

    def send_late_again(self, at_ns: int, now_s: float) -> None:
        """Send again, after a birth, what has had no acknowledgement for too long.

        A connection keeps the order: a batch is lost if a later one has been acknowledged. If
        nothing at all is, the fleet may have lost everything.
        """
        silent = now_s - self._answer_s > LATE_S
        late = [
            kept
            for kept in (*self._gone, *self._kept.values())
            if kept.sent_s is not None
            and now_s - kept.sent_s > LATE_S
            and (silent or kept.order < self._acked_order)
        ]
        if late:
            self._birth_at_ns = at_ns
            for kept in late:
                kept.sent_s = None
            self._out.extendleft(reversed(late))

    def peek(self) -> tuple[bytes, ...] | None:
        """What to send next, by the fault also twice or not at all; None: nothing waits."""
        if self._birth_at_ns is not None:
            session = max(self._session + 1, self._birth_at_ns)
            return (wire.birth(self._speaker, session, self._birth_at_ns, self._names, self._next),)
        while self._out and self._is_done(self._out[0]):
            self._out.popleft()
        if not self._out:
            return None
        kept = self._out[0]
        if kept.body is None:
            return (wire.gone(self._speaker, kept.first, kept.end, FULL),)
        rows = kept.end - kept.first
        message = self._form.fill(kept.first, rows, self._next, kept.at_ns, kept.body)
        if not self.fault_is_due:
            return (message,)
        garbled = message[: len(message) // 2] + b"\xff" * 8
        return {"omit": (), "repeat": (message, message), "garble": (garbled,)}.get(
            self._fault, (message,)
        )

    @property
    def fault_is_due(self) -> bool:
        """Whether the batch that is sent next meets the fault."""
        return self._fault != "none" and (self._batches + 1) % self._fault_every == 0

    def sent(self, now_s: float) -> None:
        """What `peek` told is on its way."""
        if self._birth_at_ns is not None:
            self._session = max(self._session + 1, self._birth_at_ns)
            self._birth_at_ns = None
            self.tally.births += 1
            return
        kept = self._out.popleft()
        self._order += 1
        kept.sent_s, kept.order = now_s, self._order
        if kept.body is not None:
            self.tally.faults += self.fault_is_due
            self._batches += 1
            if kept.sendings:
                self.tally.resent += kept.end - kept.first
        kept.sendings += 1
        if self._order == 1:
            self._answer_s = now_s

    def _is_done(self, kept: _Kept) -> bool:
        if kept.sent_s is not None:
            return True
        if kept.body is None:
            return kept not in self._gone
        return kept.first not in self._kept

    def farewell(self) -> bytes:
        """The end of the session; also what the broker is to say if it breaks."""
        return wire.death(self._speaker, self._session)

    # -- hearing ------------------------------------------------------------------------------

    def hear(self, data: bytes, at_ns: int, now_s: float) -> None:
        """Take a message of the fleet.

        Raises:
            WireError: it is none.
        """
        message = wire.read_downlink(data)
        if isinstance(message, wire.Rebirth):
            if self._birth_at_ns is None:
                self.begin(at_ns)
        elif isinstance(message, wire.Ack) and message.stream == self._speaker.stream:
            self._acknowledged(message.bounds, now_s)

    def _acknowledged(self, bounds: list[int], now_s: float) -> None:
        firsts, ends = bounds[::2], bounds[1::2]

        def covered(kept: _Kept) -> bool:
            at = bisect_right(firsts, kept.first) - 1
            return at >= 0 and kept.end <= ends[at]

        done = [kept for kept in self._kept.values() if covered(kept)]
        for kept in done:
            self._drop(kept)
            self.tally.acked += kept.end - kept.first
            self.tally.ack_s.append(now_s - kept.taken_s)
            self._acked_order = max(self._acked_order, kept.order)
        reported = [kept for kept in self._gone if covered(kept)]
        if reported:
            self._gone = [kept for kept in self._gone if not covered(kept)]
            self.tally.gone_acked += sum(kept.end - kept.first for kept in reported)
        if done or reported:
            self._answer_s = now_s
