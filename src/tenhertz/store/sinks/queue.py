"""Frames that wait to be sent elsewhere: bounded, the oldest go first when it is full, all counted.

Not durable: a sink is a copy. What must survive is in the spool and in the store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Condition

from tenhertz.link.frame import Frame

LIMIT_ROWS = 200_000
LIMIT_BYTES = 256 * 2**20  # rows of cells are long: a pack of 400 cells takes over 1 kB a row


@dataclass(slots=True)
class Counts:
    """Rows by fate. Offered = sent + dropped + refused + waiting, always."""

    sent: int = 0
    dropped: int = 0  # there was no room, or no time left at the end
    refused: int = 0  # the other side will never take them
    failures: int = 0  # attempts that failed; their rows wait for the next one


def size_bytes(frame: Frame) -> int:
    """What the arrays of a frame take."""
    own = frame.sequence.nbytes + frame.time_ns.nbytes + frame.entity.nbytes
    return own + sum(column.values.nbytes for column in frame.columns.values())


class FrameQueue:
    """A bounded queue between the writer's thread and one that sends.

    What has been taken and is not settled counts against both limits as well. It is not dropped
    for newer rows: it may be on its way.
    """

    def __init__(self, limit_rows: int = LIMIT_ROWS, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_rows = limit_rows
        self._limit_bytes = limit_bytes
        self._changed = Condition()
        self._frames: deque[Frame] = deque()
        self._rows = 0  # with those on their way
        self._bytes = 0
        self._taken_rows = 0
        self._taken_bytes = 0
        self._counts = Counts()
        self._closing = False
        self._abandoned = False

    def offer(self, frames: Sequence[Frame]) -> None:
        """Take frames; drop the oldest that wait, if they are too many. Never waits."""
        with self._changed:
            for frame in frames:
                if not frame.rows:
                    continue
                if self._closing:
                    self._counts.dropped += frame.rows
                    continue
                self._append(frame)
            self._changed.notify_all()

    def _append(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._rows += frame.rows
        self._bytes += size_bytes(frame)
        while self._frames and (self._rows > self._limit_rows or self._bytes > self._limit_bytes):
            oldest = self._pop()
            self._rows -= oldest.rows
            self._bytes -= size_bytes(oldest)
            self._counts.dropped += oldest.rows

    def _pop(self) -> Frame:
        return self._frames.popleft()

    def take(self, most_rows: int) -> list[Frame]:
        """The oldest frames, together `most_rows` or a single one that is longer; wait for them.

        Settle them before the next call. Empty: the queue is closed and nothing is left.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._closing)
            taken: list[Frame] = []
            rows = 0
            while self._frames and (not taken or rows + self._frames[0].rows <= most_rows):
                frame = self._pop()
                taken.append(frame)
                rows += frame.rows
            self._taken_rows = rows
            self._taken_bytes = sum(map(size_bytes, taken))
            return taken

    def settle(self, *, refused: int = 0, dropped: int = 0) -> None:
        """What was taken has gone, but for so many rows."""
        with self._changed:
            if self._abandoned:  # counted as dropped already
                return
            self._counts.sent += self._taken_rows - refused - dropped
            self._counts.refused += refused
            self._counts.dropped += dropped
            self._rows -= self._taken_rows
            self._bytes -= self._taken_bytes
            self._taken_rows = self._taken_bytes = 0

    def failed(self) -> None:
        """An attempt failed; its rows remain taken."""
        with self._changed:
            self._counts.failures += 1

    def wait_closing(self, timeout_s: float) -> bool:
        """Wait for so long, or until the queue is closed. Whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closing, timeout_s)

    @property
    def closing(self) -> bool:
        """Whether nothing more is taken in."""
        with self._changed:
            return self._closing

    def close(self) -> None:
        """Take nothing more in; what waits can still be taken out."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Close, and count whatever waits or is on its way as dropped."""
        with self._changed:
            self._closing = self._abandoned = True
            self._counts.dropped += self._rows
            self._frames.clear()
            self._rows = self._bytes = self._taken_rows = self._taken_bytes = 0
            self._changed.notify_all()

    def counts(self) -> dict[str, int]:
        """Rows by fate, rows that wait, and failed attempts."""
        with self._changed:
            return {
                "sent_rows": self._counts.sent,
                "dropped_rows": self._counts.dropped,
                "refused_rows": self._counts.refused,
                "waiting_rows": self._rows,
                "failures": self._counts.failures,
            }
