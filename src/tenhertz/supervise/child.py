"""What a running child is, and how one ended: the contract every kind of child keeps.

Not the description of a child before it runs: that is `spec`.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class ExitKind(StrEnum):
    """How a child's life ended."""

    RETURNED = "returned"
    FAILED = "failed"
    EXIT_CODE = "exit-code"
    SIGNAL = "signal"
    HEARTBEAT = "heartbeat"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    START_TIMEOUT = "start-timeout"
    START_CUT_SHORT = "start-cut-short"
    SIBLING = "sibling"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of one life of a child; `str()` of it is a plain sentence part.

    `code` is the exit code or the signal number of a process. `error` is the exception of a
    task; it takes no part in comparison.
    """

    kind: ExitKind
    detail: str
    code: int | None = None
    error: BaseException | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return self.detail

    @property
    def normal(self) -> bool:
        """Whether the child had simply finished: a transient child then stays down."""
        return self.kind is ExitKind.RETURNED or (
            self.kind is ExitKind.EXIT_CODE and self.code == 0
        )

    @property
    def obedient(self) -> bool:
        """Whether this is how a child ends that was asked to stop and did so properly."""
        return (
            self.normal
            or self.kind is ExitKind.CANCELLED
            or (self.kind is ExitKind.SIGNAL and self.code == signal.SIGTERM)
        )

    @classmethod
    def returned(cls) -> Exit:
        """A task whose coroutine came to its end."""
        return cls(ExitKind.RETURNED, "returned")

    @classmethod
    def failed(cls, error: BaseException) -> Exit:
        """A task whose coroutine raised, or a child that could not be started."""
        text = str(error)
        what = type(error).__name__
        detail = f"failed with {what}: {text}" if text else f"failed with {what}"
        return cls(ExitKind.FAILED, detail, error=error)

    @classmethod
    def exit_code(cls, code: int) -> Exit:
        """A process that ended by itself."""
        return cls(ExitKind.EXIT_CODE, f"ended with exit code {code}", code)

    @classmethod
    def killed(cls, signal_number: int) -> Exit:
        """A process that a signal ended."""
        try:
            name = signal.Signals(signal_number).name
        except ValueError:  # real-time signals between the first and the last have no name
            name = f"signal {signal_number}"
        return cls(ExitKind.SIGNAL, f"was killed by {name}", signal_number)

    @classmethod
    def heartbeat_lost(cls, silent_s: float) -> Exit:
        """A child that ran but showed no sign of life for `silent_s` seconds."""
        return cls(ExitKind.HEARTBEAT, f"heartbeat lost for {silent_s:.3g} s")

    @classmethod
    def cancelled(cls) -> Exit:
        """A task that ended because it was cancelled."""
        return cls(ExitKind.CANCELLED, "was cancelled")

    @classmethod
    def abandoned(cls, after_s: float) -> Exit:
        """A child that would not end: nobody waits for it any longer, it may still run."""
        return cls(ExitKind.ABANDONED, f"would not stop within {after_s:.3g} s and was abandoned")

    @classmethod
    def start_timeout(cls, limit_s: float) -> Exit:
        """A child that was not ready in time."""
        return cls(ExitKind.START_TIMEOUT, f"was not ready within {limit_s:.3g} s")

    @classmethod
    def start_cut_short(cls) -> Exit:
        """A child that was told to stop before it was ready."""
        return cls(ExitKind.START_CUT_SHORT, "was stopped before it was ready")

    @classmethod
    def sibling(cls, name: str) -> Exit:
        """The cause of a restart that another child's end brought about."""
        return cls(ExitKind.SIBLING, f"restarted together with {name}")

    @classmethod
    def unknown(cls, why: str) -> Exit:
        """A process that is gone and whose status somebody else collected."""
        return cls(ExitKind.UNKNOWN, f"ended in an unknown way ({why})")


class ExitedBeforeReady(Exception):  # noqa: N818 - it tells what happened, like an exit
    """Raised by a start function whose child ended before it was ready; carries the exit."""

    def __init__(self, exit_: Exit) -> None:
        super().__init__(f"the child {exit_} before it was ready")
        self.exit = exit_


class Child(Protocol):
    """A running child. All three may be called at any time and any number of times."""

    async def wait(self) -> Exit:
        """Wait until the child has ended. Cancelling the wait leaves the child alone."""
        ...

    async def stop(self, timeout_s: float) -> Exit:
        """Ask the child to end, insist after `timeout_s`, and return how it ended."""
        ...

    def kill(self) -> None:
        """End the child by the strongest means there is, without waiting."""
        ...


Start = Callable[[], Awaitable[Child]]
"""Starts one life of a child and returns it once it is ready. Cancelling it must leave nothing
running behind; raising from it counts as a failed life."""

Sleep = Callable[[float], Awaitable[Any]]
"""Waits for so many seconds: `asyncio.sleep`, or a test's virtual time."""


async def first_of(*work: asyncio.Future[Any]) -> None:
    """Wait until at least one of these is done. Cancels nothing and raises none of their errors."""
    await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)


async def done_within(work: asyncio.Future[Any], limit_s: float, sleep: Sleep) -> bool:
    """Wait until `work` is done, `limit_s` seconds at most; whether it is. Cancels nothing."""
    if not work.done():
        timer = asyncio.ensure_future(sleep(limit_s))
        try:
            await first_of(work, timer)
        finally:
            timer.cancel()
    return work.done()
