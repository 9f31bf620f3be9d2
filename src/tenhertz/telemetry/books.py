"""What has been taken in: the accounts of all streams, and the dictionaries of their sources.

The same books are kept twice: by the intake, ahead, in the snapshots of the spool; and by the
writer, behind, in the store, in one transaction with the rows. Both come from the same entries, so
after any crash each is where its own medium is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tenhertz.link import Intervals, Kind
from tenhertz.link.decode import Dictionary
from tenhertz.link.schema_pb2 import Birth
from tenhertz.store.account import ENCODE, Account, account_key, decode_account

# A source that restarts with another dictionary may still have batches of the one before under way.
DICTIONARIES_KEPT = 4
_KINDS = frozenset(int(kind) for kind in Kind)

Key = tuple[str, int, int]  # source, stream, kind


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A record of the spool: a message as it came, and what was taken of it."""

    source: str
    received_ns: int
    payload: bytes  # an Uplink
    parts: tuple[tuple[int, int], ...] = ()  # sequence numbers taken in, [first, end)
    # By reason, those of `parts` that stood in a wrong order; what a row says of itself is checked
    # anew by whoever reads the entry.
    disordered: dict[str, list[int]] = {}
    duplicates: int = 0  # rows left out since the last entry of this account


ENCODE_ENTRY = msgspec.msgpack.Encoder().encode
decode_entry = msgspec.msgpack.Decoder(Entry).decode


class Book:
    """One account with its sets at hand."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.held = Intervals.from_bounds(account.held)
        self.settled = self.held.copy()  # held or gone
        for first, end, _ in account.gone:
            self.settled.add(first, end)
        self.durable = self.settled.copy()  # what the source may forget

    def closed(self) -> Account:
        """The account as it is now, to be written down."""
        self.account.held = self.held.bounds
        return self.account


class Books:
    """All accounts and dictionaries."""

    def __init__(self) -> None:
        self.accounts: dict[Key, Book] = {}
        self._streams: dict[tuple[str, int], list[tuple[int, Book]]] = {}
        self._dictionaries: dict[str, dict[int, tuple[Dictionary, bytes]]] = {}
        self._changed: set[str] = set()
        self._keys: dict[str, Key] = {}

    # -- accounts -----------------------------------------------------------------------------

    def account(self, source: str, stream: int, kind: int) -> Book:
        """The account of a stream; a new one where there is none."""
        key = (source, stream, kind)
        book = self.accounts.get(key)
        if book is None:
            book = self._put(Account(source, stream, kind))
        return book

    def _put(self, account: Account) -> Book:
        key = (account.source, account.stream, account.kind)
        book = self.accounts[key] = Book(account)
        self._streams.setdefault(key[:2], []).append((account.kind, book))
        return book

    def of_stream(self, source: str, stream: int) -> list[tuple[int, Book]]:
        """The accounts of a stream by kind."""
        return self._streams.get((source, stream), [])

    def hold(self, key: Key, parts: Iterable[tuple[int, int]], head: int) -> Book:
        """Note rows as taken in."""
        book = self.account(*key)
        for first, end in parts:
            book.held.add(first, end)
            book.settled.add(first, end)
        book.account.head = max(book.account.head, head)
        self._touch(key)
        return book

    def give_up(self, key: Key, first: int, end: int, cause: str) -> bool:
        """Note rows as gone at the source; False if that was known."""
        book = self.account(*key)
        book.account.head = max(book.account.head, end)
        if book.settled.covers(first, end):
            return False
        for part_first, part_end in book.settled.missing(first, end):
            _add_gone(book.account.gone, part_first, part_end, cause)
        book.settled.add(first, end)
        self._touch(key)
        return True

    def hear(self, birth: Birth, dictionary: Dictionary) -> bool:
        """Note what a birth tells: its dictionary and how far it has numbered; False if known."""
        news = self.learn(birth.source, birth.dictionary, dictionary)
        for head in birth.heads:
            key = (birth.source, birth.stream, int(head.kind))
            book = self.accounts.get(key)
            if head.kind in _KINDS and head.next > (book.account.head if book else 1):
                self.hold(key, (), head.next)
                news = True
        return news

    def _touch(self, key: Key) -> None:
        name = account_key(*key)
        self._keys[name] = key
        self._changed.add(name)

    # -- dictionaries -------------------------------------------------------------------------

    def dictionary(self, source: str, number: int) -> Dictionary | None:
        """What the indices in a source's batches mean."""
        found = self._dictionaries.get(source, {}).get(number)
        return found[0] if found else None

    def learn(self, source: str, number: int, dictionary: Dictionary) -> bool:
        """Remember a dictionary; False if it was known."""
        known = self._dictionaries.setdefault(source, {})
        if number in known and known[number][0] == dictionary:
            return False
        known.pop(number, None)
        known[number] = (dictionary, msgspec.msgpack.encode((number, dictionary)))
        while len(known) > DICTIONARIES_KEPT:
            known.pop(next(iter(known)))
        self._changed.add(f"dictionary/{source}")
        return True

    # -- at rest ------------------------------------------------------------------------------

    def changes(self) -> dict[str, bytes]:
        """What has changed since the last call, as a store keeps it."""
        changed, self._changed = self._changed, set()
        return {name: self._encoded(name) for name in changed}

    def everything(self) -> dict[str, bytes]:
        """All of it, as a store or a snapshot keeps it."""
        for key in self.accounts:
            self._keys.setdefault(account_key(*key), key)
        names = [*self._keys, *(f"dictionary/{source}" for source in self._dictionaries)]
        return {name: self._encoded(name) for name in names}

    def _encoded(self, name: str) -> bytes:
        if name in self._keys:
            return ENCODE(self.accounts[self._keys[name]].closed())
        source = name.removeprefix("dictionary/")
        return msgspec.msgpack.encode([body for _, body in self._dictionaries[source].values()])

    @classmethod
    def restored(cls, state: Mapping[str, bytes]) -> Books:
        """The books from what a store or a snapshot kept."""
        books = cls()
        for name, body in state.items():
            if name.startswith("account/"):
                account = decode_account(body)
                books._put(account)
                books._keys[name] = (account.source, account.stream, account.kind)
            elif name.startswith("dictionary/"):
                source = name.removeprefix("dictionary/")
                for item in msgspec.msgpack.decode(body, type=list[bytes]):
                    number, dictionary = _DICTIONARY(item)
                    books.learn(source, number, dictionary)
        books._changed.clear()
        return books


def _add_gone(gone: list[tuple[int, int, str]], first: int, end: int, cause: str) -> None:
    """Add a range, as part of the one before where it only goes on."""
    if gone and gone[-1][1] == first and gone[-1][2] == cause:
        first = gone.pop()[0]
    gone.append((first, end, cause))


_DICTIONARY = msgspec.msgpack.Decoder(tuple[int, Dictionary]).decode
