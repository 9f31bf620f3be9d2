"""The asyncio shell of a supervisor: carries out what the core decides, and tells the log.

Every event is handed to `core` the moment it happens; the returned actions only set things in
motion and never wait, so that one child's trouble delays no other child.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from tenhertz.supervise.child import Exit, ExitKind, Sleep, done_within
from tenhertz.supervise.core import Action, Core, Escalate, Finished, Start, Stop
from tenhertz.supervise.counts import ChildStatistics, SupervisorStatistics, has_statistics
from tenhertz.supervise.life import KILL_LIMIT_S, Life
from tenhertz.supervise.spec import BackOff, ChildSpec, Intensity, Strategy


class RestartIntensityExceeded(Exception):  # noqa: N818 - the name says what happened
    """The children failed more often than the supervisor may restart them.

    `supervisor` and `child` are names, `exit` is the end that was one too many; the exception
    that caused it, if there was one, is `__cause__`.
    """

    def __init__(self, supervisor: str, child: str, exit_: Exit, intensity: Intensity) -> None:
        super().__init__(
            f"supervisor {supervisor} gave up: more than {intensity.restarts} restarts within "
            f"{intensity.within_s:g} s; at last, child {child} {exit_}"
        )
        self.supervisor = supervisor
        self.child = child
        self.exit = exit_


@dataclass(slots=True)
class _Slot:
    """A child's place in the tree; lives come and go in it."""

    spec: ChildSpec
    life: Life | None = None
    hook: asyncio.Task[None] | None = None
    hook_failures: int = 0
    abandoned: int = 0
    last_exit: Exit | None = None
    started_at_ns: int | None = None


class Supervisor:
    """Keeps its children running. Itself a child where `supervisor_child` puts it."""

    def __init__(
        self,
        name: str,
        children: Sequence[ChildSpec],
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: Intensity | None = None,
        backoff: BackOff | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Sleep = asyncio.sleep,
        uniform: Callable[[], float] = random.random,
        log: Any = None,
    ) -> None:
        """`uniform` gives random numbers from 0 to 1; `clock_ns` is monotonic.

        Raises ValueError when two children have the same name.
        """
        self.name = name
        self.all_started = asyncio.Event()
        self._intensity = intensity or Intensity()
        self._clock_ns = clock_ns
        self._sleep = sleep
        self._log = (log or structlog.get_logger("tenhertz.supervise")).bind(supervisor=name)
        self._core = Core(
            children,
            strategy=strategy,
            intensity=self._intensity,
            backoff=backoff or BackOff(),
            uniform=uniform,
        )
        self._slots = {spec.name: _Slot(spec) for spec in children}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Task[None] | None = None
        self._done: asyncio.Future[Escalate | None] | None = None

    @property
    def stop_limit_s(self) -> float:
        """The longest that stopping all children can take, in seconds."""
        return sum(
            slot.spec.stop_timeout_s
            + KILL_LIMIT_S
            + (slot.spec.on_exit_timeout_s + KILL_LIMIT_S if slot.spec.on_exit else 0.0)
            for slot in self._slots.values()
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Start the children in order and keep them running until `stop` is set.

        Then, and also when cancelled, stops them in reverse order. Raises
        RestartIntensityExceeded when it gave up, RuntimeError when it was run before.
        """
        if self._done is not None:
            raise RuntimeError(f"supervisor {self.name} can run only once")
        self._done = asyncio.get_running_loop().create_future()
        if stop.is_set():
            self._apply(self._core.stop(self._clock_ns()))
        else:
            self._apply(self._core.tick(self._clock_ns()))
        obeying = self._spawn(self._obey(stop))
        try:
            escalated = await self._until_done(self._done)
        finally:
            obeying.cancel()
            self._cancel_timer()
        if escalated is not None:
            raise RestartIntensityExceeded(
                self.name, escalated.name, escalated.cause, self._intensity
            ) from escalated.cause.error

    def kill(self) -> None:
        """End all children at once and at any cost; `run` then returns."""
        self._apply(self._core.stop(self._clock_ns()))
        for slot in self._slots.values():
            if slot.life is not None:
                slot.life.kill()

    def statistics(self) -> SupervisorStatistics:
        """The present state and the counts, as data."""
        return SupervisorStatistics(
            name=self.name, children=tuple(self._child_statistics(n) for n in self._slots)
        )

    def _child_statistics(self, name: str) -> ChildStatistics:
        slot, record = self._slots[name], self._core.children[name]
        child = slot.life.child if slot.life is not None else None
        return ChildStatistics(
            name=name,
            state=record.phase.value,
            restarts=record.restarts,
            last_cause=None if slot.last_exit is None else str(slot.last_exit),
            started_at_ns=slot.started_at_ns,
            hook_failures=slot.hook_failures,
            abandoned=slot.abandoned,
            subtree=child.statistics() if has_statistics(child) else None,
        )

    async def _obey(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._apply(self._core.stop(self._clock_ns()))

    async def _until_done(self, done: asyncio.Future[Escalate | None]) -> Escalate | None:
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            self._apply(self._core.stop(self._clock_ns()))
            try:
                await asyncio.shield(done)
            except asyncio.CancelledError:
                self.kill()  # cancelled again: no time is left for good manners
            raise

    def _apply(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Start():
                    self._start(action)
                case Stop(name):
                    life = self._slots[name].life
                    assert life is not None
                    self._log.debug("child_stopping", child=name)
                    life.stop()
                case Escalate(name, cause):
                    self._log.critical("restart_intensity_exceeded", child=name, cause=str(cause))
                case Finished(escalated):
                    self._spawn(self._finish(escalated))
        if self._core.all_started:
            self.all_started.set()
        self._set_timer()

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """Fail loudly when the supervisor itself is at fault; a child's failure never gets here."""
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        if self._done is not None and not self._done.done():
            self._done.set_exception(task.exception() or AssertionError())
            self.kill()

    def _start(self, action: Start) -> None:
        slot = self._slots[action.name]
        if action.cause is not None:
            self._log.warning(
                "child_restarting",
                child=action.name,
                cause=str(action.cause),
                restarts=action.restarts,
                back_off_s=action.back_off_ns / 1e9,
            )
        slot.life = Life(
            slot.spec,
            after=slot.hook,
            clock_ns=self._clock_ns,
            sleep=self._sleep,
            on_started=lambda: self._child_started(slot),
            log=self._log,
        )
        self._spawn(self._see_through(slot, slot.life))

    def _child_started(self, slot: _Slot) -> None:
        slot.started_at_ns = self._clock_ns()
        self._log.info("child_started", child=slot.spec.name)
        self._apply(self._core.child_started(slot.spec.name, slot.started_at_ns))

    async def _see_through(self, slot: _Slot, life: Life) -> None:
        exit_ = await life.run()
        unexpected = not (life.asked and exit_.obedient)
        if unexpected:
            slot.last_exit = exit_
            if slot.spec.on_exit is not None:
                hook = asyncio.create_task(_call(slot.spec.on_exit, exit_))
                slot.hook = self._spawn(self._bound_hook(slot, hook))
                # The hook may be what makes things safe: it begins before anything is logged,
                # for a log can block.
                await asyncio.sleep(0)
        slot.life = None
        slot.abandoned += exit_.kind is ExitKind.ABANDONED
        say = self._log.warning if unexpected else self._log.info
        say("child_exited", child=slot.spec.name, cause=str(exit_))
        self._apply(self._core.child_exited(slot.spec.name, exit_, self._clock_ns()))

    async def _bound_hook(self, slot: _Slot, hook: asyncio.Task[None]) -> None:
        limit_s = slot.spec.on_exit_timeout_s
        if not await done_within(hook, limit_s, self._sleep):
            hook.cancel()
            problem = f"took more than {limit_s:g} s"
            if not await done_within(hook, KILL_LIMIT_S, self._sleep):
                problem += " and would not be cancelled"
        elif hook.cancelled():
            problem = "was cancelled"
        elif (error := hook.exception()) is not None:
            problem = str(Exit.failed(error))
        else:
            return
        slot.hook_failures += 1
        self._log.error("on_exit_hook_failed", child=slot.spec.name, problem=problem)

    async def _finish(self, escalated: Escalate | None) -> None:
        hooks = [slot.hook for slot in self._slots.values() if slot.hook is not None]
        if hooks:
            await asyncio.wait(hooks)
        if self._done is not None and not self._done.done():
            self._done.set_result(escalated)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        self._cancel_timer()
        if self._core.wake_at_ns is not None:
            self._timer = self._spawn(self._tick_at(self._core.wake_at_ns))

    async def _tick_at(self, at_ns: int) -> None:
        while (wait_ns := at_ns - self._clock_ns()) > 0:  # a sleep may end a little early
            await self._sleep(wait_ns / 1e9)
        self._timer = None  # it has done its work: setting the next must not cancel this one
        self._apply(self._core.tick(self._clock_ns()))


async def _call(hook: Callable[[Exit], Awaitable[None]], exit_: Exit) -> None:
    await hook(exit_)
