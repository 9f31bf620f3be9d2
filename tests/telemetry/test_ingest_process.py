"""Intake, spool and writer together, killed at any point: every sample is stored exactly once.

The source is a model of what sites do: it numbers its samples, sends any of them in any order and
as often as it likes, and forgets only what was acknowledged.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenhertz.link import Intervals
from tenhertz.store.spool import SpoolWriter, spool_files
from tenhertz.telemetry.books import Books
from tenhertz.telemetry.config import Fleet, FleetConfig, Source
from tenhertz.telemetry.ingest import _accepts
from tenhertz.telemetry.intake import Intake
from tenhertz.telemetry.reception import Reception, recover_books, snapshot_of
from tenhertz.telemetry.validate import TimeLimits
from tenhertz.telemetry.writer import Writer

from .fleet_store import Crash, ScriptedStore
from .messages import NOW_NS, STREAM, birth, gone, held, power_of, samples, told

FILE_BYTES = 3000  # so that files end often


def is_bad(number: int) -> bool:
    """Which samples carry a power that cannot be."""
    return number % 7 == 3


class Site:
    """The source: what it has, what it may forget, what it has lost."""

    def __init__(self) -> None:
        self.head = 1
        self.settled = Intervals()  # acknowledged
        self.lost = Intervals()  # it no longer has them
        self.session = 0

    def birth(self) -> bytes:
        self.session += 1
        return birth(session=self.session, heads={1: self.head})

    def batch(self, first: int, end: int) -> list[bytes]:
        """What it still has of [first, end), in batches without a hole."""
        kept = self.lost.missing(max(1, first), min(end, self.head))
        return [
            samples(a, b, head=self.head, bad=[n for n in range(a, b) if is_bad(n)])
            for a, b in kept
        ]

    def lose(self, first: int, end: int) -> list[bytes]:
        """Its disk loses what was not acknowledged of [first, end)."""
        parts = self.settled.missing(max(1, first), min(end, self.head))
        for a, b in parts:
            self.lost.add(a, b)
        return [gone(a, b) for a, b in parts]

    def everything(self) -> list[bytes]:
        """A new session: all that was not acknowledged, and all that is gone."""
        rows = [
            message for a, b in self.settled.missing(1, self.head) for message in self.batch(a, b)
        ]
        return [self.birth(), *rows, *(gone(a, b) for a, b in self.lost)]

    def hear(self, message: bytes) -> bool:
        if told(message) == "ack":
            bounds = held(message)
            self.settled.add_all(Intervals.from_bounds(bounds))
        return True


class World:
    """A server's disk and database, and the two processes that come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ScriptedStore()
        self.site = Site()
        self.now_s = 0.0
        self.reception = self._reception()
        self.writer = self._writer()

    def _reception(self) -> Reception:
        spool = SpoolWriter(self.folder / "spool", largest_bytes=1 << 30, file_bytes=FILE_BYTES)
        books = recover_books(spool)
        if books is None:
            recovered = self.store.recover()
            books = Books.restored(recovered.state)
            spool.start(snapshot_of(books), recovered.position + 1)
        return Reception(
            Intake(books, lambda _source: True),
            spool,
            "server-1",
            on_frame=lambda _frame, _at_ns: None,
            on_result=lambda _result: None,
            now_ns=lambda: NOW_NS,
        )

    def _writer(self) -> Writer:
        return Writer(self.store, self.folder, TimeLimits(), commit_s=1.0)

    def send(self, messages: list[bytes], *, heard: bool = True) -> None:
        answer = self.site.hear if heard else (lambda _message: True)
        for message in messages:
            self.reception.take(message, "site-1", answer)

    def flush(self) -> None:
        asyncio.run(self.reception.flush())

    def kill_ingest(self, written: int) -> None:
        """In the middle of a write: some bytes of what was pending are in the file."""
        pending, _ = self.reception.spool.take_pending()
        self.reception.close()
        torn = b"".join(pending)
        with spool_files(self.folder / "spool")[-1].open("ab") as file:
            file.write(torn[: written % (len(torn) + 1)])
        self.reception = self._reception()

    def turn(self, later_s: float) -> None:
        self.now_s += later_s
        try:
            self.writer.turn(self.now_s)
        except Crash:
            self.kill_writer()

    def kill_writer(self) -> None:
        self.writer = self._writer()

    def settle(self) -> None:
        """Everybody is well again."""
        self.store.script.clear()
        self.send(self.site.everything())
        self.flush()
        for _ in range(500):
            self.turn(2.0)
            if self.store.position == self.reception.spool.next - 1:
                break
        self.reception.close()

    @property
    def letters(self) -> list[int]:
        files = sorted((self.folder / "dead-letter").glob("*.jsonl"))
        lines = [line for path in files for line in path.read_text().splitlines()]
        return [json.loads(line)["sequence"] for line in lines]


NUMBER = st.integers(1, 60)
SPAN = st.tuples(st.just("send"), NUMBER, st.integers(1, 25), st.booleans())
STEPS = st.one_of(
    st.tuples(st.just("measure"), st.integers(1, 20)),
    SPAN,
    SPAN,
    st.tuples(st.just("resend")),
    st.tuples(st.just("lose"), NUMBER, st.integers(1, 8)),
    st.tuples(st.just("flush")),
    st.tuples(st.just("flush")),
    st.tuples(st.just("turn"), st.sampled_from([0.0, 2.0])),
    st.tuples(st.just("turn"), st.sampled_from([0.0, 2.0])),
    st.tuples(st.just("kill ingest"), st.integers(0, 5000)),
    st.tuples(st.just("kill writer")),
    st.tuples(
        st.just("next commit"),
        st.sampled_from(["fail before", "fail after", "die before", "die after"]),
    ),
)


def act(world: World, step: tuple) -> None:  # type: ignore[type-arg]
    site = world.site
    what, *rest = step
    if what == "measure":
        site.head += rest[0]
    elif what == "send":
        first, length, heard = rest
        world.send(site.batch(first, first + length), heard=heard)
    elif what == "resend":
        world.send(site.everything())
    elif what == "lose":
        world.send(site.lose(rest[0], rest[0] + rest[1]))
    elif what == "flush":
        world.flush()
    elif what == "turn":
        world.turn(rest[0])
    elif what == "kill ingest":
        world.kill_ingest(rest[0])
    elif what == "kill writer":
        world.kill_writer()
    else:
        world.store.script.append(rest[0])


@pytest.mark.slow
@settings(max_examples=200)
@given(st.lists(STEPS, min_size=5, max_size=40))
def test_whatever_is_sent_lost_and_killed_every_sample_is_stored_exactly_once(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple],  # type: ignore[type-arg]
) -> None:
    world = World(tmp_path_factory.mktemp("server"))
    site = world.site
    act(world, ("measure", 20))
    world.send([site.birth()])
    for step in steps:
        act(world, step)
    world.settle()

    numbers = set(range(1, site.head))
    assert site.settled.bounds == [1, site.head]  # the source may forget all of it
    stored = Counter(row.sequence for row in world.store.rows)
    letters = Counter(world.letters)
    assert set(stored.values()) <= {1}
    assert set(letters.values()) <= {1}
    assert not any(map(is_bad, stored))
    assert all(map(is_bad, letters))
    lost = {number for first, end in site.lost for number in range(first, end)}
    assert numbers - lost <= set(stored) | set(letters)
    assert all(row.power_w == power_of(row.sequence) for row in world.store.rows)
    account = world.store.account()
    assert account.head == site.head
    assert account.stored == len(stored)
    assert account.rejected == ({"out of range": len(letters)} if letters else {})
    assert account.lost == len(numbers - set(stored) - set(letters))
    assert [gap for gap in account.gaps() if not gap.cause] == []
    assert account.head - 1 == account.stored + sum(account.rejected.values()) + account.lost


def test_without_a_spool_the_books_of_the_store_keep_rows_from_coming_twice(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    world.site.head = 21
    world.send(world.site.everything())
    world.flush()
    while not world.store.rows:
        world.turn(2.0)
    world.reception.close()
    for path in spool_files(tmp_path / "spool"):
        path.unlink()
    world.reception = world._reception()
    assert world.reception.spool.next == world.store.position + 1
    world.kill_writer()
    world.site.settled = Intervals()  # its acknowledgements never arrived
    world.settle()
    assert world.site.settled.bounds == [1, 21]
    assert len(world.store.rows) + len(world.letters) == 20


def test_a_torn_write_leaves_what_was_whole_and_nothing_else(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.site.head = 21
    world.send([world.site.birth()])
    world.flush()
    world.send(world.site.batch(1, 11) + world.site.batch(11, 21))
    world.kill_ingest(1)
    assert world.reception.intake.books.account("site-1", STREAM, 1).held.bounds == []
    world.send(world.site.batch(1, 11) + world.site.batch(11, 21))
    world.kill_ingest(800)
    assert world.reception.intake.books.account("site-1", STREAM, 1).durable.bounds == [1, 11]
    size = spool_files(tmp_path / "spool")[-1].stat().st_size
    assert size == world.reception.spool.bytes_held
    world.settle()
    assert len(world.store.rows) + len(world.letters) == 20


def test_who_may_send_is_asked_once_a_name_and_remembered_within_bounds() -> None:
    config = FleetConfig(Fleet("f"), (Source("site-*"), Source("gate")))
    known: dict[str, bool] = {}
    accepts = partial(_accepts, config, known)
    assert [accepts(name) for name in ("site-1", "gate", "gate-2", "site-1")] == [
        True,
        True,
        False,
        True,
    ]
    assert known == {"site-1": True, "gate": True, "gate-2": False}
