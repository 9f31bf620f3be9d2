"""Every record of the spool is stored once, whatever becomes of a commit."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tenhertz.errors import UserError
from tenhertz.link.frame import Frame
from tenhertz.store.spool import SpoolWriter
from tenhertz.store.spool_reader import SpoolReader
from tenhertz.telemetry.books import ENCODE_ENTRY, Books, Entry, decode_entry
from tenhertz.telemetry.intake import Intake
from tenhertz.telemetry.reception import snapshot_of
from tenhertz.telemetry.validate import TimeLimits
from tenhertz.telemetry.writer import Writer, status_of

from .fleet_store import Crash, Row, ScriptedStore
from .messages import NOW_NS, STEP_NS, STREAM, birth, gone, power_of, samples

KEY = ("site-1", STREAM, 1)


class Place:
    """A server's folder with a spool, a store and a writer that may be begun anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ScriptedStore()
        self.spool = SpoolWriter(folder / "spool", largest_bytes=1 << 30)
        self.intake = Intake(Books(), lambda _source: True)
        assert self.spool.recover() is None
        self.spool.start(snapshot_of(self.intake.books), 1)
        self.offered: list[Frame] = []
        self.writer = self.fresh()
        self.now_s = 0.0

    def fresh(self) -> Writer:
        return Writer(
            self.store, self.folder, TimeLimits(), commit_s=1.0, offer=self.offered.extend
        )

    def say(self, *messages: bytes) -> None:
        for message in messages:
            taken = self.intake.receive(message, NOW_NS, None, lambda _size: True)
            if taken.entry is not None:
                self.spool.append(taken.entry)
        self.flush()

    def flush(self) -> None:
        self.spool.write(*self.spool.take_pending())

    def turn(self, later_s: float = 2.0) -> float:
        """A step of the writer; a crash begins it anew."""
        self.now_s += later_s
        try:
            return self.writer.turn(self.now_s)
        except Crash:
            self.writer = self.fresh()
            return 0.0

    def drain(self) -> None:
        for _ in range(1000):
            if self.store.position == self.spool.next - 1:
                return
            self.turn()
        raise AssertionError("the writer does not come to an end")

    @property
    def letters(self) -> list[tuple[int, str]]:
        """Sequence number and reason of what is in the dead-letter files."""
        found = []
        for path in sorted((self.folder / "dead-letter").glob("*.jsonl")):
            for line in path.read_text().splitlines():
                letter = json.loads(line)
                found.append((letter["sequence"], letter["reason"]))
        return found

    def stored(self, stream: int = STREAM) -> list[int]:
        return [row.sequence for row in self.store.rows if row.stream == stream]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def holds_in_sum(place: Place) -> None:
    """Taken at the source = stored + rejected + gone + missing."""
    account = place.store.account()
    missing = sum(gap.rows for gap in account.gaps() if not gap.cause)
    rejected = sum(account.rejected.values())
    assert account.head - 1 == account.stored + rejected + account.lost + missing
    assert account.stored == len(place.stored())
    assert Counter(reason for _, reason in place.letters) == Counter(account.rejected)


def test_rows_state_and_position_are_stored_together(place: Place) -> None:
    place.say(birth(), samples(1, 11), gone(11, 13), samples(13, 15, head=17))
    place.drain()
    assert place.store.rows == [
        Row("site-1", STREAM, number, power_of(number)) for number in [*range(1, 11), 13, 14]
    ]
    assert place.store.position == 4
    account = place.store.account()
    assert (account.held, account.stored, account.lost) == ([1, 11, 13, 15], 12, 2)
    assert [(gap.first, gap.end, gap.cause) for gap in account.gaps()] == [
        (11, 13, "ring overrun"),
        (15, 17, ""),
    ]
    holds_in_sum(place)
    status = status_of(place.writer, {})
    assert (status.position, status.rows, status.failures, status.trouble) == (5, 12, 0, "")


def test_what_waits_is_stored_together_after_the_configured_time(place: Place) -> None:
    place.say(birth(), samples(1, 11))
    place.turn(0.0)
    place.say(samples(11, 21))
    place.turn(0.5)
    assert place.writer.commits == 0
    place.turn(0.6)
    assert (place.writer.commits, len(place.store.rows)) == (1, 20)


def test_much_is_stored_before_the_configured_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenhertz.telemetry.writer.COMMIT_BYTES", 100)
    place.say(birth(), samples(1, 11))
    place.turn(0.0)
    assert len(place.store.rows) == 10


@pytest.mark.parametrize("what", ["fail before", "fail after", "die before", "die after"])
def test_a_commit_that_goes_wrong_stores_every_row_once(place: Place, what: str) -> None:
    place.say(birth(), samples(1, 11, bad=(4,)))
    place.store.script.extend([what, what])
    place.drain()
    place.say(samples(11, 21, bad=(12, 13)))
    place.drain()
    assert sorted(place.stored()) == [n for n in range(1, 21) if n not in (4, 12, 13)]
    assert [number for number, _ in place.letters] == [4, 12, 13]
    holds_in_sum(place)


def test_a_store_that_is_down_is_asked_less_and_less_often(place: Place) -> None:
    place.store.down = True
    place.say(birth(), samples(1, 11))
    assert [place.turn() for _ in range(7)] == [0.25, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0]
    assert place.writer.failures == 7
    assert "down" in place.writer.trouble
    place.store.down = False
    place.drain()
    assert place.writer.trouble == ""
    place.store.script.append("fail before")
    place.say(samples(11, 12))
    place.turn()
    assert place.turn() == 0.25  # the first again: it has worked in between
    place.drain()
    assert place.stored() == list(range(1, 12))


def test_sinks_are_offered_what_is_stored_and_nothing_else(place: Place) -> None:
    place.store.script.append("fail before")
    place.say(birth(), samples(1, 11, bad=(4,)))
    while not place.writer.failures:
        place.turn()
    assert place.offered == []
    place.drain()
    assert [frame.rows for frame in place.offered] == [9]


class OneByOne(SpoolReader):
    """Gives a single record at a time."""

    def read(self, most_bytes: int = 0) -> list[tuple[int, bytes]]:
        self.waiting = getattr(self, "waiting", []) or super().read()
        found, self.waiting = self.waiting[:1], self.waiting[1:]
        return found


def test_a_rejected_row_is_in_the_dead_letters_once_though_a_commit_was_cut_up_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.say(birth(), samples(1, 11))
    place.turn(0.0)
    place.say(samples(11, 21, bad=(15,)))
    place.store.script.append("die before")
    place.turn()  # letters are written for both batches, the commit is not made
    assert [number for number, _ in place.letters] == [15]
    monkeypatch.setattr("tenhertz.telemetry.writer.SpoolReader", OneByOne)
    place.drain()
    assert place.writer.commits == 2  # the birth with the first batch; the second batch
    assert place.stored() == [number for number in range(1, 21) if number != 15]
    assert [number for number, _ in place.letters] == [15]


def test_rows_in_a_wrong_order_are_rejected_as_the_intake_saw_them(place: Place) -> None:
    # 0.3 s back: row 13 has the instant of row 10.
    back_ns = NOW_NS - 1003 * STEP_NS
    place.say(birth(), samples(1, 11), samples(11, 16, begin_ns=back_ns))
    place.drain()
    assert place.stored() == [*range(1, 11), 14, 15]
    assert sorted(place.letters) == [
        (11, "time out of order"),
        (12, "time out of order"),
        (13, "same instant twice"),
    ]
    holds_in_sum(place)


def test_the_head_that_a_birth_told_is_stored(place: Place) -> None:
    place.say(birth(heads={1: 51}))
    place.drain()
    account = place.store.account()
    assert account.head == 51
    assert [(gap.first, gap.end) for gap in account.gaps()] == [(1, 51)]


def test_duplicates_are_counted_in_the_account(place: Place) -> None:
    place.say(birth(), samples(1, 11), samples(1, 11), samples(6, 16))
    place.drain()
    assert place.store.account().duplicates == 15
    assert place.stored() == list(range(1, 16))


def test_an_entry_that_can_no_longer_be_read_is_a_dead_letter_with_all_its_rows(
    place: Place,
) -> None:
    place.say(birth(), samples(1, 11))
    entry = Entry("site-1", NOW_NS, samples(11, 21, dictionary=99), ((11, 21),))
    place.spool.append(ENCODE_ENTRY(entry))
    place.flush()
    place.drain()
    account = place.store.account()
    assert account.rejected == {"dictionary not known": 10}
    assert account.held == [1, 21]
    assert place.letters == [(11, "dictionary not known")]


def test_files_that_are_stored_are_removed(place: Place) -> None:
    place.say(birth(), samples(1, 11))
    place.spool.rotate(b"\x80")
    place.say(samples(11, 21))
    assert len(list((place.folder / "spool").iterdir())) == 2
    place.drain()
    assert len(list((place.folder / "spool").iterdir())) == 1
    assert place.stored() == list(range(1, 21))


def test_an_older_copy_of_the_store_is_told_and_nothing_is_removed(place: Place) -> None:
    place.say(birth(), samples(1, 11))
    place.spool.rotate(b"\x80")
    place.say(samples(11, 21))
    place.drain()
    place.store = ScriptedStore()
    place.writer = place.fresh()
    with pytest.raises(UserError, match="the store is an older copy"):
        place.turn()
    assert len(list((place.folder / "spool").iterdir())) == 1


def test_an_idle_writer_looks_after_the_store(place: Place) -> None:
    assert place.turn() > 0
    assert place.store.upkeeps == 1


def test_a_writer_that_is_told_to_end_stores_what_it_has(place: Place) -> None:
    place.say(birth(), samples(1, 11))
    told = []
    place.writer.end()
    place.writer.run(lambda: told.append(place.writer.rows))
    assert told == [10]
    assert place.store.closed


def test_an_entry_is_what_was_put_down(place: Place) -> None:
    entry = Entry("s", 1, b"x", ((1, 2),), {"why": [1]}, 3)
    assert decode_entry(ENCODE_ENTRY(entry)) == entry
