from threading import Thread

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tenhertz.store.sinks.queue import FrameQueue, size_bytes

from .frames import cells, samples

LIMIT = 20


def fates(queue: FrameQueue) -> int:
    counts = queue.counts()
    return sum(count for name, count in counts.items() if name.endswith("_rows"))


def test_the_oldest_frames_go_when_it_is_full() -> None:
    queue = FrameQueue(limit_rows=10)

    queue.offer([samples(4, first=1), samples(4, first=5), samples(4, first=9)])

    assert [frame.sequence[0] for frame in queue.take(100)] == [5, 9]
    assert queue.counts()["dropped_rows"] == 4


def test_long_rows_are_bounded_by_their_bytes() -> None:
    frame = cells(2, width=400)
    queue = FrameQueue(limit_bytes=2 * size_bytes(frame) + 1)

    queue.offer([frame] * 5)

    assert queue.counts()["waiting_rows"] == 4
    assert queue.counts()["dropped_rows"] == 6


def test_what_is_on_its_way_is_not_dropped_but_counts() -> None:
    queue = FrameQueue(limit_rows=10)
    queue.offer([samples(6)])
    queue.take(100)

    queue.offer([samples(4), samples(5)])

    assert queue.counts()["waiting_rows"] == 6  # neither of the new ones fits with the other
    assert queue.counts()["dropped_rows"] == 9
    queue.settle()
    assert queue.counts()["sent_rows"] == 6


def test_a_frame_beyond_the_limit_is_dropped_and_counted() -> None:
    queue = FrameQueue(limit_rows=10)

    queue.offer([samples(11)])

    assert queue.counts()["dropped_rows"] == 11
    assert queue.counts()["waiting_rows"] == 0


def test_a_closed_queue_gives_what_it_has_and_then_nothing() -> None:
    queue = FrameQueue()
    queue.offer([samples(3)])
    queue.close()
    queue.offer([samples(2)])

    assert len(queue.take(10)) == 1
    queue.settle()
    assert queue.take(10) == []
    assert queue.counts()["dropped_rows"] == 2


def test_closing_wakes_whoever_waits_for_frames() -> None:
    queue = FrameQueue()
    got: list[list[object]] = []
    thread = Thread(target=lambda: got.append(list(queue.take(10))))
    thread.start()

    queue.close()

    thread.join(10)
    assert got == [[]]


class Fates(RuleBasedStateMachine):
    """Every row that was offered has exactly one fate."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = FrameQueue(limit_rows=LIMIT)
        self.offered = 0
        self.taken: int | None = None

    @rule(sizes=st.lists(st.integers(0, 25), max_size=4))
    def offer(self, sizes: list[int]) -> None:
        self.queue.offer([samples(size) for size in sizes])
        self.offered += sum(sizes)

    @precondition(lambda self: not self.taken and self.queue.counts()["waiting_rows"])
    @rule(most=st.integers(1, 30))
    def take(self, most: int) -> None:
        frames = self.queue.take(most)
        self.taken = sum(frame.rows for frame in frames)
        assert self.taken <= most or len(frames) == 1

    @precondition(lambda self: self.taken)
    @rule(part=st.floats(0, 1), dropped=st.booleans())
    def settle(self, part: float, dropped: bool) -> None:
        rows = int(part * (self.taken or 0))
        self.queue.settle(**{"dropped" if dropped else "refused": rows})
        self.taken = None

    @rule()
    def close(self) -> None:
        self.queue.close()

    @rule()
    def abandon(self) -> None:
        self.queue.abandon()
        assert self.queue.counts()["waiting_rows"] == 0

    @invariant()
    def nothing_is_lost_silently(self) -> None:
        assert fates(self.queue) == self.offered
        assert self.queue.counts()["waiting_rows"] <= LIMIT


TestFates = pytest.mark.slow(Fates.TestCase)
