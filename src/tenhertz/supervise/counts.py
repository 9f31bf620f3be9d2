"""What a supervisor tells about itself, as data for logs, metrics and screens."""

from __future__ import annotations

from typing import Protocol, TypeGuard

import msgspec


class ChildStatistics(msgspec.Struct, frozen=True):
    """One child: its state and its counts since the supervisor began.

    `state` is waiting, starting, up, stopping or finished. `last_cause` says how its latest
    unexpected end came about. `started_at_ns` is the monotonic instant at which its latest life
    was ready. `hook_failures` counts `on_exit` hooks that failed or took too long, `abandoned`
    lives that would not end.
    """

    name: str
    state: str
    restarts: int
    last_cause: str | None
    started_at_ns: int | None
    hook_failures: int
    abandoned: int
    subtree: SupervisorStatistics | None = None


class SupervisorStatistics(msgspec.Struct, frozen=True):
    """A supervisor and its children, in the order in which they start."""

    name: str
    children: tuple[ChildStatistics, ...]


class HasStatistics(Protocol):
    """A child that is a supervisor itself."""

    def statistics(self) -> SupervisorStatistics:
        """The present state and the counts."""
        ...


def has_statistics(child: object) -> TypeGuard[HasStatistics]:
    """Whether `child` can tell about a subtree."""
    return hasattr(child, "statistics")
