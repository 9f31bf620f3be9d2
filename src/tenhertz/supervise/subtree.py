"""A child that is a supervisor: this is how supervisors make a tree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tenhertz.supervise.child import Exit, ExitedBeforeReady, Sleep, Start, done_within, first_of
from tenhertz.supervise.counts import SupervisorStatistics
from tenhertz.supervise.supervisor import Supervisor
from tenhertz.supervise.task import TaskChild


class SupervisorChild:
    """A running supervisor. When it gives up, it has failed with RestartIntensityExceeded."""

    def __init__(self, tree: Supervisor, sleep: Sleep) -> None:
        self.tree = tree
        self._sleep = sleep
        self._stop = asyncio.Event()
        self._running = TaskChild(asyncio.create_task(tree.run(self._stop)), sleep)

    async def wait(self) -> Exit:
        """Wait until the supervisor has ended."""
        return await self._running.wait()

    async def stop(self, timeout_s: float) -> Exit:
        """Stop the subtree in reverse order; after `timeout_s`, kill what is left of it."""
        self._stop.set()
        ended = asyncio.ensure_future(self.wait())
        if not await done_within(ended, timeout_s, self._sleep):
            self.kill()
        return await ended

    def kill(self) -> None:
        """Kill every child of the subtree; the supervisor then ends by itself."""
        self.tree.kill()

    def statistics(self) -> SupervisorStatistics:
        """The state of the subtree."""
        return self.tree.statistics()


def supervisor_child(build: Callable[[], Supervisor], *, sleep: Sleep = asyncio.sleep) -> Start:
    """A start function for a subtree, ready once all its children are.

    `build` makes a new supervisor for every life. Give the child a `stop_timeout_s` of at least
    the subtree's `stop_limit_s`.
    """

    async def start() -> SupervisorChild:
        child = SupervisorChild(build(), sleep)
        ended = asyncio.ensure_future(child.wait())
        ready = asyncio.ensure_future(child.tree.all_started.wait())
        try:
            await first_of(ended, ready)
        except asyncio.CancelledError:
            # What is up already gets its orderly stop, within the limits of the children.
            await child.stop(child.tree.stop_limit_s)
            raise
        finally:
            ready.cancel()
        if ended.done():
            raise ExitedBeforeReady(ended.result())
        ended.cancel()
        return child

    return start
