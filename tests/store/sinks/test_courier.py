from collections.abc import Callable, Sequence
from threading import Event

from tenhertz.link.frame import Frame
from tenhertz.store.sinks.courier import Courier, RefusedError, TroubleError
from tenhertz.store.sinks.queue import FrameQueue

from .frames import samples


class Script:
    """Does with each attempt what it is told, and says so."""

    def __init__(self, *answers: Exception | int | Event) -> None:
        self.answers = list(answers)
        self.sent: list[int] = []
        self.attempts = 0
        self.ended = Event()
        self.entered = Event()
        self.blocked: Event | None = None

    def carry(self, frames: Sequence[Frame], report: Callable[[str], None]) -> int:
        self.attempts += 1
        answer = self.answers.pop(0) if self.answers else 0
        if isinstance(answer, Event):
            self.blocked = answer
            self.entered.set()
            assert answer.wait(20)
            answer = 0
        if isinstance(answer, Exception):
            raise answer
        self.sent += [int(frame.sequence[0]) for frame in frames]
        return answer

    def abort(self) -> None:
        if self.blocked:
            self.blocked.set()

    def end(self) -> None:
        self.ended.set()


def deliver(script: Script, *frames: Frame) -> dict[str, int]:
    courier = Courier("test", script, first_delay_s=0.0)
    courier.offer(frames)
    courier.close(10)
    assert script.ended.wait(10)
    return courier.counts()


def test_what_waits_is_sent_when_it_closes() -> None:
    counts = deliver(Script(), samples(3), samples(4))

    assert counts == {
        "sent_rows": 7,
        "dropped_rows": 0,
        "refused_rows": 0,
        "waiting_rows": 0,
        "failures": 0,
    }


def test_the_same_frames_are_tried_again_after_trouble() -> None:
    script = Script(TroubleError("down"), TroubleError("down"))
    courier = Courier("test", script, first_delay_s=0.0)
    courier.offer([samples(3, first=7)])
    while courier.counts()["waiting_rows"]:
        script.ended.wait(0.001)
    courier.close(10)

    assert script.sent == [7]
    assert courier.counts()["failures"] == 2
    assert courier.counts()["sent_rows"] == 3


def test_refused_frames_are_counted_and_the_next_ones_go() -> None:
    script = Script(Event(), RefusedError("bad"))
    courier = Courier("test", script)
    courier.offer([samples(1, first=1)])
    assert script.entered.wait(10)
    courier.offer([samples(4000, first=2), samples(4000, first=5000)])
    script.abort()
    courier.close(10)

    assert script.sent == [1, 5000]
    assert courier.counts()["refused_rows"] == 4000
    assert courier.counts()["sent_rows"] == 4001


def test_a_mistake_of_the_carrier_stops_only_its_frames() -> None:
    script = Script(ZeroDivisionError("ours"))
    counts = deliver(script, samples(3))

    assert counts["refused_rows"] == 3
    assert counts["failures"] == 1


def test_rows_refused_one_by_one_are_counted() -> None:
    counts = deliver(Script(2), samples(5))

    assert counts["sent_rows"] == 3
    assert counts["refused_rows"] == 2


def test_closing_tries_once_more_and_counts_the_rest_as_dropped() -> None:
    script = Script(*[TroubleError("down", delay_s=3600)] * 100)
    courier = Courier("test", script)
    courier.offer([samples(3)])
    while not courier.counts()["failures"]:
        script.ended.wait(0.001)
    courier.close(10)

    assert courier.counts()["dropped_rows"] == 3
    assert script.attempts == 2


def test_offering_and_closing_do_not_wait_for_one_who_does_not_answer() -> None:
    script = Script(Event())
    courier = Courier("test", script, FrameQueue(limit_rows=10))
    courier.offer([samples(4, first=1)])
    assert script.entered.wait(10)

    for first in range(5, 25, 4):
        courier.offer([samples(4, first=first)])

    assert courier.counts()["dropped_rows"] == 16
    courier.close(0.01)  # the test ends only if this does
    assert courier.counts()["dropped_rows"] == 24
    assert courier.counts()["sent_rows"] == 0
    assert script.ended.wait(10)
