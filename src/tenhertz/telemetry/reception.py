"""Between the channels and the spool: takes messages, makes them durable in groups, acknowledges.

Five facts of its queue. Full: the message is refused, counted, and not acknowledged; the source
keeps it and sends again. Threads: one takes and one writes to the disk. Order: as it came. Loss:
none of what was acknowledged. Waiting: taking never waits; a slow disk delays acknowledgements.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import structlog

from tenhertz.link import Kind
from tenhertz.link.decode import read_dictionary
from tenhertz.link.frame import Frame
from tenhertz.link.schema_pb2 import CommandResult, Uplink
from tenhertz.store import StoreTrouble
from tenhertz.store.spool import SpoolWriter
from tenhertz.telemetry.books import Books, Key, decode_entry
from tenhertz.telemetry.intake import Intake, acknowledgement
from tenhertz.telemetry.lag import LagHistogram

# What may wait in memory for a disk that is slow.
LARGEST_PENDING_BYTES = 64 << 20
_RETRY_S = 0.5
_SNAPSHOT = msgspec.msgpack.Decoder(dict[str, bytes]).decode

Answer = Callable[[bytes], object]


class Reception:
    """Takes messages from any channel."""

    def __init__(
        self,
        intake: Intake,
        spool: SpoolWriter,
        server: str,
        *,
        on_frame: Callable[[Frame, int], None],
        on_result: Callable[[CommandResult], None],
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`on_frame` is called with every frame of live rows, before it is durable."""
        self.intake = intake
        self.spool = spool
        self.lag = LagHistogram()
        self.trouble = ""
        self.unanswered = 0  # acknowledgements that the channel could not take
        self._server = server
        self._on_frame = on_frame
        self._on_result = on_result
        self._now_ns = now_ns
        self._channels: dict[str, Answer] = {}
        self._settles: list[tuple[Key, list[tuple[int, int]]]] = []
        self._told: set[tuple[str, int]] = set()
        self._live: list[tuple[Frame, int]] = []
        self._pending_bytes = 0
        self._disk = ThreadPoolExecutor(1, "spool")
        self._log = structlog.get_logger("ingest")

    # -- taking -------------------------------------------------------------------------------

    def take(self, data: bytes, speaker: str | None, answer: Answer) -> None:
        """Take a message of `speaker`; answers to that source go to `answer` from now on."""
        taken = self.intake.receive(data, self._now_ns(), speaker, self._room)
        if taken.reply is not None:
            answer(taken.reply)
        if taken.entry is not None:
            self.spool.append(taken.entry)
            self._pending_bytes += len(taken.entry)
        if taken.settles is not None:
            self._settles.append(taken.settles)
        if taken.told is not None:
            self._channels[taken.told[0]] = answer
            self._told.add(taken.told)
        if taken.frame is not None and taken.live and taken.frame.rows:
            self._live.append((taken.frame, taken.frame.received_ns))
            self._on_frame(taken.frame, taken.frame.received_ns)
        if taken.result is not None:
            self._on_result(taken.result)

    def _room(self, size: int) -> bool:
        return self._pending_bytes < LARGEST_PENDING_BYTES and self.spool.room(size)

    def tell(self, source: str, message: bytes) -> bool:
        """Send something to a source on the channel that it was last heard on."""
        answer = self._channels.get(source)
        return answer is not None and answer(message) is not False

    def gone(self, source: str, answer: Answer) -> None:
        """A channel has ended; the source may have come back on another one meanwhile."""
        if self._channels.get(source) is answer:
            del self._channels[source]
            self.intake.forget_sessions_of(source)

    # -- making durable -----------------------------------------------------------------------

    async def flush(self) -> None:
        """Make durable what came, then acknowledge it; waits out a disk that refuses."""
        pending, synced = self.spool.take_pending()
        settles, self._settles = self._settles, []
        told, self._told = self._told, set()
        live, self._live = self._live, []
        if pending:
            self._pending_bytes -= sum(map(len, pending[1::2]))
            await self._written(pending, synced)
        for key, parts in settles:
            durable = self.intake.books.account(*key).durable
            for first, end in parts:
                durable.add(first, end)
        self._measure(live)
        for source, stream in told:
            ack = acknowledgement(self.intake.books, source, stream, self._server)
            if not self.tell(source, ack):
                self.unanswered += 1
        if self.spool.wants_rotation:
            self._rotate()

    async def _written(self, pending: list[bytes], synced: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(self._disk, self.spool.write, pending, synced)
            except StoreTrouble as trouble:
                self._note(str(trouble))
                await asyncio.sleep(_RETRY_S)
            else:
                self._note("")
                return

    def _rotate(self) -> None:
        """Begin a new file; without a pause, so that nothing comes in before the snapshot."""
        pending, synced = self.spool.take_pending()
        try:
            if pending:
                self.spool.write(pending, synced)
                self._pending_bytes -= sum(map(len, pending[1::2]))
                pending = []
            self.spool.rotate(snapshot_of(self.intake.books))
        except StoreTrouble as trouble:
            self.spool.put_back(pending)
            self._note(str(trouble))

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            self._log.error("the spool takes nothing; sources keep what they have", cause=trouble)
        elif self.trouble and not trouble:
            self._log.info("the spool takes records again")
        self.trouble = trouble

    def _measure(self, live: list[tuple[Frame, int]]) -> None:
        now_ns = self._now_ns()
        for frame, _ in live:
            if frame.kind in (Kind.SAMPLE, Kind.CELL):
                self.lag.add((now_ns - frame.time_ns) / 1e6)

    def close(self) -> None:
        """Stop the disk's thread and close the spool."""
        self._disk.shutdown(wait=True)
        self.spool.close()


def recover_books(spool: SpoolWriter) -> Books | None:
    """The books as the spool has them; None where it holds nothing.

    Raises:
        StoreTrouble: the disk cannot be read.
    """
    found = spool.recover()
    if found is None:
        return None
    snapshot, records = found
    books = Books.restored(_SNAPSHOT(snapshot))
    for _, body in records:
        _replay(books, body)
    for book in books.accounts.values():
        book.durable = book.settled.copy()
    return books


def _replay(books: Books, body: bytes) -> None:
    """Note again what an entry led to."""
    entry = decode_entry(body)
    message = Uplink.FromString(entry.payload)
    what = message.WhichOneof("body")
    if what == "batch":
        batch = message.batch
        books.hold((entry.source, batch.stream, int(batch.kind)), entry.parts, batch.head)
    elif what == "birth":
        books.hear(message.birth, read_dictionary(message.birth))
    elif what == "gone":
        gone = message.gone
        key = (entry.source, gone.stream, int(gone.kind))
        books.give_up(key, gone.first, gone.end, gone.cause[:80])


def snapshot_of(books: Books) -> bytes:
    """What `recover_books` wants back."""
    return msgspec.msgpack.encode(books.everything())
