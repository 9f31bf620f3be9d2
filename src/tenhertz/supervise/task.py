"""A child that is an asyncio task of this process.

For work that shares the process and its fate. What must survive a crash, a stuck call or a long
garbage collection of its neighbours belongs into a process of its own: see `process`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tenhertz.supervise.child import Exit, ExitedBeforeReady, Sleep, Start, done_within, first_of


class TaskChild:
    """One running task. A task cannot be killed: one that swallows its cancellation is abandoned.

    An abandoned task is no longer waited for, but it may still run.
    """

    def __init__(self, task: asyncio.Task[Any], sleep: Sleep) -> None:
        self._task = task
        self._sleep = sleep
        self._exit: asyncio.Future[Exit] = task.get_loop().create_future()
        task.add_done_callback(self._record)

    def _record(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            exit_ = Exit.cancelled()
        elif (error := task.exception()) is not None:
            exit_ = Exit.failed(error)
        else:
            exit_ = Exit.returned()
        if not self._exit.done():
            self._exit.set_result(exit_)

    async def wait(self) -> Exit:
        """Wait until the task has ended or was abandoned."""
        return await asyncio.shield(self._exit)

    async def stop(self, timeout_s: float) -> Exit:
        """Cancel the task; abandon it if it has not ended after `timeout_s`."""
        self._task.cancel()
        if not await done_within(self._exit, timeout_s, self._sleep) and not self._exit.done():
            self._exit.set_result(Exit.abandoned(timeout_s))
        return self._exit.result()

    def kill(self) -> None:
        """Cancel the task: there is no stronger means."""
        self._task.cancel()


def task_child(
    run: Callable[[], Coroutine[Any, Any, Any]], *, sleep: Sleep = asyncio.sleep
) -> Start:
    """A start function for a coroutine function; the child counts as ready at once."""

    async def start() -> TaskChild:
        return TaskChild(asyncio.create_task(run()), sleep)

    return start


def task_child_with_ready(
    run: Callable[[Callable[[], None]], Coroutine[Any, Any, Any]],
    *,
    sleep: Sleep = asyncio.sleep,
) -> Start:
    """A start function for a coroutine function that says itself when it is ready.

    `run` gets a function to call, once, as soon as the child can do its work.
    """

    async def start() -> TaskChild:
        ready = asyncio.Event()
        child = TaskChild(asyncio.create_task(run(ready.set)), sleep)
        ended = asyncio.ensure_future(child.wait())
        told = asyncio.ensure_future(ready.wait())
        try:
            await first_of(ended, told)
        except asyncio.CancelledError:
            child.kill()
            await ended
            raise
        finally:
            told.cancel()
        if not ready.is_set():
            raise ExitedBeforeReady(ended.result())
        ended.cancel()
        return child

    return start
