"""What happens to a message of a source, from its bytes to the spool: no I/O, no clock of its own.

A batch is decoded, rows that were taken in before are left out, the rest is checked, and goes to
the spool as one entry. Only when that entry is durable does the source hear of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tenhertz.link import VERSION, Kind
from tenhertz.link.decode import (
    Dictionary,
    Malformed,
    decode_batch,
    read_dictionary,
    read_uplink,
)
from tenhertz.link.frame import Frame
from tenhertz.link.schema_pb2 import (
    Ack,
    Batch,
    Birth,
    CommandResult,
    Death,
    Downlink,
    Gone,
    Rebirth,
)
from tenhertz.telemetry.books import ENCODE_ENTRY, Books, Entry, Key
from tenhertz.telemetry.validate import (
    ALL_PASS,
    TimeLimits,
    Verdict,
    blanked,
    check_order,
    check_values,
)

UNKNOWN_SOURCE = "unknown source"
WRONG_SOURCE = "speaks for another source"
# An acknowledgement stays small: of very many intervals the highest are told.
_MOST_BOUNDS = 4096
# A session whose birth was heard by the process before this one.
_BEGUN_BEFORE = 0
_KINDS = frozenset(int(kind) for kind in Kind)


@dataclass(slots=True)
class Counts:
    """What the intake has seen since it began."""

    messages: int = 0
    bytes: int = 0
    batches: int = 0
    rows: int = 0  # taken in
    numbers: int = 0  # the same, a cell and instant being one
    duplicates: int = 0  # rows
    rejected: Counter[str] = field(default_factory=Counter)  # rows by reason
    blanked: Counter[str] = field(default_factory=Counter)  # single cells by reason
    malformed: Counter[str] = field(default_factory=Counter)  # messages by reason
    refused: int = 0  # messages, the spool being full: their sources keep them
    births: int = 0
    deaths: int = 0
    rebirths: int = 0  # asked for
    gone: int = 0  # rows that sources reported as lost


@dataclass(slots=True)
class Taken:
    """What is to be done about a message."""

    entry: bytes | None = None  # for the spool
    settles: tuple[Key, list[tuple[int, int]]] | None = None  # durable with the entry
    told: tuple[str, int] | None = None  # the source and stream that want an acknowledgement
    reply: bytes | None = None  # for the source, now
    frame: Frame | None = None  # rows that passed; newer than any before, if `live`
    live: bool = False
    result: CommandResult | None = None
    session: bool | None = None  # True: the source was born; False: it died


class Intake:
    """Takes messages in."""

    def __init__(
        self, books: Books, accepts: Callable[[str], bool], limits: TimeLimits | None = None
    ) -> None:
        self.books = books
        self.counts = Counts()
        self._accepts = accepts
        self._limits = limits or TimeLimits()
        self._newest: dict[tuple[str, int], tuple[Dictionary, NDArray[np.int64]]] = {}
        self._sessions: dict[str, int] = {}
        self._duplicates: Counter[Key] = Counter()  # not yet told in an entry

    def receive(
        self, data: bytes, received_ns: int, speaker: str | None, room: Callable[[int], bool]
    ) -> Taken:
        """Take one message in.

        `speaker` is the source that the channel stands for, None where the channel cannot tell.
        `room` says whether the spool takes so many bytes.
        """
        counts = self.counts
        counts.messages += 1
        counts.bytes += len(data)
        try:
            message = read_uplink(data)
            what = message.WhichOneof("body")
            body = getattr(message, what or "birth")
            if speaker is not None and body.source != speaker:
                raise Malformed(WRONG_SOURCE)
            if not self._accepts(body.source):
                raise Malformed(UNKNOWN_SOURCE)
            if what == "batch":
                return self._batch(message.batch, data, received_ns, room)
            if what == "birth":
                return self._birth(message.birth, data, received_ns, room)
            if what == "gone":
                return self._gone(message.gone, data, received_ns, room)
            if what == "death":
                return self._death(message.death)
            return Taken(result=message.result)
        except Malformed as malformed:
            counts.malformed[malformed.reason] += 1
            return Taken()

    # -- sessions -----------------------------------------------------------------------------

    def _birth(
        self, birth: Birth, data: bytes, received_ns: int, room: Callable[[int], bool]
    ) -> Taken:
        dictionary = read_dictionary(birth)
        if any(head.next >= 1 << 62 for head in birth.heads):
            raise Malformed("sequence")
        if not room(len(data)):
            self.counts.refused += 1
            return Taken()
        self.counts.births += 1
        source = birth.source
        self._sessions[source] = birth.session
        for kind in Kind:  # whoever begins anew may have set its clock
            self._newest.pop((source, kind), None)
        taken = Taken(told=(source, birth.stream), session=True)
        if self.books.hear(birth, dictionary):
            taken.entry = ENCODE_ENTRY(Entry(source, received_ns, data))
        return taken

    def _death(self, death: Death) -> Taken:
        if self._sessions.get(death.source) not in (death.session, _BEGUN_BEFORE):
            return Taken()  # of a session that was followed by another one
        del self._sessions[death.source]
        self.counts.deaths += 1
        return Taken(session=False)

    def _gone(
        self, gone: Gone, data: bytes, received_ns: int, room: Callable[[int], bool]
    ) -> Taken:
        if gone.kind not in _KINDS or not 0 < gone.first < gone.end < 1 << 62:
            raise Malformed("sequence")
        if not room(len(data)):
            self.counts.refused += 1
            return Taken()
        key = (gone.source, gone.stream, gone.kind)
        missing = self.books.account(*key).settled.missing(gone.first, gone.end)
        taken = Taken(told=(gone.source, gone.stream))
        if self.books.give_up(key, gone.first, gone.end, gone.cause[:80]):
            self.counts.gone += sum(end - first for first, end in missing)
            taken.entry = ENCODE_ENTRY(Entry(gone.source, received_ns, data))
            taken.settles = (key, [(gone.first, gone.end)])
        return taken

    # -- batches ------------------------------------------------------------------------------

    def _batch(
        self, batch: Batch, data: bytes, received_ns: int, room: Callable[[int], bool]
    ) -> Taken:
        source = batch.source
        dictionary = self.books.dictionary(source, batch.dictionary)
        if dictionary is None:
            self.counts.rebirths += 1
            rebirth = Downlink(rebirth=Rebirth(version=VERSION))
            return Taken(reply=rebirth.SerializeToString())
        self._sessions.setdefault(source, _BEGUN_BEFORE)
        frame = decode_batch(batch, dictionary, received_ns)
        if not room(len(data)):
            self.counts.refused += 1
            return Taken()
        key = (source, batch.stream, int(batch.kind))
        book = self.books.account(*key)
        first, end = batch.first, batch.first + batch.rows
        live = first >= book.held.end
        parts = [(first, end)] if live else book.held.missing(first, end)
        duplicates = frame.rows - sum(b - a for a, b in parts)
        if duplicates:
            self.counts.duplicates += duplicates
            self._duplicates[key] += duplicates
        taken = Taken(told=(source, batch.stream), live=live)
        if not parts:
            return taken
        self.books.hold(key, parts, batch.head)
        passed, disordered = self._checked(frame, parts, dictionary, live=live)
        entry = Entry(
            source, received_ns, data, tuple(parts), disordered, self._duplicates.pop(key, 0)
        )
        taken.entry = ENCODE_ENTRY(entry)
        taken.settles = (key, parts)
        taken.frame = passed
        self.counts.batches += 1
        self.counts.rows += passed.rows
        self.counts.numbers += passed.numbers
        return taken

    def _checked(
        self, frame: Frame, parts: list[tuple[int, int]], dictionary: Dictionary, *, live: bool
    ) -> tuple[Frame, dict[str, list[int]]]:
        """The rows that pass, and the sequence numbers of those in a wrong order."""
        passed, verdict = checked_values(select(frame, parts), self._limits)
        self._count(verdict)
        newest = self._newest_of(frame, dictionary)
        order = check_order(passed, newest if live else None)
        disordered = {}
        if order is not ALL_PASS:
            self._count(order)
            for reason, mask in order.reasons.items():
                disordered[reason] = passed.sequence[mask].tolist()
            passed = passed.take(order.passed) if order.passed is not None else passed
        if live:
            newest[passed.entity] = passed.time_ns  # ascending: the last of an entity stays
        return passed, disordered

    def _count(self, verdict: Verdict) -> None:
        for reason, mask in verdict.reasons.items():
            self.counts.rejected[reason] += int(mask.sum())
        for blank in verdict.blanks:
            self.counts.blanked[blank.reason] += int(blank.cells.sum())

    def _newest_of(self, frame: Frame, dictionary: Dictionary) -> NDArray[np.int64]:
        place = (frame.source, int(frame.kind))
        known = self._newest.get(place)
        if known is None or known[0] is not dictionary:
            known = (dictionary, np.zeros(len(dictionary.entities), np.int64))
            self._newest[place] = known
        return known[1]

    # -- acknowledgements ---------------------------------------------------------------------

    def forget_sessions_of(self, source: str) -> None:
        """The channel of a source broke without a word."""
        self._sessions.pop(source, None)

    @property
    def sessions(self) -> int:
        """How many sources are alive."""
        return len(self._sessions)


def acknowledgement(books: Books, source: str, stream: int, server: str) -> bytes:
    """What is durable here of a stream, as the source wants to hear it."""
    ack = Ack(version=VERSION, stream=stream, server=server)
    for kind, book in books.of_stream(source, stream):
        held = ack.held.add()
        held.kind = kind  # type: ignore[assignment] # an int is what protobuf takes
        held.bounds.extend(book.durable.bounds[-_MOST_BOUNDS:])
    return Downlink(ack=ack).SerializeToString()


def select(frame: Frame, parts: list[tuple[int, int]] | tuple[tuple[int, int], ...]) -> Frame:
    """The rows of a frame whose sequence numbers are in `parts`."""
    begin = int(frame.sequence[0])
    if len(parts) == 1:
        first, end = parts[0]
        if end - first == frame.rows:
            return frame
        return frame.take(slice(first - begin, end - begin))
    rows = np.concatenate([np.arange(first - begin, end - begin) for first, end in parts])
    return frame.take(rows)


def checked_values(frame: Frame, limits: TimeLimits) -> tuple[Frame, Verdict]:
    """The rows whose values can be true, and the verdict on all."""
    verdict = check_values(frame, limits)
    if verdict is ALL_PASS:
        return frame, verdict
    passed = blanked(frame, verdict.blanks)
    if verdict.passed is not None:
        passed = passed.take(verdict.passed)
    return passed, verdict
