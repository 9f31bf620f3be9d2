"""The shell in virtual time: limits, hooks, heartbeats, logs, counts. Nothing here waits."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest
from structlog.testing import capture_logs

from tenhertz.supervise import (
    ChildSpec,
    Exit,
    ExitKind,
    Intensity,
    Restart,
    RestartIntensityExceeded,
    Strategy,
    Supervisor,
    supervisor_child,
    task_child,
    task_child_with_ready,
)

CRASH = Exit.exit_code(1)


@asynccontextmanager
async def running(world, tree):
    """The tree, running; stopped in the end unless it has ended."""
    stop = asyncio.Event()
    task = asyncio.create_task(tree.run(stop))
    await world.time.settle()
    try:
        yield task
    finally:
        stop.set()
        for _ in range(20):
            await world.time.advance(1.0)
        assert task.done()


def child_of(tree, name):
    return next(child for child in tree.statistics().children if child.name == name)


def test_children_start_in_order_and_stop_in_reverse(world):
    async def main():
        tree = world.supervisor(world.spec("a"), world.spec("b"), world.spec("c"))
        async with running(world, tree):
            assert tree.all_started.is_set()
        assert world.took() == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]

    asyncio.run(main())


def test_a_tree_whose_stop_is_set_already_starts_nothing(world):
    async def main():
        stop = asyncio.Event()
        stop.set()
        await world.supervisor(world.spec("a")).run(stop)
        assert world.took() == []

    asyncio.run(main())


def test_a_supervisor_runs_only_once(world):
    async def main():
        tree = world.supervisor(world.spec("a"))
        async with running(world, tree):
            with pytest.raises(RuntimeError, match="only once"):
                await tree.run(asyncio.Event())

    asyncio.run(main())


def test_every_restart_is_logged_once_with_child_cause_count_and_back_off(world):
    async def main():
        tree = world.supervisor(world.spec("a"), world.spec("b"))
        async with running(world, tree):
            for _ in range(3):
                world.children["b"].die(CRASH)
                await world.time.advance(5.0)

    with capture_logs() as logs:
        asyncio.run(main())
    restarts = [entry for entry in logs if entry["event"] == "child_restarting"]
    assert [(e["child"], e["cause"], e["restarts"], e["back_off_s"]) for e in restarts] == [
        ("b", "ended with exit code 1", 1, 0.0),
        ("b", "ended with exit code 1", 2, 1.0),
        ("b", "ended with exit code 1", 3, 2.0),
    ]
    assert {e["supervisor"] for e in restarts} == {"tree"}


def test_counts_are_available_as_data(world):
    async def main():
        tree = world.supervisor(world.spec("a"), world.spec("x", restart=Restart.TEMPORARY))
        async with running(world, tree):
            world.time.now_ns = 7
            world.children["a"].die(Exit.killed(9))
            world.children["x"].die(CRASH)
            await world.time.settle()
            a, x = tree.statistics().children
            assert (a.state, a.restarts, a.last_cause) == ("up", 1, "was killed by SIGKILL")
            assert a.started_at_ns == 7
            assert (x.state, x.restarts, x.last_cause) == ("finished", 0, "ended with exit code 1")
            assert msgspec.json.encode(tree.statistics())

    asyncio.run(main())


def test_too_many_restarts_stop_the_others_and_raise_with_the_cause(world):
    async def fails():
        raise ValueError("no such register")

    async def main():
        crashing = ChildSpec(name="b", start=task_child(fails, sleep=world.time.sleep))
        tree = world.supervisor(world.spec("a"), crashing, intensity=Intensity(2, 60.0))
        async with running(world, tree) as task:
            await world.time.advance(1.0)
            with pytest.raises(RestartIntensityExceeded, match="more than 2 restarts") as caught:
                await task
        assert (caught.value.supervisor, caught.value.child) == ("tree", "b")
        assert isinstance(caught.value.__cause__, ValueError)
        assert world.took() == ["start a", "stop a"]

    asyncio.run(main())


def test_a_subtree_that_gives_up_is_restarted_by_its_parent_as_one_child(world):
    async def main():
        def build():
            return world.supervisor(world.spec("leaf"), intensity=Intensity(0, 60.0))

        branch = ChildSpec(name="branch", start=supervisor_child(build, sleep=world.time.sleep))
        tree = world.supervisor(world.spec("first"), branch)
        async with running(world, tree):
            world.children["leaf"].die(CRASH)
            await world.time.settle()
            counts = child_of(tree, "branch")
            assert counts.restarts == 1
            assert "RestartIntensityExceeded" in counts.last_cause
            assert counts.subtree.children[0].state == "up"
        assert world.took() == [
            "start first", "start leaf", "start leaf", "stop leaf", "stop first",
        ]  # fmt: skip

    asyncio.run(main())


def test_a_child_that_is_not_ready_in_time_is_retried_and_the_next_one_waits(world):
    attempts = []

    async def slow(ready):
        attempts.append(world.time.now_ns / 1e9)
        if len(attempts) == 2:
            ready()
        await asyncio.Event().wait()

    async def main():
        start = task_child_with_ready(slow, sleep=world.time.sleep)
        tree = world.supervisor(
            ChildSpec(name="slow", start=start, start_timeout_s=3.0), world.spec("next")
        )
        async with running(world, tree):
            assert world.took() == []
            await world.time.advance(3.0)
            assert world.took() == ["start next"]
            assert child_of(tree, "slow").last_cause == "was not ready within 3 s"
        assert attempts == [0.0, 3.0]

    asyncio.run(main())


def test_a_start_that_refuses_its_cancellation_is_abandoned_and_its_late_child_killed(world):
    async def main():
        release = asyncio.Event()
        good = world.spec("a").start
        attempts = []

        async def stubborn():
            attempts.append(None)
            while len(attempts) == 1 and not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            return await good()

        tree = world.supervisor(
            ChildSpec(name="a", start=stubborn, start_timeout_s=1.0, stop_timeout_s=1.0)
        )
        async with running(world, tree):
            await world.time.advance(4.0)
            assert child_of(tree, "a").abandoned == 1
            assert child_of(tree, "a").state == "up"
            first = world.children["a"]
            release.set()
            await world.time.settle()
            assert world.took() == ["start a", "start a", "kill a"]
            assert world.children["a"] is not first
            world.children["a"] = first

    asyncio.run(main())


@pytest.mark.parametrize("stopped", [False, True])
def test_a_child_that_comes_up_against_its_cancellation_is_stopped(world, stopped):
    async def main():
        good = world.spec("a").start

        async def comes_up_anyway():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return await good()

        spec = ChildSpec(name="a", start=comes_up_anyway, start_timeout_s=1.0)
        tree = world.supervisor(spec, intensity=Intensity(0, 60.0))
        stop = asyncio.Event()
        task = asyncio.create_task(tree.run(stop))
        await world.time.settle()
        if stopped:
            stop.set()
        await world.time.advance(1.0)
        assert task.done()
        assert (task.exception() is None) == stopped
        assert world.took() == ["start a", "stop a"]

    asyncio.run(main())


def test_the_hook_runs_for_a_child_whose_start_was_cut_short(world):
    async def main():
        hooked = []

        async def hook(exit_):
            hooked.append(exit_.kind)

        async def endless():
            await asyncio.Event().wait()

        stop = asyncio.Event()
        tree = world.supervisor(ChildSpec(name="a", start=endless, on_exit=hook))
        task = asyncio.create_task(tree.run(stop))
        await world.time.settle()
        stop.set()
        await world.time.settle()
        assert task.done()
        assert hooked == [ExitKind.START_CUT_SHORT]

    asyncio.run(main())


def test_stop_while_a_restart_waits_for_the_hook_starts_nothing(world):
    async def main():
        safe = asyncio.Event()

        async def hook(exit_):
            await safe.wait()

        stop = asyncio.Event()
        tree = world.supervisor(world.spec("a", on_exit=hook))
        task = asyncio.create_task(tree.run(stop))
        await world.time.settle()
        world.children["a"].die(CRASH)
        await world.time.settle()
        stop.set()
        await world.time.settle()
        assert not task.done()  # making things safe is not cut short
        safe.set()
        await world.time.settle()
        assert task.done()
        assert world.took() == ["start a"]

    asyncio.run(main())


def test_cancelling_run_twice_kills_what_is_left(world):
    async def main():
        tree = world.supervisor(world.spec("a"), world.spec("mule", obeys=False))
        task = asyncio.create_task(tree.run(asyncio.Event()))
        await world.time.settle()
        task.cancel()
        await world.time.settle()
        assert not task.done()
        task.cancel()
        await world.time.settle()
        assert task.cancelled()
        assert "kill mule" in world.took()
        world.children["mule"].die(CRASH)
        await world.time.settle()

    asyncio.run(main())


def test_a_subtree_past_its_limit_is_killed(world):
    async def main():
        def build():
            return world.supervisor(world.spec("leaf", obeys=False, stop_timeout_s=60.0))

        branch = ChildSpec(
            name="branch",
            start=supervisor_child(build, sleep=world.time.sleep),
            stop_timeout_s=2.0,
        )
        async with running(world, world.supervisor(branch)):
            pass
        assert world.took()[:3] == ["start leaf", "stop leaf", "kill leaf"]
        world.children["leaf"].die(CRASH)
        await world.time.advance(100.0)

    asyncio.run(main())


def test_a_subtree_that_is_stopped_while_it_starts_stops_what_is_up(world):
    async def main():
        def build():
            never = ChildSpec(
                name="never",
                start=task_child_with_ready(lambda _: asyncio.Event().wait()),
                start_timeout_s=1000.0,
            )
            return world.supervisor(world.spec("leaf"), never)

        branch = ChildSpec(name="branch", start=supervisor_child(build, sleep=world.time.sleep))
        stop = asyncio.Event()
        task = asyncio.create_task(world.supervisor(branch).run(stop))
        await world.time.settle()
        stop.set()
        await world.time.settle()
        assert task.done()
        assert world.took() == ["start leaf", "stop leaf"]

    asyncio.run(main())


def test_a_subtree_that_gives_up_before_it_is_ready_is_a_failed_start(world):
    async def fails():
        raise OSError("no device")

    async def main():
        def build():
            bad = ChildSpec(name="leaf", start=fails)
            return world.supervisor(bad, intensity=Intensity(0, 60.0))

        branch = ChildSpec(name="branch", start=supervisor_child(build, sleep=world.time.sleep))
        tree = world.supervisor(branch, intensity=Intensity(0, 60.0))
        async with running(world, tree) as task:
            with pytest.raises(RestartIntensityExceeded, match="no device"):
                await task

    asyncio.run(main())


def test_a_program_that_cannot_be_started_is_a_failed_life(world):
    async def start():
        raise FileNotFoundError("no such program")

    async def main():
        tree = world.supervisor(ChildSpec(name="a", start=start), intensity=Intensity(1, 60.0))
        async with running(world, tree) as task:
            with pytest.raises(RestartIntensityExceeded, match="FileNotFoundError"):
                await task

    asyncio.run(main())


def test_stop_during_a_start_wins_at_once(world):
    async def never_ready(ready):
        await asyncio.Event().wait()

    async def main():
        start = task_child_with_ready(never_ready, sleep=world.time.sleep)
        tree = world.supervisor(ChildSpec(name="a", start=start), world.spec("b"))
        stop = asyncio.Event()
        task = asyncio.create_task(tree.run(stop))
        await world.time.settle()
        stop.set()
        await world.time.settle()
        assert task.done()
        assert world.took() == []

    asyncio.run(main())


def test_stop_during_a_back_off_wins_at_once(world):
    async def main():
        tree = world.supervisor(world.spec("a"))
        stop = asyncio.Event()
        task = asyncio.create_task(tree.run(stop))
        await world.time.settle()
        for _ in range(2):
            world.children["a"].die(CRASH)
            await world.time.settle()
        assert child_of(tree, "a").state == "waiting"
        stop.set()
        await world.time.settle()
        assert task.done()
        assert world.took() == ["start a", "start a"]

    asyncio.run(main())


def test_cancelling_run_stops_the_children_in_reverse(world):
    async def main():
        task = asyncio.create_task(
            world.supervisor(world.spec("a"), world.spec("b")).run(asyncio.Event())
        )
        await world.time.settle()
        task.cancel()
        await world.time.settle()
        assert task.cancelled()
        assert world.took() == ["start a", "start b", "stop b", "stop a"]

    asyncio.run(main())


def test_a_child_that_refuses_to_stop_is_killed_abandoned_and_counted(world):
    async def main():
        tree = world.supervisor(
            world.spec("a"), world.spec("mule", obeys=False, stop_timeout_s=2.0)
        )
        async with running(world, tree):
            world.took()
        assert world.took() == ["stop mule", "kill mule", "stop a"]
        assert child_of(tree, "mule").abandoned == 1

    asyncio.run(main())


def test_a_task_that_swallows_its_cancellation_is_abandoned(world):
    async def main():
        release = asyncio.Event()

        async def stubborn():
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        child = await task_child(stubborn, sleep=world.time.sleep)()
        await world.time.settle()
        stopping = asyncio.create_task(child.stop(2.0))
        await world.time.advance(1.9)
        assert not stopping.done()
        await world.time.advance(0.2)
        assert (await stopping).kind is ExitKind.ABANDONED
        assert (await child.wait()).kind is ExitKind.ABANDONED
        release.set()
        await world.time.settle()

    asyncio.run(main())


def test_the_hook_begins_at_once_and_ends_before_the_restart(world):
    async def main():
        safe = asyncio.Event()

        async def make_safe(exit_):
            world.journal.append(f"hook: {exit_}")
            await safe.wait()
            world.journal.append("hook ended")

        tree = world.supervisor(world.spec("control", on_exit=make_safe), world.spec("other"))
        async with running(world, tree):
            world.took()
            world.children["control"].die(Exit.killed(9))
            await world.time.settle()
            assert world.took() == ["hook: was killed by SIGKILL"]
            world.children["other"].die(CRASH)  # the hook delays nobody else
            await world.time.settle()
            assert world.took() == ["start other"]
            safe.set()
            await world.time.settle()
            assert world.took() == ["hook ended", "start control"]

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["raises", "hangs", "hangs and will not be cancelled"])
def test_a_hook_that_fails_is_logged_and_counted_and_the_restart_goes_on(world, fault):
    async def main():
        release = asyncio.Event()

        async def hook(exit_):
            if fault == "raises":
                raise OSError("the bus is gone")
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    if fault == "hangs":
                        raise

        tree = world.supervisor(world.spec("a", on_exit=hook, on_exit_timeout_s=2.0))
        async with running(world, tree):
            world.children["a"].die(CRASH)
            await world.time.advance(3.0)
            assert world.took() == ["start a", "start a"]
            assert child_of(tree, "a").hook_failures == 1
            release.set()

    with capture_logs() as logs:
        asyncio.run(main())
    assert [entry["event"] for entry in logs].count("on_exit_hook_failed") == 1


def test_the_hook_runs_for_a_child_that_dies_unasked_during_shutdown_and_only_then(world):
    async def main():
        async def hook(exit_):
            await world.time.sleep(0.5)
            world.journal.append(f"hook: {exit_}")

        tree = world.supervisor(
            world.spec("a", on_exit=hook),
            world.spec("b", on_exit=hook),
            world.spec("slow", obeys=False, stop_timeout_s=2.0),
        )
        stop = asyncio.Event()
        task = asyncio.create_task(tree.run(stop))
        await world.time.settle()
        stop.set()
        await world.time.settle()
        world.children["a"].die(Exit.killed(11))
        await world.time.settle()
        world.children["slow"].die(Exit.cancelled())
        await world.time.settle()
        assert not task.done()  # the tree ends when its hooks have
        await world.time.advance(0.5)
        assert task.done()
        assert "hook: was killed by SIGSEGV" in world.journal
        assert len([entry for entry in world.journal if entry.startswith("hook")]) == 1

    asyncio.run(main())


def test_a_child_without_heartbeat_is_killed_and_restarted(world):
    async def main():
        beating = True
        tree = world.supervisor(
            world.spec("a", alive=lambda: beating, alive_every_s=0.1, alive_patience_s=1.0)
        )
        async with running(world, tree):
            await world.time.advance(5.0)
            assert world.took() == ["start a"]
            beating = False
            await world.time.advance(0.95)
            beating = True  # a late heartbeat is a heartbeat
            await world.time.advance(0.5)
            assert world.took() == []
            beating = False
            await world.time.advance(1.2)
            assert world.took() == ["kill a", "start a"]
            assert child_of(tree, "a").last_cause == "heartbeat lost for 1 s"

    asyncio.run(main())


def test_a_heartbeat_that_cannot_be_read_counts_as_lost_and_is_logged(world):
    def unreadable():
        raise OSError("no such file")

    async def main():
        tree = world.supervisor(world.spec("a", alive=unreadable, alive_patience_s=0.0))
        async with running(world, tree):
            await world.time.advance(0.1)
            assert world.took() == ["start a", "kill a", "start a"]

    with capture_logs() as logs:
        asyncio.run(main())
    assert "heartbeat_check_failed" in [entry["event"] for entry in logs]


def test_a_silent_child_that_cannot_be_killed_holds_up_nobody(world):
    async def main():
        tree = world.supervisor(
            world.spec(
                "mule", obeys=False, alive=lambda: False, alive_patience_s=0.5, stop_timeout_s=0.0
            )
        )
        async with running(world, tree):
            await world.time.advance(2.0)
            assert world.took()[:3] == ["start mule", "kill mule", "start mule"]

    asyncio.run(main())


def test_one_for_all_is_carried_out_by_the_shell(world):
    async def main():
        tree = world.supervisor(
            world.spec("a"), world.spec("b"), world.spec("c"), strategy=Strategy.ONE_FOR_ALL
        )
        async with running(world, tree):
            world.took()
            world.children["b"].die(CRASH)
            await world.time.settle()
            assert world.took() == ["stop c", "stop a", "start a", "start b", "start c"]
            assert child_of(tree, "a").restarts == 1

    asyncio.run(main())


def test_a_fault_in_the_supervisor_itself_kills_the_children_and_is_raised(world):
    async def main():
        def broken():
            raise ZeroDivisionError

        tree = world.supervisor(world.spec("a"), world.spec("b"), uniform=broken)
        async with running(world, tree) as task:
            world.children["a"].die(CRASH)
            await world.time.settle()
            with pytest.raises(ZeroDivisionError):
                await task
            assert "kill b" in world.took()

    asyncio.run(main())


def test_the_stop_limit_of_a_tree_covers_its_children(world):
    tree = Supervisor(
        "t", [world.spec("a", stop_timeout_s=2.0), world.spec("b", stop_timeout_s=3.0)]
    )
    assert tree.stop_limit_s >= 5.0
