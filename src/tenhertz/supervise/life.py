"""One life of one child, from its start to its exit, within the time limits of its spec.

It never decides whether there is to be another life: that is `core`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tenhertz.supervise.child import Child, Exit, ExitedBeforeReady, Sleep, done_within, first_of
from tenhertz.supervise.spec import ChildSpec

KILL_LIMIT_S = 1.0
"""How long a killed child may take to be gone before it is abandoned."""


class Life:
    """One life. `run` returns how it ended; `stop` and `kill` may be called at any time."""

    def __init__(
        self,
        spec: ChildSpec,
        *,
        after: asyncio.Future[Any] | None,
        clock_ns: Callable[[], int],
        sleep: Sleep,
        on_started: Callable[[], None],
        log: Any,
    ) -> None:
        self.spec = spec
        self.child: Child | None = None
        self.asked = False
        self._after = after
        self._clock_ns = clock_ns
        self._sleep = sleep
        self._on_started = on_started
        self._log = log
        self._stop_asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def stop(self) -> None:
        """End this life in an orderly way; it is then an expected end."""
        self.asked = True
        if not self._stop_asked.done():
            self._stop_asked.set_result(None)

    def kill(self) -> None:
        """End this life at once."""
        self.stop()
        if self.child is not None:
            self.child.kill()

    async def run(self) -> Exit:
        """Live: wait for what must come before, start, watch, and report the end."""
        if self._after is not None:
            await first_of(self._after, self._stop_asked)
        if self._stop_asked.done():
            return Exit.cancelled()  # nothing was begun
        started = await self._start()
        if isinstance(started, Exit):
            return started
        self.child = started
        self._on_started()
        return await self._until_exit(started)

    async def _start(self) -> Child | Exit:
        spec = self.spec
        starting = asyncio.ensure_future(spec.start())
        timer = asyncio.ensure_future(self._sleep(spec.start_timeout_s))
        try:
            await first_of(starting, timer, self._stop_asked)
        finally:
            timer.cancel()
        in_time = starting.done()
        if not in_time:
            starting.cancel()
            if not await done_within(starting, spec.stop_timeout_s + KILL_LIMIT_S, self._sleep):
                starting.add_done_callback(self._kill_latecomer)
                return Exit.abandoned(spec.stop_timeout_s)
        outcome = _outcome(starting)
        if in_time or (self.asked and not isinstance(outcome, Exit)):
            return outcome  # a child that came up against its cancellation is stopped as usual
        if not isinstance(outcome, Exit):
            await self._end(outcome)
        return Exit.start_cut_short() if self.asked else Exit.start_timeout(spec.start_timeout_s)

    def _kill_latecomer(self, starting: asyncio.Future[Child]) -> None:
        outcome = _outcome(starting)
        self._log.warning("abandoned_start_ended", child=self.spec.name, outcome=str(outcome))
        if not isinstance(outcome, Exit):
            outcome.kill()

    async def _until_exit(self, child: Child) -> Exit:
        ended = asyncio.ensure_future(child.wait())
        silent = asyncio.ensure_future(self._heartbeat_lost())
        try:
            await first_of(ended, silent, self._stop_asked)
            if ended.done():
                return _exit_of(ended)
            if self._stop_asked.done():
                return await self._end(child)
            child.kill()
            if not await done_within(ended, KILL_LIMIT_S, self._sleep):
                self._log.error("child_would_not_die", child=self.spec.name)
            return Exit.heartbeat_lost(silent.result())
        finally:
            silent.cancel()
            ended.cancel()

    async def _end(self, child: Child) -> Exit:
        """Stop the child, by force if its own `stop` does not keep its limit."""
        limit_s = self.spec.stop_timeout_s
        stopping = asyncio.ensure_future(child.stop(limit_s))
        if await done_within(stopping, limit_s + KILL_LIMIT_S, self._sleep):
            return _exit_of(stopping)
        stopping.cancel()
        child.kill()
        return Exit.abandoned(limit_s + KILL_LIMIT_S)

    async def _heartbeat_lost(self) -> float:
        """Return once `alive` has said no for too long: for how many seconds it has."""
        spec = self.spec
        if spec.alive is None:
            await asyncio.get_running_loop().create_future()  # never
            raise AssertionError
        # Counted from the first no, not from the last yes: if this process itself was stalled,
        # the child gets its full patience from then on.
        first_no_ns: int | None = None
        while True:
            await self._sleep(spec.alive_every_s)
            if self._is_alive():
                first_no_ns = None
                continue
            now_ns = self._clock_ns()
            first_no_ns = now_ns if first_no_ns is None else first_no_ns
            silent_s = (now_ns - first_no_ns) / 1e9
            if silent_s >= spec.alive_patience_s:
                return silent_s

    def _is_alive(self) -> bool:
        assert self.spec.alive is not None
        try:
            return self.spec.alive()
        except Exception:
            # An unreadable heartbeat is no heartbeat; the log says why.
            self._log.exception("heartbeat_check_failed", child=self.spec.name)
            return False


def _outcome(starting: asyncio.Future[Child]) -> Child | Exit:
    if starting.cancelled():
        return Exit.start_cut_short()
    error = starting.exception()
    if error is None:
        return starting.result()
    return error.exit if isinstance(error, ExitedBeforeReady) else Exit.failed(error)


def _exit_of(ended: asyncio.Future[Exit]) -> Exit:
    if ended.cancelled():
        return Exit.cancelled()
    error = ended.exception()
    return ended.result() if error is None else Exit.failed(error)
