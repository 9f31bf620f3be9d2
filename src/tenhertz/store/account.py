"""The account of a stream: which of its rows have been taken in, which never will be, and why.

taken at the source (`head` - 1) = stored + rejected + gone + missing. Kept by the store in the same
transaction as the rows, so that the sum holds after any crash.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tenhertz.link import Intervals, Kind


class Gap(msgspec.Struct, frozen=True):
    """Rows that are not in the store."""

    source: str
    stream: int
    kind: str
    first: int
    end: int  # the first that is there again
    cause: str  # empty: not yet come

    @property
    def rows(self) -> int:
        """How many."""
        return self.end - self.first


class Account(msgspec.Struct):
    """One kind of rows of one stream of one source. Sequence numbers begin at 1."""

    source: str
    stream: int
    kind: int
    head: int = 1  # the next number that the source will give
    held: list[int] = []  # bounds of what was taken in: stored or rejected
    gone: list[tuple[int, int, str]] = []  # first, end, cause: reported as lost by the source
    rejected: dict[str, int] = {}  # rows by reason; they are in the dead-letter file
    duplicates: int = 0  # rows that came again and were left out
    stored: int = 0  # rows

    @property
    def lost(self) -> int:
        """Rows that the source reported as lost and that had not come before."""
        held = Intervals.from_bounds(self.held)
        lost = Intervals()
        for first, end, _ in self.gone:
            for part in held.missing(first, end):
                lost.add(*part)
        return lost.total

    def gaps(self) -> Iterator[Gap]:
        """What is not there, in order: with the cause, or without one where it may still come."""
        there = Intervals.from_bounds(self.held)
        for first, end, cause in sorted(self.gone):
            for part in there.missing(first, end):
                yield Gap(self.source, self.stream, Kind(self.kind).name, *part, cause)
            there.add(first, end)
        for part in there.missing(1, self.head):
            yield Gap(self.source, self.stream, Kind(self.kind).name, *part, "")


def account_key(source: str, stream: int, kind: int) -> str:
    """Under which key of the store's state an account stands."""
    return f"account/{source}/{stream:016x}/{kind}"


ENCODE = msgspec.msgpack.Encoder().encode
decode_account = msgspec.msgpack.Decoder(Account).decode
