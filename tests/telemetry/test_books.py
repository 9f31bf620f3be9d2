"""The books come back as they were put down, and tell what has changed."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.link import Intervals
from tenhertz.link.decode import Dictionary
from tenhertz.store.account import decode_account
from tenhertz.telemetry.books import DICTIONARIES_KEPT, Books, Key

KEY: Key = ("site-1", 7, 1)
KEYS: st.SearchStrategy[Key] = st.tuples(
    st.sampled_from(["a", "b/c", "dictionary/x"]),
    st.sampled_from([0, 2**64 - 1]),
    st.integers(1, 2),
)
SPAN = st.tuples(st.integers(1, 40), st.integers(1, 10)).map(lambda at: (at[0], at[0] + at[1]))
CAUSES = st.sampled_from(["ring overrun", "disk full"])
NAMES = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=3, unique=True)
STEP = st.one_of(
    st.tuples(st.just("hold"), KEYS, SPAN),
    st.tuples(st.just("gone"), KEYS, SPAN, CAUSES),
    st.tuples(st.just("learn"), st.sampled_from(["a", "b/c"]), st.integers(0, 6), NAMES),
    st.just(("changes",)),
)


def do(books: Books, step: tuple) -> None:  # type: ignore[type-arg]
    if step[0] == "hold":
        books.hold(step[1], [step[2]], step[2][1])
    elif step[0] == "gone":
        books.give_up(step[1], *step[2], step[3])
    elif step[0] == "learn":
        books.learn(step[1], step[2], Dictionary(tuple(step[3]), ("power_w",)))


def seen(books: Books) -> dict[Key, tuple[object, ...]]:
    return {
        key: (msgspec.to_builtins(book.closed()), book.held.bounds, book.settled.bounds)
        for key, book in books.accounts.items()
    }


@given(st.lists(STEP, max_size=25))
def test_what_is_put_down_comes_back_the_same(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    books = Books()
    store: dict[str, bytes] = {}
    for step in steps:
        do(books, step)
        if step[0] == "changes":
            store |= books.changes()
    store |= books.changes()
    assert books.changes() == {}
    for state in (books.everything(), store):
        again = Books.restored(state)
        assert seen(again) == seen(books)
        assert again.everything() == books.everything()
        assert again.changes() == {}
        for book in again.accounts.values():
            assert book.durable == book.settled


@given(st.lists(st.tuples(st.sampled_from(["hold", "gone"]), SPAN, CAUSES), max_size=25))
def test_every_number_is_held_gone_or_missing_and_none_twice(
    steps: list[tuple[str, tuple[int, int], str]],
) -> None:
    books = Books()
    came, lost, head = set[int](), set[int](), 1
    for what, (first, end), cause in steps:
        head = max(head, end)
        if what == "hold":
            book = books.account(*KEY)
            books.hold(KEY, book.held.missing(first, end), end)
            came |= set(range(first, end))
        else:
            books.give_up(KEY, first, end, cause)
            lost |= set(range(first, end))
    account = books.account(*KEY).closed()
    assert account.head == head
    assert Intervals.from_bounds(account.held).total == len(came)
    assert account.lost == len(lost - came)
    gaps = list(account.gaps())
    in_gaps = [number for gap in gaps for number in range(gap.first, gap.end)]
    assert sorted(in_gaps) == sorted(set(range(1, head)) - came)
    missing = sum(gap.rows for gap in gaps if not gap.cause)
    assert head - 1 == len(came) + account.lost + missing


def test_only_what_changed_is_told_once() -> None:
    books = Books()
    books.hold(KEY, [(1, 5)], 5)
    books.hold(("other", 7, 1), [(1, 2)], 2)
    assert len(books.changes()) == 2
    books.hold(KEY, [(5, 6)], 6)
    changed = books.changes()
    assert list(changed) == ["account/site-1/0000000000000007/1"]
    assert decode_account(changed["account/site-1/0000000000000007/1"]).held == [1, 6]
    assert books.changes() == {}


def test_rows_reported_gone_twice_are_noted_once_and_touching_ones_as_one() -> None:
    books = Books()
    assert books.give_up(KEY, 3, 5, "ring overrun")
    assert not books.give_up(KEY, 3, 5, "ring overrun")
    assert books.give_up(KEY, 4, 8, "ring overrun")
    assert books.give_up(KEY, 8, 9, "disk full")
    assert books.account(*KEY).account.gone == [(3, 8, "ring overrun"), (8, 9, "disk full")]


def test_rows_that_were_held_are_not_gone() -> None:
    books = Books()
    books.hold(KEY, [(3, 5)], 5)
    assert not books.give_up(KEY, 3, 5, "ring overrun")
    assert books.give_up(KEY, 1, 8, "ring overrun")
    assert books.account(*KEY).closed().lost == 5


def test_the_last_few_dictionaries_of_a_source_are_known() -> None:
    books = Books()
    for number in range(DICTIONARIES_KEPT + 2):
        assert books.learn("s", number, Dictionary((f"u{number}",), ()))
    assert not books.learn("s", 5, Dictionary(("u5",), ()))
    assert books.dictionary("s", 1) is None
    assert books.dictionary("s", 2) == Dictionary(("u2",), ())
    assert books.dictionary("other", 2) is None
    again = Books.restored(books.everything())
    assert [again.dictionary("s", number) for number in range(6)] == [
        books.dictionary("s", number) for number in range(6)
    ]


def test_a_number_with_another_meaning_is_learnt_anew() -> None:
    books = Books()
    books.learn("s", 1, Dictionary(("u1",), ()))
    assert books.learn("s", 1, Dictionary(("u2",), ()))
    assert books.dictionary("s", 1) == Dictionary(("u2",), ())


def test_the_accounts_of_a_stream_are_those_of_no_other() -> None:
    books = Books()
    for key in (("a", 7, 1), ("a", 8, 1), ("b", 7, 1), ("a", 7, 3)):
        books.hold(key, [(1, 2)], 2)
    for found in (books, Books.restored(books.everything())):
        assert {kind: book.account.source for kind, book in found.of_stream("a", 7)} == {
            1: "a",
            3: "a",
        }
        assert found.of_stream("c", 7) == []
