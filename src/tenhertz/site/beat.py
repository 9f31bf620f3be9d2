"""The beat: when ticks are due, what happens to late ones, and how regular they were.

Pure arithmetic on monotonic nanoseconds; sleeping is the caller's business.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

LatePolicy = Literal["skip", "resync"]


class Due(NamedTuple):
    """The tick that runs now."""

    number: int
    due_ns: int
    late_ns: int
    skipped: int  # ticks that were given up because the loop was more than a period late


class Beat:
    """A fixed rate on the monotonic clock.

    A tick that runs late but within its period runs, and its lateness is known. Ticks that are a
    whole period late are never caught up in a burst, which would ask every device twice at once.
    They are counted, and then the policy decides: `skip` keeps the original grid of instants,
    `resync` starts a new grid from now.
    """

    def __init__(self, period_ns: int, start_ns: int, policy: LatePolicy = "skip") -> None:
        self.period_ns = period_ns
        self.next_ns = start_ns
        self._policy = policy
        self._number = -1
        self.skipped = 0

    def due(self, now_ns: int) -> Due:
        """Take the tick that is due at `now_ns`, and plan the next."""
        late_ns = now_ns - self.next_ns
        skipped = max(0, late_ns // self.period_ns)
        self.skipped += skipped
        self._number += 1 + skipped
        due_ns = self.next_ns + skipped * self.period_ns
        if skipped and self._policy == "resync":
            due_ns = now_ns
        self.next_ns = due_ns + self.period_ns
        return Due(self._number, due_ns, now_ns - due_ns, skipped)


class Histogram:
    """Counts of durations in steps of 0.1 ms up to one second; what is longer goes to the last.

    Bounded and without allocation after the start: it is updated in the hot path.
    """

    STEP_NS = 100_000
    STEPS = 10_000

    __slots__ = ("counts", "largest_ns", "total")

    def __init__(self) -> None:
        self.counts = [0] * (self.STEPS + 1)
        self.total = 0
        self.largest_ns = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration."""
        self.counts[min(max(duration_ns, 0) // self.STEP_NS, self.STEPS)] += 1
        self.total += 1
        if duration_ns > self.largest_ns:
            self.largest_ns = duration_ns

    def quantile_ms(self, share: float) -> float:
        """The duration that `share` (0..1) of all do not exceed, to 0.1 ms upwards; NaN if none."""
        if not self.total:
            return float("nan")
        wanted = share * self.total
        seen = 0
        for step, count in enumerate(self.counts):
            seen += count
            if seen >= wanted and count and step < self.STEPS:
                return min((step + 1) * self.STEP_NS, self.largest_ns) / 1e6
        return self.largest_ns / 1e6
