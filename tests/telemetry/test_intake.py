"""What becomes of a message: an entry for the spool, a reply, a count; and never anything else."""

from __future__ import annotations

import pytest

from tenhertz.link import Kind
from tenhertz.telemetry.books import Books, Entry, decode_entry
from tenhertz.telemetry.intake import Intake, Taken, acknowledgement

from .messages import (
    DICTIONARY,
    NOW_NS,
    STEP_NS,
    STREAM,
    birth,
    death,
    gone,
    held,
    result,
    samples,
    told,
)

KEY = ("site-1", STREAM, int(Kind.SAMPLE))


class Site:
    """An intake and a source that speaks to it."""

    def __init__(self, *, born: bool = True) -> None:
        self.intake = Intake(Books(), lambda source: source.startswith("site-"))
        self.counts = self.intake.counts
        self.full = False
        if born:
            self.say(birth())

    def say(self, data: bytes, speaker: str | None = "site-1") -> Taken:
        return self.intake.receive(data, NOW_NS, speaker, lambda _size: not self.full)

    @property
    def bounds(self) -> list[int]:
        return self.intake.books.account(*KEY).held.bounds


def entry_of(taken: Taken) -> Entry:
    assert taken.entry is not None
    return decode_entry(taken.entry)


def test_rows_are_taken_in_as_one_entry_with_their_numbers() -> None:
    site = Site()
    data = samples(1, 11)
    taken = site.say(data)
    assert entry_of(taken) == Entry("site-1", NOW_NS, data, ((1, 11),))
    assert taken.settles == (KEY, [(1, 11)])
    assert taken.told == ("site-1", STREAM)
    assert taken.live
    assert taken.frame is not None
    assert taken.frame.sequence.tolist() == list(range(1, 11))
    assert (site.counts.rows, site.counts.batches, site.counts.births) == (10, 1, 1)


def test_rows_that_came_before_are_left_out_wherever_they_overlap() -> None:
    site = Site()
    for first, end in ((3, 5), (8, 10), (14, 15)):
        site.say(samples(first, end))
    taken = site.say(samples(1, 13))
    assert not taken.live
    assert entry_of(taken).parts == ((1, 3), (5, 8), (10, 13))
    assert entry_of(taken).duplicates == 4
    assert taken.frame is not None
    assert taken.frame.sequence.tolist() == [1, 2, 5, 6, 7, 10, 11, 12]
    assert site.bounds == [1, 13, 14, 15]
    assert site.counts.duplicates == 4
    assert site.counts.rows == 5 + 8


def test_a_batch_that_came_before_is_only_acknowledged_again() -> None:
    site = Site()
    site.say(samples(1, 11))
    taken = site.say(samples(3, 9))
    assert taken == Taken(told=("site-1", STREAM))
    assert site.counts.duplicates == 6
    assert entry_of(site.say(samples(11, 12))).duplicates == 6  # told with the next entry
    assert entry_of(site.say(samples(12, 13))).duplicates == 0


def test_what_is_newer_than_all_before_is_live_and_a_backlog_is_not() -> None:
    site = Site()
    assert site.say(samples(101, 111)).live
    assert not site.say(samples(1, 51)).live
    assert not site.say(samples(106, 116)).live
    assert site.say(samples(116, 121)).live
    assert site.bounds == [1, 51, 101, 121]


def test_a_backlog_is_not_out_of_order_against_what_is_live() -> None:
    site = Site()
    site.say(samples(101, 111))
    assert entry_of(site.say(samples(1, 101))).disordered == {}
    assert not site.counts.rejected


def test_live_rows_that_go_back_in_time_are_named_in_the_entry() -> None:
    site = Site()
    site.say(samples(1, 11))
    back_ns = NOW_NS - 1005 * STEP_NS
    taken = site.say(samples(11, 21, begin_ns=back_ns))
    entry = entry_of(taken)
    assert entry.parts == ((11, 21),)
    assert entry.disordered == {
        "time out of order": [11, 12, 13, 14],
        "same instant twice": [15],
    }
    assert taken.frame is not None
    assert taken.frame.sequence.tolist() == [16, 17, 18, 19, 20]
    assert site.counts.rejected == {"time out of order": 4, "same instant twice": 1}


def test_after_a_birth_a_clock_that_was_set_back_is_believed() -> None:
    site = Site()
    site.say(samples(1, 11))
    site.say(birth(session=2))
    assert entry_of(site.say(samples(11, 21, begin_ns=NOW_NS - 1005 * STEP_NS))).disordered == {}


def test_rows_that_cannot_be_true_are_counted_and_still_accounted_for() -> None:
    site = Site()
    taken = site.say(samples(1, 11, bad=(4, 5)))
    assert taken.frame is not None
    assert taken.frame.rows == 8
    assert entry_of(taken).parts == ((1, 11),)
    assert site.counts.rejected == {"out of range": 2}
    assert (site.counts.rows, site.bounds) == (8, [1, 11])


def test_a_batch_in_unknown_words_asks_for_a_birth_and_is_not_taken() -> None:
    site = Site(born=False)
    taken = site.say(samples(1, 11))
    assert taken.reply is not None
    assert told(taken.reply) == "rebirth"
    assert taken.entry is None
    assert taken.told is None
    assert site.bounds == []
    site.say(birth())
    assert entry_of(site.say(samples(1, 11))).parts == ((1, 11),)
    again = site.say(samples(11, 12, dictionary=DICTIONARY + 1)).reply
    assert again is not None
    assert told(again) == "rebirth"
    assert site.counts.rebirths == 2


def test_a_dictionary_goes_to_the_spool_once() -> None:
    site = Site(born=False)
    assert site.say(birth()).entry is not None
    assert site.say(birth(session=2)).entry is None
    assert site.say(birth(session=3, entities=("u1", "u2", "u3"))).entry is not None


def test_nothing_is_taken_where_there_is_no_room() -> None:
    site = Site()
    site.full = True
    for data in (samples(1, 11), birth(dictionary=9), gone(1, 5)):
        assert site.say(data) == Taken()
    assert site.counts.refused == 3
    assert site.bounds == []
    site.full = False
    assert entry_of(site.say(samples(1, 11))).parts == ((1, 11),)
    assert site.intake.books.dictionary("site-1", 9) is None


MALFORMED: dict[str, tuple[str, bytes, str | None]] = {
    "no message": ("not a message", b"\xff\xff\xff", "site-1"),
    "an empty one": ("empty message", b"", "site-1"),
    "a later version": ("version", samples(1, 2, version=3), "site-1"),
    "a source that nobody named": ("unknown source", samples(1, 2, "intruder"), None),
    "a source that nobody named is born": ("unknown source", birth("intruder"), "intruder"),
    "another's batch": ("speaks for another source", samples(1, 2, "site-2"), "site-1"),
    "another's birth": ("speaks for another source", birth("site-2"), "site-1"),
    "another's death": ("speaks for another source", death("site-2"), "site-1"),
    "another's loss": ("speaks for another source", gone(1, 2, source="site-2"), "site-1"),
    "another's result": ("speaks for another source", result("site-2"), "site-1"),
    "a loss of nothing": ("sequence", gone(5, 5), "site-1"),
    "a loss that runs back": ("sequence", gone(5, 4), "site-1"),
    "a loss from 0": ("sequence", gone(0, 4), "site-1"),
    "a loss without end": ("sequence", gone(1, 2**64 - 1), "site-1"),
    "a head below its rows": ("sequence", samples(1, 5, head=3), "site-1"),
    "a birth without units": ("dictionary without entities", birth(entities=()), "site-1"),
    "a name twice": ("name twice in dictionary", birth(entities=("a", "a")), "site-1"),
    "a head without end": ("sequence", birth(heads={1: 2**64 - 1}), "site-1"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_cannot_be_taken_is_counted_by_reason_and_changes_nothing(name: str) -> None:
    reason, data, speaker = MALFORMED[name]
    site = Site()
    before = site.intake.books.everything()
    sessions = site.intake.sessions
    assert site.say(data, speaker) == Taken()
    assert site.counts.malformed == {reason: 1}
    assert site.intake.books.everything() == before
    assert site.intake.sessions == sessions


def test_a_channel_that_cannot_tell_who_speaks_takes_the_word_of_the_message() -> None:
    site = Site()
    assert site.say(samples(1, 3), None).entry is not None


def test_rows_reported_as_gone_are_settled_once() -> None:
    site = Site()
    site.say(samples(3, 5))
    taken = site.say(gone(1, 8))
    assert taken.settles == (KEY, [(1, 8)])
    assert site.counts.gone == 5
    assert site.say(gone(1, 8)) == Taken(told=("site-1", STREAM))
    assert site.counts.gone == 5
    assert site.intake.books.account(*KEY).settled.bounds == [1, 8]


def test_rows_that_come_after_they_were_given_up_are_taken() -> None:
    site = Site()
    site.say(gone(1, 8))
    assert entry_of(site.say(samples(2, 4))).parts == ((2, 4),)
    assert site.intake.books.account(*KEY).closed().lost == 5


def test_a_death_ends_the_session_that_it_names_and_no_other() -> None:
    site = Site()
    assert site.intake.sessions == 1
    site.say(birth(session=2))
    assert site.say(death(session=1)) == Taken()  # the last will of the session before
    assert site.intake.sessions == 1
    assert site.say(death(session=2)).session is False
    assert site.intake.sessions == 0
    assert site.say(death(session=2)) == Taken()
    assert site.counts.deaths == 1


def test_a_source_that_was_born_before_this_process_is_alive_when_it_is_heard() -> None:
    before, after = Site(), Site(born=False)
    before.say(samples(1, 11))
    after.intake.books = Books.restored(before.intake.books.everything())
    after.say(samples(11, 21))
    assert after.intake.sessions == 1
    assert after.say(death(session=1)).session is False
    assert after.intake.sessions == 0


def test_two_streams_of_one_source_are_two_accounts() -> None:
    site = Site()
    site.say(samples(1, 11))
    assert site.say(samples(1, 11, stream=8)).live
    assert site.counts.duplicates == 0
    assert len(site.intake.books.accounts) == 2


def test_the_result_of_a_command_is_passed_on() -> None:
    taken = Site().say(result(sequence=9))
    assert taken.result is not None
    assert taken.result.sequence == 9
    assert taken.entry is None


def test_an_acknowledgement_tells_what_is_durable_and_no_more() -> None:
    site = Site()
    site.say(samples(1, 11))
    site.say(samples(21, 31))
    books = site.intake.books
    assert held(acknowledgement(books, "site-1", STREAM, "server-1")) == []
    books.account(*KEY).durable.add(1, 11)
    assert held(acknowledgement(books, "site-1", STREAM, "server-1")) == [1, 11]
    assert held(acknowledgement(books, "site-1", STREAM + 1, "server-1")) == []
    assert held(acknowledgement(books, "site-2", STREAM, "server-1")) == []


def test_an_acknowledgement_stays_small_and_tells_whole_intervals() -> None:
    site = Site()
    durable = site.intake.books.account(*KEY).durable
    for number in range(1, 10_001):
        durable.add(2 * number, 2 * number + 1)
    bounds = held(acknowledgement(site.intake.books, "site-1", STREAM, "server-1"))
    assert len(bounds) == 4096
    assert bounds[0] % 2 == 0  # begins with a first, not with an end
    assert bounds[-2:] == [20_000, 20_001]


def test_the_head_of_a_birth_is_known_after_a_restart() -> None:
    site = Site(born=False)
    taken = site.say(birth(heads={int(Kind.SAMPLE): 51}))
    assert entry_of(taken).payload == birth(heads={int(Kind.SAMPLE): 51})
    assert site.say(birth(session=2, heads={int(Kind.SAMPLE): 51})).entry is None
    assert site.say(birth(session=3, heads={int(Kind.SAMPLE): 61})).entry is not None
    assert site.intake.books.account(*KEY).closed().head == 61


def test_kinds_that_this_version_does_not_know_are_left_out_of_the_heads() -> None:
    site = Site()
    site.say(birth(session=2, heads={77: 5}))
    assert not site.intake.books.accounts
