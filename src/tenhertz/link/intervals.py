"""Which sequence numbers of a stream are accounted for: a set of half-open intervals.

Live rows and backlog arrive side by side: what has been stored is a few intervals, not one number.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise


class Intervals:
    """A set of integers as ascending, disjoint intervals [first, end) that do not touch."""

    __slots__ = ("_ends", "_firsts")

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []
        for first, end in pairs:
            self.add(first, end)

    @classmethod
    def from_bounds(cls, bounds: Iterable[int]) -> Intervals:
        """From first, end, first, end ...

        Raises:
            ValueError: an odd count, or they do not ascend.
        """
        flat = list(bounds)
        if len(flat) % 2:
            raise ValueError("bounds come in pairs")
        if any(a >= b for a, b in pairwise(flat)):
            raise ValueError("bounds ascend")
        made = cls()
        made._firsts, made._ends = flat[::2], flat[1::2]
        return made

    @property
    def bounds(self) -> list[int]:
        """First, end, first, end ..."""
        return [number for pair in self for number in pair]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._firsts, self._ends, strict=True))

    def __len__(self) -> int:
        return len(self._firsts)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervals) and self.bounds == other.bounds

    __hash__ = None  # type: ignore[assignment] # it changes

    def __repr__(self) -> str:
        return f"Intervals({list(self)!r})"

    @property
    def total(self) -> int:
        """How many numbers are in the set."""
        return sum(self._ends) - sum(self._firsts)

    @property
    def end(self) -> int:
        """One more than the highest number; 0 for the empty set."""
        return self._ends[-1] if self._ends else 0

    def add(self, first: int, end: int) -> None:
        """Put [first, end) in; numbers that are in already stay."""
        if first >= end:
            return
        low = bisect_left(self._ends, first)  # the first interval that touches
        high = bisect_right(self._firsts, end)  # one past the last that touches
        if low < high:
            first = min(first, self._firsts[low])
            end = max(end, self._ends[high - 1])
        self._firsts[low:high] = [first]
        self._ends[low:high] = [end]

    def add_all(self, other: Intervals) -> None:
        """Put all of another set in."""
        for first, end in other:
            self.add(first, end)

    def covers(self, first: int, end: int) -> bool:
        """Whether all of [first, end) is in."""
        at = bisect_right(self._firsts, first) - 1
        return first >= end or (at >= 0 and self._ends[at] >= end)

    def missing(self, first: int, end: int) -> list[tuple[int, int]]:
        """The parts of [first, end) that are not in, ascending."""
        found = []
        at = bisect_right(self._ends, first)
        while first < end:
            if at >= len(self._firsts) or self._firsts[at] >= end:
                found.append((first, end))
                break
            if self._firsts[at] > first:
                found.append((first, self._firsts[at]))
            first = max(first, self._ends[at])
            at += 1
        return found

    def copy(self) -> Intervals:
        """An independent copy."""
        made = Intervals()
        made._firsts, made._ends = self._firsts.copy(), self._ends.copy()
        return made
