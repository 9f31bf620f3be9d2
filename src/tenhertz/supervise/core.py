"""The decisions of a supervisor as a pure state machine: events in, actions out.

It knows the rules (who is restarted, in which order, after which wait, and when to give up) and
nothing of tasks, processes or clocks: every event brings its instant, and `wake_at_ns` says when
the machine wants its next `tick`. The shell that carries the actions out is `supervisor`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tenhertz.supervise.child import Exit
from tenhertz.supervise.spec import BackOff, ChildSpec, Intensity, Restart, Strategy

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Start:
    """Start this child now. `restarts` is 0 and `cause` is None at its first start."""

    name: str
    restarts: int = 0
    cause: Exit | None = None
    back_off_ns: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop this child now, whether it is up or still starting; then report `child_exited`."""

    name: str


@dataclass(frozen=True, slots=True)
class Escalate:
    """The restart intensity is exceeded: this end of this child was one too many."""

    name: str
    cause: Exit


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing runs any more, and nothing will. `escalated` says whether that was asked for."""

    escalated: Escalate | None = None


Action = Start | Stop | Escalate | Finished


class Phase(StrEnum):
    """Where a child is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    UP = "up"
    STOPPING = "stopping"
    FINISHED = "finished"


@dataclass(slots=True)
class ChildRecord:
    """What the core knows of one child.

    `wanted`: it shall run. `recycle`: it must end first because its group is being restarted.
    """

    spec: ChildSpec
    running: Phase | None = None
    wanted: bool = True
    recycle: bool = False
    been_up: bool = False
    due_ns: int = 0
    back_off_ns: int = 0
    up_since_ns: int | None = None
    starts: int = 0
    failures_in_a_row: int = 0
    cause: Exit | None = None

    @property
    def phase(self) -> Phase:
        """Where the child is in its life."""
        if self.running is not None:
            return self.running
        return Phase.WAITING if self.wanted else Phase.FINISHED

    @property
    def restarts(self) -> int:
        """How often it was started again, for whatever reason."""
        return max(0, self.starts - 1)

    @property
    def must_go(self) -> bool:
        """Whether it has to be stopped, or is being stopped."""
        return self.running is not None and (self.recycle or not self.wanted)


class Core:
    """The state machine. Each event method returns the actions to carry out, in order."""

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        strategy: Strategy,
        intensity: Intensity,
        backoff: BackOff,
        uniform: Callable[[], float],
    ) -> None:
        self.children = {spec.name: ChildRecord(spec) for spec in specs}
        if len(self.children) != len(specs):
            raise ValueError("two children of one supervisor have the same name")
        self.wake_at_ns: int | None = None
        self.stopping = False
        self._order = list(self.children.values())
        self._strategy = strategy
        self._intensity = intensity
        self._backoff = backoff
        self._uniform = uniform
        self._restart_times_ns: deque[int] = deque()
        self._escalated: Escalate | None = None
        self._finished = False

    @property
    def all_started(self) -> bool:
        """Whether every child that shall run has been up at least once."""
        return not self.stopping and all(c.been_up or not c.wanted for c in self._order)

    def tick(self, now_ns: int) -> list[Action]:
        """Time has passed; also the very first event."""
        return self._next_actions(now_ns)

    def child_started(self, name: str, now_ns: int) -> list[Action]:
        """The child is up and ready."""
        child = self.children[name]
        if child.running is Phase.STARTING:  # a stop decided meanwhile stands
            child.running = Phase.UP
            child.been_up = True
            child.up_since_ns = now_ns
        return self._next_actions(now_ns)

    def child_exited(self, name: str, cause: Exit, now_ns: int) -> list[Action]:
        """The child has ended: by itself, when asked, or because it could not start."""
        child = self.children[name]
        asked = child.running is Phase.STOPPING
        up_ns = 0 if child.up_since_ns is None else now_ns - child.up_since_ns
        recycled, child.recycle = child.recycle, False
        child.running, child.up_since_ns = None, None
        if asked:
            return self._next_actions(now_ns)
        child.cause = cause
        if recycled:  # it went before its turn to be stopped; its restart is decided already
            return self._next_actions(now_ns)
        if up_ns >= self._backoff_of(child).stable_s * NS_PER_S and child.been_up:
            child.failures_in_a_row = 0
        escalation = self._unexpected_end(child, cause, now_ns)
        return [*escalation, *self._next_actions(now_ns)]

    def stop(self, now_ns: int) -> list[Action]:
        """All children shall end, in reverse order. Wins over every pending restart."""
        self._want_nothing()
        return self._next_actions(now_ns)

    def _want_nothing(self) -> None:
        self.stopping = True
        for child in self._order:
            child.wanted = False

    def _backoff_of(self, child: ChildRecord) -> BackOff:
        return child.spec.backoff or self._backoff

    def _unexpected_end(self, child: ChildRecord, cause: Exit, now_ns: int) -> list[Action]:
        kind = child.spec.restart
        if self.stopping or kind is Restart.TEMPORARY:
            child.wanted = False
            return []
        if kind is Restart.TRANSIENT and cause.normal:
            child.wanted = False
            return []
        if self._one_restart_too_many(now_ns):
            self._escalated = Escalate(child.spec.name, cause)
            self._want_nothing()
            return [self._escalated]
        delay_s = self._backoff_of(child).delay_s(child.failures_in_a_row, self._uniform)
        child.failures_in_a_row += 1
        self._restart_group(child, now_ns, round(delay_s * NS_PER_S))
        return []

    def _one_restart_too_many(self, now_ns: int) -> bool:
        times = self._restart_times_ns
        times.append(now_ns)
        while now_ns - times[0] > self._intensity.within_s * NS_PER_S:
            times.popleft()
        return len(times) > self._intensity.restarts

    def _restart_group(self, dead: ChildRecord, now_ns: int, back_off_ns: int) -> None:
        """Plan the restart of `dead` and of those that the strategy restarts with it.

        They all wait for its back-off: a child that cannot start must not make the others
        start and stop again and again.
        """
        for child in self._group(dead):
            if child.spec.restart is Restart.TEMPORARY and child.starts:
                child.wanted = False
                continue
            if child is not dead:
                has_own_cause = child.wanted and child.running is None
                if child.starts and not has_own_cause:
                    child.cause = Exit.sibling(dead.spec.name)
                child.recycle = child.running is not None
            child.wanted = True
            child.due_ns = max(child.due_ns, now_ns + back_off_ns)
            child.back_off_ns = child.due_ns - now_ns

    def _group(self, dead: ChildRecord) -> list[ChildRecord]:
        if self._strategy is Strategy.ONE_FOR_ONE:
            return [dead]
        if self._strategy is Strategy.ONE_FOR_ALL:
            return self._order
        return self._order[self._order.index(dead) :]

    def _next_actions(self, now_ns: int) -> list[Action]:
        """Whatever the present state asks for: stops first, one at a time, then starts."""
        self.wake_at_ns = None
        going = [child for child in self._order if child.must_go]
        if going:
            last = going[-1]
            if last.running is Phase.STOPPING:
                return []
            last.running = Phase.STOPPING
            return [Stop(last.spec.name)]
        if self.stopping:
            if self._finished:
                return []
            self._finished = True
            return [Finished(self._escalated)]
        return self._starts(now_ns)

    def _starts(self, now_ns: int) -> list[Action]:
        actions: list[Action] = []
        earlier_are_up = True
        for child in self._order:
            if not child.wanted or child.running is Phase.UP:
                continue
            alone = self._strategy is Strategy.ONE_FOR_ONE and child.been_up
            if child.running is None and (earlier_are_up or alone):
                if child.due_ns <= now_ns:
                    actions.append(self._start(child))
                elif self.wake_at_ns is None or child.due_ns < self.wake_at_ns:
                    self.wake_at_ns = child.due_ns
            earlier_are_up = False
        return actions

    def _start(self, child: ChildRecord) -> Start:
        child.running = Phase.STARTING
        child.starts += 1
        if child.starts == 1:
            return Start(child.spec.name)
        return Start(child.spec.name, child.restarts, child.cause, child.back_off_ns)
