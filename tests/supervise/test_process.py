"""Real processes, under asyncio's own loop and under uvloop. They wait on events, not on time."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
import uvloop

from tenhertz.supervise import (
    ChildSpec,
    Exit,
    ExitedBeforeReady,
    ExitKind,
    Supervisor,
    process_child,
)

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
SLEEPER = ["sleep", "1000"]
# Says it is ready once it ignores SIGTERM; needs nothing of ours, so that it starts quickly.
DEAF = [
    sys.executable,
    "-ISc",
    (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "os.write(int(os.environ['TENHERTZ_READY_FD']), b'.'); time.sleep(1000)"
    ),
]


def open_descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture(params=LOOPS)
def run(request):
    def run(coroutine):
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            return runner.run(coroutine)

    return run


@pytest.mark.parametrize(
    ("argv", "exit_"),
    [
        (["true"], Exit.exit_code(0)),
        (["false"], Exit.exit_code(1)),
        (["sh", "-c", "exit 7"], Exit.exit_code(7)),
        (["sh", "-c", "kill -ABRT $$"], Exit.killed(signal.SIGABRT)),
        (["sh", "-c", "kill -PIPE $$"], Exit.killed(signal.SIGPIPE)),  # Python ignores it
    ],
)
def test_the_exit_tells_code_or_signal(run, argv, exit_):
    async def main():
        child = await process_child(argv)()
        assert await child.wait() == exit_
        assert await child.stop(1.0) == exit_  # stopping what is gone is no error
        child.kill()

    run(main())


def test_stop_sends_sigterm_first(run):
    async def main():
        child = await process_child(SLEEPER)()
        assert await child.stop(30.0) == Exit.killed(signal.SIGTERM)

    run(main())


def test_two_stops_at_once_agree(run):
    async def main():
        child = await process_child(SLEEPER)()
        first, second = await asyncio.gather(child.stop(30.0), child.stop(30.0))
        assert first == second == Exit.killed(signal.SIGTERM)

    run(main())


def test_a_process_that_ignores_sigterm_is_killed_after_its_limit(run):
    async def main():
        child = await process_child(DEAF, says_ready=True)()
        assert await child.stop(0.01) == Exit.killed(signal.SIGKILL)

    run(main())


def test_a_process_that_is_stopped_by_a_signal_still_obeys(run):
    async def main():
        child = await process_child(SLEEPER)()
        os.kill(child.pid, signal.SIGSTOP)
        assert await child.stop(30.0) == Exit.killed(signal.SIGTERM)

    run(main())


def test_a_program_that_does_not_exist_raises(run):
    async def main():
        with pytest.raises(FileNotFoundError):
            await process_child(["no-such-program-anywhere"], says_ready=True)()

    run(main())


def test_a_process_that_ends_before_it_is_ready_raises_with_its_exit(run):
    async def main():
        with pytest.raises(ExitedBeforeReady, match="exit code 5") as caught:
            await process_child(["sh", "-c", "exit 5"], says_ready=True)()
        assert caught.value.exit == Exit.exit_code(5)

    run(main())


def test_readiness_can_be_asked_for(run):
    async def main():
        answers = iter([False, False, True])
        child = await process_child(SLEEPER, ready=lambda: next(answers), ready_every_s=0.0)()
        assert next(answers, "none left") == "none left"
        await child.stop(30.0)

    run(main())


def test_a_start_that_is_cancelled_leaves_no_process_and_no_descriptor(run):
    async def main():
        descriptors = open_descriptors()
        starting = asyncio.ensure_future(process_child(SLEEPER, says_ready=True)())
        await asyncio.sleep(0)
        (process,) = [p for p in psutil.Process().children() if p.cmdline() == SLEEPER]
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert not process.is_running()
        assert open_descriptors() == descriptors

    run(main())


def test_what_a_dead_process_left_running_in_its_group_is_killed_too(run):
    async def main():
        read_fd, write_fd = os.pipe()
        os.set_inheritable(write_fd, True)
        # The grandchild holds the pipe open for as long as it lives.
        child = await process_child(["sh", "-c", "sleep 1000 & exec sleep 1000"])()
        os.close(write_fd)
        os.kill(child.pid, signal.SIGKILL)
        await child.wait()
        gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(read_fd, gone.set)
        await gone.wait()
        asyncio.get_running_loop().remove_reader(read_fd)
        assert os.read(read_fd, 1) == b""
        os.close(read_fd)

    run(main())


def test_the_child_gets_its_environment_an_empty_input_and_a_group_of_its_own(run):
    async def main():
        script = (
            "import os, signal, sys;"
            "assert sys.stdin.read() == '';"
            "assert os.environ['COLOUR'] == 'green' and 'HOME' not in os.environ;"
            "assert not signal.pthread_sigmask(signal.SIG_BLOCK, []);"
            "assert os.getpgid(0) == os.getpid();"
            "assert int(os.environ['TENHERTZ_PARENT_PID']) == os.getppid()"
        )
        start = process_child([sys.executable, "-ISc", script], env={"COLOUR": "green"})
        assert await (await start()).wait() == Exit.exit_code(0)

    run(main())


def test_the_hook_begins_within_10_ms_of_a_sudden_death(run):
    async def main():
        latencies_ms = []
        killed_ns = 0
        noticed = asyncio.Event()

        async def hook(exit_):
            latencies_ms.append((time.monotonic_ns() - killed_ns) / 1e6)
            assert exit_ == Exit.killed(signal.SIGKILL)
            noticed.set()

        started = []
        start = process_child(SLEEPER)

        async def start_and_tell():
            started.append(await start())
            return started[-1]

        tree = Supervisor("tree", [ChildSpec(name="a", start=start_and_tell, on_exit=hook)])
        stop = asyncio.Event()
        task = asyncio.create_task(tree.run(stop))
        await tree.all_started.wait()
        for life in range(2):
            while len(started) == life or tree.statistics().children[0].state != "up":
                await asyncio.sleep(0.001)
            noticed.clear()
            killed_ns = time.monotonic_ns()
            os.kill(started[life].pid, signal.SIGKILL)
            await noticed.wait()
        stop.set()
        await task
        assert min(latencies_ms) < 10  # the better of two: the machine may be busy once

    run(main())


def test_a_stopped_process_loses_its_heartbeat_and_is_replaced(run):
    async def main():
        started = []
        start = process_child(SLEEPER)
        replaced = asyncio.Event()

        async def start_and_tell():
            started.append(await start())
            if len(started) == 2:
                replaced.set()
            return started[-1]

        def alive():
            return psutil.Process(started[-1].pid).status() != psutil.STATUS_STOPPED

        exits = []

        async def hook(exit_):
            exits.append(exit_.kind)

        spec = ChildSpec(
            name="a",
            start=start_and_tell,
            on_exit=hook,
            alive=alive,
            alive_every_s=0.005,
            alive_patience_s=0.02,
        )
        tree = Supervisor("tree", [spec])
        stop = asyncio.Event()
        task = asyncio.create_task(tree.run(stop))
        await tree.all_started.wait()
        os.kill(started[0].pid, signal.SIGSTOP)
        await replaced.wait()
        assert await started[0].wait() == Exit.killed(signal.SIGKILL)
        assert exits == [ExitKind.HEARTBEAT]
        stop.set()
        await task

    run(main())
