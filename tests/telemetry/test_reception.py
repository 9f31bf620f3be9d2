"""Nothing is acknowledged that a crash can take away again."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenhertz.link import Intervals
from tenhertz.link.frame import Frame
from tenhertz.link.schema_pb2 import CommandResult
from tenhertz.store import StoreTrouble
from tenhertz.store.spool import SpoolWriter, parse_records, spool_files
from tenhertz.telemetry import reception as module
from tenhertz.telemetry.books import Books
from tenhertz.telemetry.intake import Intake
from tenhertz.telemetry.reception import Reception, recover_books, snapshot_of

from .messages import NOW_NS, STREAM, birth, death, gone, held, result, samples, told

KEY = ("site-1", STREAM, 1)
PATIENCE_S = 20


class Disk(SpoolWriter):
    """A spool whose disk refuses or stalls as told."""

    def __init__(self, folder: Path, *, largest_bytes: int = 1 << 24, file_bytes: int = 1 << 24):
        super().__init__(folder, largest_bytes=largest_bytes, file_bytes=file_bytes)
        self.refusals = 0
        self.refuses_files = False
        self.reached = threading.Event()
        self.free = threading.Event()
        self.free.set()

    def write(self, pending: list[bytes], synced: int) -> None:
        self.reached.set()
        assert self.free.wait(PATIENCE_S)
        if self.refusals:
            self.refusals -= 1
            raise StoreTrouble("no space left on device")
        super().write(pending, synced)

    def rotate(self, snapshot: bytes) -> None:
        if self.refuses_files:
            raise StoreTrouble("no space left on device")
        super().rotate(snapshot)


class Server:
    """A reception with one source that hears it."""

    def __init__(self, folder: Path, **options: int) -> None:
        self.disk = Disk(folder, **options)
        books = recover_books(self.disk)
        if books is None:
            books = Books()
            self.disk.start(snapshot_of(books), 1)
        self.frames: list[Frame] = []
        self.results: list[CommandResult] = []
        self.answers: list[bytes] = []
        self.hears = True
        self.reception = Reception(
            Intake(books, lambda _source: True),
            self.disk,
            "server-1",
            on_frame=lambda frame, _at_ns: self.frames.append(frame),
            on_result=self.results.append,
            now_ns=lambda: NOW_NS,
        )

    @property
    def books(self) -> Books:
        return self.reception.intake.books

    def answer(self, message: bytes) -> bool:
        if self.hears:
            self.answers.append(message)
        return self.hears

    def say(self, *messages: bytes) -> None:
        for message in messages:
            self.reception.take(message, "site-1", self.answer)

    @property
    def acknowledged(self) -> list[int]:
        """The bounds that the source was told last."""
        acks = [answer for answer in self.answers if told(answer) == "ack"]
        return held(acks[-1]) if acks else []

    def flush(self) -> None:
        asyncio.run(self.reception.flush())

    def close(self) -> None:
        self.disk.free.set()
        self.reception.close()


@pytest.fixture
def server(tmp_path: Path):  # type: ignore[no-untyped-def]
    made = Server(tmp_path)
    yield made
    made.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.001)


def test_rows_are_acknowledged_when_they_are_durable_and_not_before(server: Server) -> None:
    async def run() -> None:
        server.say(birth(), samples(1, 11))
        server.disk.free.clear()
        flushing = asyncio.ensure_future(server.reception.flush())
        await until(server.disk.reached.is_set)
        server.say(samples(1, 11), samples(11, 16))  # again, and more, while the disk is busy
        assert server.answers == []
        assert server.books.account(*KEY).durable.bounds == []
        server.disk.free.set()
        await flushing
        assert server.acknowledged == [1, 11]
        await server.reception.flush()
        assert server.acknowledged == [1, 16]

    asyncio.run(run())


def test_a_duplicate_of_rows_that_are_not_durable_is_no_reason_to_acknowledge(
    server: Server,
) -> None:
    async def run() -> None:
        server.say(birth(), samples(1, 11))
        server.disk.refusals = 10**9
        flushing = asyncio.ensure_future(server.reception.flush())
        await until(server.disk.reached.is_set)
        server.say(samples(1, 11))
        flushing.cancel()  # the process ends while the disk still refuses
        await asyncio.gather(flushing, return_exceptions=True)
        assert server.answers == []

    asyncio.run(run())


def test_a_disk_that_refuses_is_tried_again_and_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.001)

    troubles: list[str] = []
    note = server.reception._note
    monkeypatch.setattr(
        server.reception, "_note", lambda trouble: (troubles.append(trouble), note(trouble))
    )
    server.disk.refusals = 3
    server.say(birth(), samples(1, 11))
    server.flush()
    assert troubles == ["no space left on device"] * 3 + [""]
    assert server.reception.trouble == ""
    assert server.acknowledged == [1, 11]


def test_a_spool_that_is_full_takes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    server = Server(tmp_path, largest_bytes=4000)
    server.say(birth())
    first = 1
    while not server.reception.intake.counts.refused:
        server.say(samples(first, first + 10))
        first += 10
        assert first < 1000
    server.flush()
    accepted = first - 10
    assert server.acknowledged == [1, accepted]
    assert server.books.account(*KEY).held.bounds == [1, accepted]
    server.close()


def test_what_waits_for_the_disk_is_bounded(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_PENDING_BYTES", 2000)
    server.say(birth(), *[samples(first, first + 10) for first in range(1, 201, 10)])
    refused = server.reception.intake.counts.refused
    assert refused > 10
    server.flush()
    server.say(samples(201, 211))
    assert server.reception.intake.counts.refused == refused
    server.flush()
    assert server.acknowledged[-2:] == [201, 211]


def test_an_answer_goes_to_the_channel_that_was_heard_last(server: Server) -> None:
    older: list[bytes] = []
    server.reception.take(birth(), "site-1", older.append)
    server.say(samples(1, 11))
    server.reception.gone("site-1", older.append)  # another object: it was replaced before
    server.flush()
    assert (older, len(server.answers)) == ([], 1)
    assert server.reception.intake.sessions == 1
    server.reception.gone("site-1", server.answer)


def test_a_channel_that_broke_ends_its_session_and_hears_nothing(server: Server) -> None:
    channel = server.answer
    server.reception.take(birth(), "site-1", channel)
    server.reception.gone("site-1", channel)
    assert server.reception.intake.sessions == 0
    assert not server.reception.tell("site-1", b"x")
    server.flush()
    assert server.reception.unanswered == 1


def test_an_acknowledgement_that_a_channel_cannot_take_is_counted_and_told_later(
    server: Server,
) -> None:
    server.hears = False
    server.say(birth(), samples(1, 11))
    server.flush()
    assert server.reception.unanswered == 1
    server.hears = True
    server.say(samples(1, 11))
    server.flush()
    assert server.acknowledged == [1, 11]


def test_live_rows_are_watched_at_once_and_a_backlog_never(server: Server) -> None:
    server.say(birth(), samples(101, 111), samples(1, 11), samples(101, 111))
    assert [frame.sequence[0] for frame in server.frames] == [101]
    server.flush()
    assert server.reception.lag.count == 10


def test_results_of_commands_are_passed_on_and_an_end_is_counted(server: Server) -> None:
    server.say(birth(), result(sequence=9), death())
    assert [found.sequence for found in server.results] == [9]
    assert server.reception.intake.counts.deaths == 1


def test_a_new_file_holds_what_came_while_the_old_one_was_ended(tmp_path: Path) -> None:
    server = Server(tmp_path, file_bytes=1)  # a new file after every write
    server.say(birth(), samples(1, 11))
    server.flush()
    server.say(samples(11, 21), gone(30, 40))
    server.flush()
    assert len(spool_files(tmp_path)) == 3
    before = server.books.everything()
    server.close()
    again = Server(tmp_path)
    assert again.books.everything() == before
    assert again.disk.next == 5
    again.close()


def test_a_disk_that_gives_no_new_file_goes_on_with_the_old_one(tmp_path: Path) -> None:
    server = Server(tmp_path, file_bytes=1)
    server.disk.refuses_files = True
    server.say(birth(), samples(1, 11))
    server.flush()
    assert server.acknowledged == [1, 11]
    assert server.reception.trouble
    server.disk.refuses_files = False
    server.say(samples(11, 21))
    server.flush()
    assert server.acknowledged == [1, 21]
    assert server.reception.trouble == ""
    before = server.books.everything()
    server.close()
    again = Server(tmp_path)
    assert again.books.everything() == before
    again.close()


# -- a crash at any byte ----------------------------------------------------------------------

SPAN = st.tuples(st.integers(1, 40), st.integers(1, 8)).map(lambda at: (at[0], at[0] + at[1]))
STEP = st.one_of(
    SPAN.map(lambda span: samples(*span)),
    SPAN.map(lambda span: samples(*span, bad=range(3, 60, 5))),
    SPAN.map(lambda span: gone(*span)),
    st.integers(1, 60).map(lambda head: birth(session=head, heads={1: head})),
    st.just(b""),  # flush
)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.lists(STEP, min_size=1, max_size=15), st.data())
def test_after_a_cut_at_any_byte_the_books_are_those_of_the_whole_records(
    tmp_path_factory: pytest.TempPathFactory, steps: list[bytes], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    server = Server(folder)
    path = spool_files(folder)[0]
    begin = path.stat().st_size
    server.say(birth())
    books_at = {1: Books().everything(), server.disk.next: server.books.everything()}
    promises: list[tuple[int, list[int]]] = []  # bytes durable by then, what the source was told
    for step in [*steps, b""]:
        if step:
            server.say(step)
            books_at[server.disk.next] = server.books.everything()
        else:
            server.flush()
            promises.append((path.stat().st_size, server.acknowledged))
    server.close()
    cut = data.draw(st.integers(begin, path.stat().st_size), label="cut")
    os.truncate(path, cut)
    records = parse_records(path.read_bytes())[0]
    again = Server(folder)
    assert again.disk.next == len(records)  # the snapshot is one of them
    assert again.books.everything() == books_at[len(records)]
    there = again.books.account(*KEY).durable
    for size, bounds in promises:
        if size <= cut:
            for first, end in Intervals.from_bounds(bounds):
                assert there.covers(first, end)
    again.say(birth(), *[step for step in steps if step])
    again.flush()
    settled = server.books.account(*KEY).settled
    assert again.acknowledged == settled.bounds
    again.close()


def test_a_spool_without_a_whole_snapshot_is_no_spool(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.close()
    os.truncate(spool_files(tmp_path)[0], 10)
    assert recover_books(SpoolWriter(tmp_path, largest_bytes=1 << 20)) is None
