"""One thread that takes frames from a queue and has a carrier send them, again if need be.

Knows nothing of what is sent, or where to: that is the carrier's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Thread
from typing import Protocol

import structlog

from tenhertz.link.frame import Frame
from tenhertz.store.sinks.queue import FrameQueue

FLUSH_S = 2.0
_BATCH_ROWS = 5_000
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0

_log = structlog.get_logger()


class TroubleError(Exception):
    """These frames did not go now; the same ones may later."""

    def __init__(self, text: str, delay_s: float = 0.0) -> None:
        """`delay_s`: the other side asks to be left alone for so long."""
        super().__init__(text)
        self.delay_s = delay_s


class RefusedError(Exception):
    """These frames will never be taken, for what they are."""


class Carrier(Protocol):
    """A way to the other side, used by one thread but for `abort`."""

    def carry(self, frames: Sequence[Frame], report: Callable[[str], None]) -> int:
        """Send frames and wait until they are taken. How many rows will never be.

        `report` tells of failures on the way that need no new attempt from outside.

        Raises:
            TroubleError: try the same frames again later.
            RefusedError: never try them again.
        """
        ...

    def abort(self) -> None:
        """Make `carry` end soon; another thread calls this."""
        ...

    def end(self) -> None:
        """Let go of what is held."""
        ...


class Courier:
    """A sink that sends from a thread of its own; the writer never waits for it."""

    def __init__(
        self,
        name: str,
        carrier: Carrier,
        queue: FrameQueue | None = None,
        *,
        first_delay_s: float = _FIRST_DELAY_S,
    ) -> None:
        """Begin. The pause after a failure doubles from `first_delay_s` to half a minute."""
        self._name = name
        self._carrier = carrier
        self._queue = queue or FrameQueue()
        self._first_delay_s = first_delay_s
        self._trouble = ""  # what was logged last
        self._thread = Thread(target=self._run, name=f"sink {name}", daemon=True)
        self._thread.start()

    def offer(self, frames: Sequence[Frame]) -> None:
        """Take frames, or drop the oldest of those that wait, counted."""
        self._queue.offer(frames)

    def counts(self) -> dict[str, int]:
        """Rows sent, dropped, refused and waiting; failed attempts."""
        return self._queue.counts()

    def close(self, within_s: float = FLUSH_S) -> None:
        """Send what waits, one attempt each, for so long. The rest is dropped and counted."""
        self._queue.close()
        self._thread.join(within_s)
        self._queue.abandon()
        if self._thread.is_alive():
            self._carrier.abort()
            self._thread.join(0.2)

    def _run(self) -> None:
        while frames := self._queue.take(_BATCH_ROWS):
            self._deliver(frames)
        self._carrier.end()

    def _deliver(self, frames: Sequence[Frame]) -> None:
        rows = sum(frame.rows for frame in frames)
        delay_s = self._first_delay_s
        while True:
            last_attempt = self._queue.closing
            try:
                refused = self._carrier.carry(frames, self._report)
            except TroubleError as trouble:
                self._report(str(trouble))
                if last_attempt:
                    self._queue.settle(dropped=rows)
                    return
                self._queue.wait_closing(max(delay_s, trouble.delay_s))
                delay_s = min(2 * delay_s, _LONGEST_DELAY_S)
            except RefusedError as refusal:
                self._report(str(refusal))
                self._queue.settle(refused=rows)
                return
            except Exception:  # a mistake of ours with these rows must not stop all that follow
                _log.exception("a sink cannot send some rows", sink=self._name, rows=rows)
                self._queue.failed()
                self._queue.settle(refused=rows)
                return
            else:
                self._queue.settle(refused=refused)
                if not refused:
                    self._note("")
                return

    def _report(self, trouble: str) -> None:
        self._queue.failed()
        self._note(trouble)

    def _note(self, trouble: str) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            _log.warning("a sink has trouble", sink=self._name, trouble=trouble)
        else:
            _log.info("a sink is well again", sink=self._name)
