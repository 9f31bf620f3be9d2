"""What is to be supervised, and by which rules: plain data, checked when it is made.

Nothing here runs anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from tenhertz.supervise.child import Exit, Start

MAX_DOUBLINGS = 64  # keeps factor**n a finite float, however long a child keeps failing


class Restart(StrEnum):
    """Whether a child that ended by itself is started again (the kinds of Erlang/OTP)."""

    PERMANENT = "permanent"
    """Always."""
    TRANSIENT = "transient"
    """Only if it failed: an exception, an exit code other than 0, a signal, a lost heartbeat."""
    TEMPORARY = "temporary"
    """Never, not even when its siblings are."""


class Strategy(StrEnum):
    """Who is restarted when one child is (the strategies of Erlang/OTP)."""

    ONE_FOR_ONE = "one_for_one"
    """That child alone."""
    ONE_FOR_ALL = "one_for_all"
    """All children: none is of use without the others."""
    REST_FOR_ONE = "rest_for_one"
    """That child and those listed after it: each may depend on the ones before it."""


@dataclass(frozen=True, slots=True)
class Intensity:
    """How many restarts within how many seconds a supervisor makes before it gives up."""

    restarts: int = 10
    within_s: float = 60.0

    def __post_init__(self) -> None:
        if self.restarts < 0 or self.within_s <= 0:
            raise ValueError(f"{self}: restarts must be 0 or more and within_s above 0")


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long to wait before a child's n-th restart in a row.

    The first waits `first_s`; the second `second_s` (or `first_s`, if longer); each further one
    `factor` times as long as the one before, up to `max_s`. Each wait is then shortened by a
    random share of up to `jitter`, so that children which died together do not return together.
    A child that was up for `stable_s` begins anew.
    """

    first_s: float = 0.0
    second_s: float = 0.1
    factor: float = 2.0
    max_s: float = 5.0
    jitter: float = 0.2
    stable_s: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.first_s <= self.max_s or self.second_s < 0 or self.stable_s < 0:
            raise ValueError(f"{self}: times must not be negative, nor first_s above max_s")
        if self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ValueError(f"{self}: factor must be 1 or more and jitter from 0 to 1")

    def delay_s(self, failures_before: int, uniform: Callable[[], float]) -> float:
        """Seconds to wait after `failures_before` earlier failures in a row.

        `uniform` gives random numbers from 0 to 1.
        """
        if failures_before == 0:
            wait_s = self.first_s
        else:
            doublings = min(failures_before - 1, MAX_DOUBLINGS)
            wait_s = min(self.max_s, max(self.second_s, self.first_s) * self.factor**doublings)
        return wait_s * (1.0 - self.jitter * uniform())


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One child: how to start it, whether to restart it, and how long each step may take.

    `start` is called for every life and returns a child that is ready; `start_timeout_s` bounds
    it. `stop_timeout_s` is how long the child may take to stop when asked before it is killed.
    `backoff` overrides the supervisor's. `on_exit` is awaited at once after each unexpected end
    and before the restart, for `on_exit_timeout_s` at most. `alive` is asked every
    `alive_every_s`; when it has said no for `alive_patience_s` the child is killed.
    """

    name: str
    start: Start
    restart: Restart = Restart.PERMANENT
    start_timeout_s: float = 10.0
    stop_timeout_s: float = 5.0
    backoff: BackOff | None = None
    on_exit: Callable[[Exit], Awaitable[None]] | None = None
    on_exit_timeout_s: float = 5.0
    alive: Callable[[], bool] | None = None
    alive_every_s: float = 0.1
    alive_patience_s: float = 1.0

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a child needs a name")
        for limit in ("start_timeout_s", "on_exit_timeout_s", "alive_every_s"):
            if getattr(self, limit) <= 0:
                raise ValueError(f"child {self.name}: {limit} must be above 0")
        if self.stop_timeout_s < 0 or self.alive_patience_s < 0:
            raise ValueError(f"child {self.name}: time limits must not be negative")
