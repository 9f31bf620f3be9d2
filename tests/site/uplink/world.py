"""A site, a link and a fleet in one thread and in virtual time: hours pass in a moment.

The site's database and its talk are the real ones, and so is the fleet's intake; the link between
them is a model with a rate, a latency and losses, which delay what comes after as TCP does.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from pathlib import Path

from tenhertz.link import Kind
from tenhertz.link.schema_pb2 import Downlink
from tenhertz.site.mailbox import Mailbox
from tenhertz.site.uplink.orders import Orders
from tenhertz.site.uplink.rows import SiteRows
from tenhertz.site.uplink.session import Session
from tenhertz.store import EventRow, LossRow, SampleRow, SiteStore, TickRow
from tenhertz.telemetry.books import Books
from tenhertz.telemetry.intake import Intake, acknowledgement

SECOND_NS = 1_000_000_000
UTC_NS = 1_800_000_000 * SECOND_NS
TURN_NS = 50_000_000


class World:
    """One site and its fleet."""

    def __init__(
        self,
        folder: Path,
        *,
        units: int = 2,
        rate_bps: float = 1e9,
        latency_s: float = 0.01,
        loss: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.folder = folder
        self.units = [f"u{number}" for number in range(units)]
        self.rate_bps, self.latency_s, self.loss = rate_bps, latency_s, loss
        self.random = random.Random(seed)
        self.store = SiteStore(folder / "samples.sqlite", self.units, "normal")
        self.mailbox = Mailbox(folder / "mailbox", create=True)
        self.now_ns = SECOND_NS
        self.utc_offset_ns = UTC_NS  # of the site; the fleet's clock is right
        self.taken = 0
        self.ticks = 0
        self._gateway_ns = 0
        self._waiting: list[SampleRow] = []
        self._on_wire: list[tuple[int, int, bool, bytes]] = []  # due, order, to the fleet, message
        self._free_ns = [0, 0]  # when each direction has carried what it has
        self._due_ns = [0, 0]  # when the last message of each arrives
        self._order = 0
        self.up = True
        self.fleet_up = True
        self.intake = self._intake(Books())
        self.stored: Counter[tuple[int, int, int]] = Counter()  # stream, kind, sequence
        self.newest_ns = 0  # the instant of the newest sample that the fleet has
        self.session = self._session()

    # -- parts --------------------------------------------------------------------------------

    def _session(self) -> Session:
        path = self.folder / "samples.sqlite"
        self.orders = Orders(self.folder / "uplink.sqlite", "site", {})
        session = Session(
            lambda: SiteRows(path, "site"),
            self.orders,
            self.mailbox,
            self,
            "site",
            backlog_share=0.7,
            control_since=lambda: 1,
        )
        session.will(self.utc_ns)
        return session

    @staticmethod
    def _intake(books: Books) -> Intake:
        return Intake(books, lambda source: source == "site")

    @property
    def utc_ns(self) -> int:
        return self.now_ns + self.utc_offset_ns

    # -- the link -----------------------------------------------------------------------------

    def publish(self, message: bytes) -> bool:
        """The wire of the session."""
        if not self.up:
            return False
        self._carry(message, to_fleet=True)
        return True

    def _carry(self, message: bytes, *, to_fleet: bool) -> None:
        way = int(to_fleet)
        size = len(message) + 60
        self._free_ns[way] = max(self._free_ns[way], self.now_ns)
        self._free_ns[way] += int(size * 8 / self.rate_bps * 1e9)
        due_ns = self._free_ns[way] + int(self.latency_s * 1e9)
        if any(self.random.random() < self.loss for _ in range(1 + size // 1400)):
            due_ns += int(2 * self.latency_s * 1e9)  # sent again
        # In order: what follows waits for it.
        due_ns = self._due_ns[way] = max(self._due_ns[way], due_ns)
        self._order += 1
        heapq.heappush(self._on_wire, (due_ns, self._order, to_fleet, message))

    def cut(self) -> None:
        """Break the link; what was under way is lost."""
        self.up = False
        self._on_wire.clear()
        self._free_ns = [self.now_ns, self.now_ns]
        self._due_ns = [self.now_ns, self.now_ns]
        self.session.on_down("cut")

    def mend(self) -> None:
        """The link carries again."""
        self.up = True
        self.session.will(self.utc_ns)
        self.session.on_up()

    def kill_uplink(self) -> None:
        """The uplink process dies and comes back with nothing but its files."""
        self.orders.close()
        self.session = self._session()

    def kill_fleet(self, snapshot: dict[str, bytes]) -> None:
        """The fleet comes back as it was at a snapshot of its books."""
        books = Books.restored(snapshot)
        for book in books.accounts.values():
            book.durable = book.settled.copy()
        self.intake = self._intake(books)

    # -- time ---------------------------------------------------------------------------------

    def run(self, seconds: float, *, take: bool = True) -> None:
        """Let time pass; with `take`, samples are taken ten times a second."""
        until_ns = self.now_ns + int(seconds * 1e9)
        while self.now_ns < until_ns:
            self.now_ns += TURN_NS
            if take and self.now_ns % 100_000_000 == 0:
                self._sample()
            if self._waiting and self.now_ns - self._gateway_ns >= 250_000_000:
                self.put()
            self._deliver()
            self.session.turn(self.now_ns, self.utc_ns)

    def until_held(self, limit_s: float = 3600.0) -> float:
        """Let time pass, without new samples, until the fleet has all; how long it took."""
        self.put()
        self.run(0.05, take=False)
        began_ns = self.now_ns
        while not self.session.all_held:
            assert self.now_ns - began_ns < limit_s * 1e9, self.session.status(0, 0)
            self.run(0.05, take=False)
        return (self.now_ns - began_ns) / 1e9

    def _sample(self) -> None:
        self.ticks += 1
        for unit in range(len(self.units)):
            self.taken += 1
            self._waiting.append(
                SampleRow(
                    self.taken,
                    unit,
                    self.ticks,
                    self.utc_ns + unit,
                    20_000,
                    3,
                    50_000.0 + 10 * (self.ticks % 9),
                    50_000.0,
                    round(0.5 + self.ticks * 1e-6, 4),
                    2e5,
                    2e5,
                    25.0,
                    0,
                )
            )

    def put(self, losses: list[LossRow] | None = None) -> None:
        """The gateway stores what was taken."""
        self._gateway_ns = self.now_ns
        position = (1, self.taken, self.taken)
        tick = TickRow(self.utc_ns, self.ticks, 0, 3, 1, 50.0, 0.0, 0.0, 0.0)
        event = EventRow(self.utc_ns, None, 0, "something")
        ticks = [tick] if self._waiting else []
        self.store.put("samples", position, self._waiting, ticks, [event], losses or [])
        self._waiting = []

    def _deliver(self) -> None:
        while self._on_wire and self._on_wire[0][0] <= self.now_ns:
            _, _, to_fleet, message = heapq.heappop(self._on_wire)
            if not to_fleet:
                self.session.hear(message, self.now_ns, self.utc_ns)
            elif self.fleet_up:
                self._receive(message)

    def _receive(self, message: bytes) -> None:
        taken = self.intake.receive(message, self.now_ns + UTC_NS, "site", lambda _size: True)
        if taken.reply is not None:
            self._carry(taken.reply, to_fleet=False)
        if taken.frame is not None:
            frame = taken.frame
            for sequence in frame.sequence.tolist():
                self.stored[frame.stream, int(frame.kind), sequence] += 1
            if frame.kind is Kind.SAMPLE and frame.rows:
                self.newest_ns = max(self.newest_ns, int(frame.time_ns.max()))
        if taken.settles is not None:
            key, parts = taken.settles
            for first, end in parts:
                self.intake.books.account(*key).durable.add(first, end)
        if taken.told is not None:
            self._carry(acknowledgement(self.intake.books, *taken.told, "s"), to_fleet=False)

    def send_down(self, message: Downlink) -> None:
        """The fleet says something."""
        self._carry(message.SerializeToString(), to_fleet=False)

    # -- the sum ------------------------------------------------------------------------------

    def check(self) -> dict[Kind, tuple[int, int]]:
        """Every row that was numbered is stored once or told as gone; returns both by kind."""
        assert max(self.stored.values(), default=1) == 1, "a row was stored twice"
        rows = SiteRows(self.folder / "samples.sqlite", "site")
        found = {}
        for kind, head in rows.heads().items():
            book = self.intake.books.account("site", rows.stream, int(kind))
            stored = sum(1 for stream, k, _ in self.stored if (stream, k) == (rows.stream, kind))
            rejected = sum(self.intake.counts.rejected.values()) if kind is Kind.SAMPLE else 0
            lost = book.closed().lost
            assert stored + lost + rejected == head - 1, kind
            found[kind] = (stored, lost)
        rows.close()
        return found
