"""A child that is an operating-system process (Linux).

Started with `posix_spawn` and watched through a pidfd in the event loop: no fork of a process
that has threads, no signal handler, no thread a child, the same under asyncio and uvloop, and its
death is noticed within a millisecond or so. Never a shell. What the child does on its side, to
die with its parent and to say that it is ready, is in `inside`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from tenhertz.supervise.child import Exit, ExitedBeforeReady, Sleep, Start, done_within, first_of
from tenhertz.supervise.inside import PARENT_PID_VARIABLE, READY_FD_VARIABLE

READY_FD = 3
# Python ignores these; the program that is started shall have them as they come.
DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)


class ProcessChild:
    """One running process, by default the leader of a process group of its own.

    A group of its own keeps the terminal's Ctrl-C from it (its supervisor decides when it
    stops) and lets whatever it started be killed with it.
    """

    def __init__(self, pid: int, *, own_group: bool, sleep: Sleep) -> None:
        """Watch `pid`, a child of this process that nobody else waits for."""
        self.pid = pid
        self._own_group = own_group
        self._sleep = sleep
        self._loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[Exit] = self._loop.create_future()
        self._pidfd = os.pidfd_open(pid)
        self._loop.add_reader(self._pidfd, self._collect)

    def _collect(self) -> None:
        """The process is dead: sweep up what it left running, and read its status."""
        self._loop.remove_reader(self._pidfd)
        # Before the status is collected: until then its number, and so its group's, is taken.
        self._signal_group(signal.SIGKILL)
        try:
            status = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        except ChildProcessError:
            exit_ = Exit.unknown("its status was collected by somebody else")
        else:
            assert status is not None
            exited = status.si_code == os.CLD_EXITED
            exit_ = (Exit.exit_code if exited else Exit.killed)(status.si_status)
        os.close(self._pidfd)
        self._exit.set_result(exit_)

    def _signal_group(self, signal_number: int) -> None:
        if self._own_group:
            with suppress(ProcessLookupError, PermissionError):  # nobody is left in it
                os.killpg(self.pid, signal_number)

    def send_signal(self, signal_number: int) -> None:
        """Send a signal to the process; nothing happens when it is gone."""
        if not self._exit.done():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal_number)

    async def wait(self) -> Exit:
        """Wait until the process has ended."""
        return await asyncio.shield(self._exit)

    async def stop(self, timeout_s: float) -> Exit:
        """Send SIGTERM, and SIGKILL when the process still runs after `timeout_s`."""
        self.send_signal(signal.SIGTERM)
        self.send_signal(signal.SIGCONT)  # a stopped process could not act on it
        if not await done_within(self._exit, timeout_s, self._sleep):
            self.kill()
        return await self.wait()

    def kill(self) -> None:
        """Send SIGKILL to the process and to all of its group."""
        if not self._exit.done():
            self._signal_group(signal.SIGKILL)
            self.send_signal(signal.SIGKILL)


def process_child(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    ready: Callable[[], bool] | None = None,
    ready_every_s: float = 0.02,
    says_ready: bool = False,
    own_group: bool = True,
    sleep: Sleep = asyncio.sleep,
) -> Start:
    """A start function for a program: `argv[0]` is looked up in PATH; no shell is involved.

    The child inherits standard output and error; its standard input is empty. `env` is its whole
    environment (default: this process's), to which the parent's process number is added for
    `die_with_parent`. It counts as ready when it runs, or, with `says_ready`, when it has called
    `say_ready`, or, with `ready`, when that returns true (asked every `ready_every_s`). Starting
    raises OSError when the program cannot be run and ExitedBeforeReady when it ends too early.
    """
    if not argv:
        raise ValueError("argv must name a program")

    async def start() -> ProcessChild:
        ready_fd, child = _spawn(argv, env, says_ready=says_ready, own_group=own_group, sleep=sleep)
        try:
            if ready_fd is not None:
                await _until_first(child, asyncio.ensure_future(_told(ready_fd)))
            if ready is not None:
                await _until_first(child, asyncio.ensure_future(_true(ready, ready_every_s, sleep)))
        except BaseException:
            child.kill()
            await child.wait()  # leave nothing behind: the next life may need what it holds
            raise
        finally:
            if ready_fd is not None:
                os.close(ready_fd)
        return child

    return start


def _spawn(
    argv: Sequence[str],
    env: Mapping[str, str] | None,
    *,
    says_ready: bool,
    own_group: bool,
    sleep: Sleep,
) -> tuple[int | None, ProcessChild]:
    environment = dict(os.environ if env is None else env)
    environment[PARENT_PID_VARIABLE] = str(os.getpid())
    environment.pop(READY_FD_VARIABLE, None)
    actions: list[tuple[int, int, str, int, int] | tuple[int, int, int]] = []
    read_fd = write_fd = None
    if says_ready:
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        environment[READY_FD_VARIABLE] = str(READY_FD)
        actions.append((os.POSIX_SPAWN_DUP2, write_fd, READY_FD))
    actions.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0))
    spawn = partial(os.posix_spawnp, setpgroup=0) if own_group else os.posix_spawnp
    try:
        pid = spawn(
            argv[0],
            list(argv),
            environment,
            file_actions=actions,
            setsigmask=(),
            setsigdef=DEFAULT_SIGNALS,
        )
        return read_fd, ProcessChild(pid, own_group=own_group, sleep=sleep)
    except BaseException:
        if read_fd is not None:
            os.close(read_fd)
        raise
    finally:
        if write_fd is not None:
            os.close(write_fd)


async def _until_first(child: ProcessChild, readiness: asyncio.Future[None]) -> None:
    """Wait for readiness; raise ExitedBeforeReady when the process ends first."""
    ended = asyncio.ensure_future(child.wait())
    try:
        await first_of(ended, readiness)
        if ended.done():
            raise ExitedBeforeReady(ended.result())
        readiness.result()
    finally:
        ended.cancel()
        readiness.cancel()


async def _told(ready_fd: int) -> None:
    """Return when the child has written to the pipe; never when it just closes it."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()

    def read() -> None:
        loop.remove_reader(ready_fd)
        if os.read(ready_fd, 1) and not readable.done():
            readable.set_result(None)

    loop.add_reader(ready_fd, read)
    try:
        await readable
    finally:
        loop.remove_reader(ready_fd)


async def _true(ready: Callable[[], bool], every_s: float, sleep: Sleep) -> None:
    while not ready():
        await sleep(every_s)
