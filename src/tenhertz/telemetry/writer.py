"""The writer process: takes what is durable in the spool and puts it into the store.

It may be slow, fail or die at any time: the spool holds what it has not taken, and the store knows
how far it came. Started by the server as

    python -m tenhertz.telemetry.writer fleet.toml
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import msgspec
import numpy as np
import structlog

from tenhertz.errors import UserError
from tenhertz.link.decode import Malformed, decode_batch, read_dictionary
from tenhertz.link.frame import Frame
from tenhertz.link.schema_pb2 import Batch, Uplink
from tenhertz.lock import held
from tenhertz.log import set_up_log
from tenhertz.store import StoreTrouble
from tenhertz.store.account import Account
from tenhertz.store.contract import FleetStore
from tenhertz.store.spool_reader import SpoolReader
from tenhertz.supervise import die_with_parent, say_ready
from tenhertz.telemetry.books import Books, Entry, decode_entry
from tenhertz.telemetry.config import FleetConfig, data_dir, load_fleet
from tenhertz.telemetry.dead_letter import DeadLetters, Letter, letters_of, unreadable
from tenhertz.telemetry.intake import checked_values, select
from tenhertz.telemetry.status_file import StatusFile
from tenhertz.telemetry.stores import open_sinks, open_store
from tenhertz.telemetry.validate import TimeLimits

# A commit is due after the configured time, or when it holds this much.
COMMIT_BYTES = 32 << 20
_PAUSES_S = (0.25, 0.5, 1.0, 2.0, 5.0)
_IDLE_S = 0.05
STATUS_FILE = "writer.json"
# How long a predecessor that was told to end may take.
PREDECESSOR_S = 10.0


class WriterStatus(msgspec.Struct, frozen=True):
    """What the writer tells of itself, in a file beside the spool."""

    pid: int
    at_ns: int  # UTC
    position: int  # the first record that is not stored
    rows: int  # stored by this process
    numbers: int  # the same, a cell and instant being one
    rejected: int
    commits: int
    failures: int
    trouble: str  # why the last commit failed; empty when all is well
    last_commit_ms: float
    sinks: dict[str, dict[str, int]]


class _Pile(NamedTuple):
    """What goes into the next commit."""

    frames: list[Frame]
    letters: list[Letter]


class Writer:
    """Moves records into a store until told to end."""

    def __init__(
        self,
        store: FleetStore,
        folder: Path,
        limits: TimeLimits,
        *,
        commit_s: float,
        offer: Callable[[list[Frame]], None] = lambda _frames: None,
    ) -> None:
        """`folder` is the server's; `offer` passes stored frames on to the sinks."""
        self._store = store
        self._folder = folder
        self._limits = limits
        self._commit_s = commit_s
        self._offer = offer
        self._letters = DeadLetters(folder / "dead-letter")
        self._ending = threading.Event()
        self._log = structlog.get_logger("writer")
        self._books = Books()
        self._reader: SpoolReader | None = None
        self._pile = _Pile([], [])
        self._pile_begin = self._pile_next = 0
        self._pile_bytes = 0
        self._pile_since_s = 0.0
        self._failures_in_a_row = 0
        self.rows = self.numbers = self.rejected = self.commits = self.failures = 0
        self.trouble = ""
        self.last_commit_ms = 0.0

    def end(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Ask for the end; a signal handler."""
        self._ending.set()

    @property
    def position(self) -> int:
        """The first record that is not stored."""
        return self._pile_begin

    def run(self, tell: Callable[[], None]) -> None:
        """Move until told to end; `tell` is called now and then, to post the status."""
        while not self._ending.is_set():
            pause_s = self.turn(time.monotonic())
            tell()
            if pause_s:
                self._ending.wait(pause_s)
        self.turn(time.monotonic(), last=True)
        tell()
        self._store.close()

    def turn(self, now_s: float, *, last: bool = False) -> float:
        """One step; how long to wait before the next."""
        try:
            reader = self._opened()
            found = reader.read()
            for number, body in found:
                self._add(number, decode_entry(body), now_s)
            due = last or self._pile_bytes >= COMMIT_BYTES
            due = due or now_s - self._pile_since_s >= self._commit_s
            if self._pile_next > self._pile_begin and due:
                self._commit(reader)
            elif not found and not last:
                return 0.0 if self._store.upkeep(time.time_ns()) else _IDLE_S
        except StoreTrouble as trouble:
            self._on_trouble(str(trouble))
            return _PAUSES_S[min(self._failures_in_a_row, len(_PAUSES_S)) - 1]
        return 0.0 if found else _IDLE_S

    def _opened(self) -> SpoolReader:
        """The spool from where the store stands; both are asked anew after any trouble."""
        if self._reader is None:
            recovered = self._store.recover()
            self._books = Books.restored(recovered.state)
            begin = recovered.position + 1
            reader = SpoolReader(self._folder / "spool", begin)
            oldest = reader.oldest
            if oldest is not None and oldest > begin:
                raise UserError(
                    f"{self._folder}: the store has the records before {begin}, but the spool "
                    f"begins with {oldest}: the store is an older copy; move the folder 'spool' "
                    "away, and the sources send again what they still have"
                )
            self._pile = _Pile([], [])
            self._pile_begin = self._pile_next = begin
            self._pile_bytes = 0
            self._reader = reader
        return self._reader

    def _on_trouble(self, text: str) -> None:
        # The store may have taken the last commit or not: it is asked, and the spool read again.
        if self._reader is not None:
            self._reader.close()
            self._reader = None
            self._pile = _Pile([], [])
        if text != self.trouble:
            self._log.warning("the store takes nothing; the spool holds it", cause=text)
        self.trouble = text
        self.failures += 1
        self._failures_in_a_row += 1

    # -- one entry ----------------------------------------------------------------------------

    def _add(self, number: int, entry: Entry, now_s: float) -> None:
        if self._pile_next == self._pile_begin:
            self._pile_since_s = now_s
        self._pile_next = number + 1
        self._pile_bytes += len(entry.payload)
        message = Uplink.FromString(entry.payload)
        what = message.WhichOneof("body")
        if what == "batch":
            self._add_batch(message.batch, entry)
        elif what == "birth":
            self._books.hear(message.birth, read_dictionary(message.birth))
        elif what == "gone":
            gone = message.gone
            key = (entry.source, gone.stream, int(gone.kind))
            self._books.give_up(key, gone.first, gone.end, gone.cause[:80])

    def _add_batch(self, batch: Batch, entry: Entry) -> None:
        key = (entry.source, batch.stream, int(batch.kind))
        account = self._books.hold(key, entry.parts, batch.head).account
        account.duplicates += entry.duplicates
        dictionary = self._books.dictionary(entry.source, batch.dictionary)
        try:
            if dictionary is None:
                raise Malformed("dictionary not known")
            whole = decode_batch(batch, dictionary, entry.received_ns)
        except Malformed as malformed:  # the intake read it: this is another version, or damage
            rows = sum(end - first for first, end in entry.parts)
            self._reject(account, malformed.reason, rows)
            self._pile.letters.append(unreadable(entry.source, batch, malformed.reason))
            return
        frame = select(whole, entry.parts)
        passed, verdict = checked_values(frame, self._limits)
        reasons = dict(verdict.reasons)
        for reason, numbers in entry.disordered.items():
            reasons[reason] = np.isin(frame.sequence, numbers)
            passed = passed.take(~np.isin(passed.sequence, numbers))
        if reasons or verdict.blanks:
            self._pile.letters.extend(letters_of(frame, reasons, verdict.blanks))
        for reason, mask in reasons.items():
            self._reject(account, reason, int(mask.sum()))
        account.stored += passed.rows
        if passed.rows:
            self._pile.frames.append(passed)

    def _reject(self, account: Account, reason: str, rows: int) -> None:
        account.rejected[reason] = account.rejected.get(reason, 0) + rows
        self.rejected += rows

    # -- one commit ---------------------------------------------------------------------------

    def _commit(self, reader: SpoolReader) -> None:
        began_s = time.monotonic()
        frames, letters = self._pile
        self._letters.write(self._pile_begin, letters)
        self._store.commit(frames, self._books.changes(), self._pile_next - 1)
        self.commits += 1
        self.rows += sum(frame.rows for frame in frames)
        self.numbers += sum(frame.numbers for frame in frames)
        self._offer(frames)
        self._pile = _Pile([], [])
        self._pile_begin = self._pile_next
        self._pile_bytes = 0
        self.last_commit_ms = (time.monotonic() - began_s) * 1000
        if self.trouble:
            self._log.info("the store takes rows again", after_failures=self._failures_in_a_row)
        self.trouble = ""
        self._failures_in_a_row = 0
        reader.forget(self._pile_begin)


def status_of(writer: Writer, sinks: dict[str, dict[str, int]]) -> WriterStatus:
    """How a writer stands."""
    return WriterStatus(
        os.getpid(),
        time.time_ns(),
        writer.position,
        writer.rows,
        writer.numbers,
        writer.rejected,
        writer.commits,
        writer.failures,
        writer.trouble,
        round(writer.last_commit_ms, 1),
        sinks,
    )


def limits_of(config: FleetConfig) -> TimeLimits:
    """The limits of instants as configured."""
    validate = config.validate
    return TimeLimits(int(validate.future_s * 1e9), int(validate.too_old_days * 86400e9))


def main(argv: list[str]) -> int:
    """Run the writer process of the fleet server in `argv[1]`."""
    set_up_log()
    path = Path(argv[1])
    config = load_fleet(path)
    folder = data_dir(config, path)
    sinks = open_sinks(config, path)
    writer = Writer(
        open_store(config, path),
        folder,
        limits_of(config),
        commit_s=config.store.commit_s,
        offer=sinks.offer,
    )
    signal.signal(signal.SIGTERM, writer.end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its children in order
    die_with_parent()
    status = StatusFile(folder / STATUS_FILE)
    with held(folder / "writer.lock", "the writer process", PREDECESSOR_S):
        say_ready()
        writer.run(lambda: status.post(status_of(writer, sinks.counts()), time.monotonic()))
    sinks.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
