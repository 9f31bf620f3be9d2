"""The decisions of the supervisor, as tables: events in, actions out."""

from __future__ import annotations

import pytest

from tenhertz.supervise import BackOff, ChildSpec, Exit, Intensity, Restart, Strategy
from tenhertz.supervise.core import Core, Escalate, Finished, Phase, Start, Stop

S = 1_000_000_000
CRASH = Exit.exit_code(1)
DONE = Exit.exit_code(0)
GONE = Exit.cancelled()
A, B, C = "abc"


async def never_started():
    raise AssertionError


def core(strategy=Strategy.ONE_FOR_ONE, restarts=10, kinds="ppp", backoff=None):
    kind = {"p": Restart.PERMANENT, "t": Restart.TRANSIENT, "x": Restart.TEMPORARY}
    return Core(
        [
            ChildSpec(name=name, start=never_started, restart=kind[k])
            for name, k in zip("abc", kinds, strict=False)
        ],
        strategy=strategy,
        intensity=Intensity(restarts, 60.0),
        backoff=backoff or BackOff(first_s=0.0, second_s=1.0, max_s=4.0, jitter=0.0),
        uniform=lambda: 0.0,
    )


def all_up(machine):
    assert machine.tick(0) == [Start(A)]
    for name, following in ((A, B), (B, C)):
        assert machine.child_started(name, 0) == [Start(following)]
    assert machine.child_started(C, 0) == []
    assert machine.all_started
    return machine


def test_children_start_in_order_each_after_the_one_before_is_ready():
    all_up(core())


def test_children_stop_in_reverse_order_each_after_the_one_behind_is_gone():
    machine = all_up(core())
    assert machine.stop(1) == [Stop(C)]
    assert machine.child_exited(C, GONE, 2) == [Stop(B)]
    assert machine.child_exited(B, GONE, 3) == [Stop(A)]
    assert machine.child_exited(A, GONE, 4) == [Finished()]


def test_one_for_one_restarts_the_dead_child_alone():
    assert all_up(core()).child_exited(B, CRASH, S) == [Start(B, 1, CRASH)]


def test_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order():
    machine = all_up(core(Strategy.ONE_FOR_ALL))
    assert machine.child_exited(B, CRASH, S) == [Stop(C)]
    assert machine.child_exited(C, GONE, S) == [Stop(A)]
    assert machine.child_exited(A, GONE, S) == [Start(A, 1, Exit.sibling(B))]
    assert machine.child_started(A, S) == [Start(B, 1, CRASH)]
    assert machine.child_started(B, S) == [Start(C, 1, Exit.sibling(B))]


def test_rest_for_one_leaves_the_children_before_alone():
    machine = all_up(core(Strategy.REST_FOR_ONE))
    assert machine.child_exited(B, CRASH, S) == [Stop(C)]
    assert machine.child_exited(C, GONE, S) == [Start(B, 1, CRASH)]
    assert machine.child_started(B, S) == [Start(C, 1, Exit.sibling(B))]
    assert machine.children[A].phase is Phase.UP


@pytest.mark.parametrize(
    ("kind", "exit_", "comes_back"),
    [
        ("p", DONE, True),
        ("p", CRASH, True),
        ("t", DONE, False),
        ("t", Exit.returned(), False),
        ("t", CRASH, True),
        ("t", Exit.killed(9), True),
        ("t", Exit.failed(ValueError("x")), True),
        ("t", Exit.heartbeat_lost(1.0), True),
        ("x", DONE, False),
        ("x", CRASH, False),
    ],
)
def test_the_kind_of_child_and_of_exit_decides_whether_it_comes_back(kind, exit_, comes_back):
    machine = all_up(core(kinds="p" + kind + "p"))
    assert machine.child_exited(B, exit_, S) == ([Start(B, 1, exit_)] if comes_back else [])
    assert machine.children[B].phase is (Phase.STARTING if comes_back else Phase.FINISHED)


def test_back_off_is_none_then_grows_to_its_maximum():
    machine = all_up(core())
    now, waits = S, []
    for _ in range(6):
        actions = machine.child_exited(B, CRASH, now)
        waits.append(0 if actions else (machine.wake_at_ns - now) / S)
        if not actions:
            assert machine.tick(machine.wake_at_ns - 1) == []
            now = machine.wake_at_ns
            (action,) = machine.tick(now)
            assert action.back_off_ns == waits[-1] * S
        machine.child_started(B, now)
    assert waits == [0, 1, 2, 4, 4, 4]


def test_back_off_begins_anew_after_the_child_was_up_long_enough():
    machine = all_up(core())
    machine.child_exited(B, CRASH, S)
    machine.child_started(B, S)
    assert machine.child_exited(B, CRASH, 31 * S) == [Start(B, 2, CRASH)]
    machine.child_started(B, 31 * S)
    assert machine.child_exited(B, CRASH, 61 * S - 1) == []


def test_one_restart_too_many_stops_all_in_reverse_and_escalates_with_the_cause():
    machine = all_up(core(restarts=1))
    machine.child_exited(B, CRASH, S)
    machine.child_started(B, S)
    assert machine.child_exited(B, CRASH, 2 * S) == [Escalate(B, CRASH), Stop(C)]
    assert machine.child_exited(C, GONE, 2 * S) == [Stop(A)]
    assert machine.child_exited(A, GONE, 2 * S) == [Finished(Escalate(B, CRASH))]


def test_restarts_longer_ago_than_the_period_are_forgiven():
    machine = all_up(core(restarts=1))
    machine.child_exited(B, CRASH, S)
    machine.child_started(B, S)
    assert machine.child_exited(B, CRASH, 61 * S + 1) == [Start(B, 2, CRASH)]


def test_an_intensity_of_zero_escalates_at_the_first_failure():
    assert Escalate(A, CRASH) in all_up(core(restarts=0)).child_exited(A, CRASH, S)


def test_a_failed_first_start_is_retried_and_later_children_wait_for_it():
    machine = core()
    machine.tick(0)
    assert machine.child_exited(A, CRASH, 0) == [Start(A, 1, CRASH)]
    assert machine.child_exited(A, CRASH, 0) == []
    assert machine.wake_at_ns == S
    assert machine.tick(S) == [Start(A, 2, CRASH, S)]
    assert machine.child_started(A, S) == [Start(B)]


def test_a_second_child_that_dies_while_the_group_is_stopping_is_restarted_with_it():
    machine = all_up(core(Strategy.ONE_FOR_ALL))
    assert machine.child_exited(B, CRASH, S) == [Stop(C)]
    assert machine.child_exited(A, CRASH, S) == []
    assert machine.child_exited(C, GONE, S) == [Start(A, 1, CRASH)]
    assert machine.child_started(A, S) == [Start(B, 1, CRASH)]


def test_a_child_that_dies_while_another_starts_again_is_not_lost():
    machine = all_up(core())
    machine.child_exited(A, CRASH, S)
    assert machine.child_exited(C, CRASH, S) == [Start(C, 1, CRASH)]
    assert machine.child_started(A, S) == []
    assert machine.children[C].phase is Phase.STARTING


def test_an_earlier_child_that_dies_while_the_rest_restarts_takes_all_with_it():
    machine = all_up(core(Strategy.REST_FOR_ONE))
    assert machine.child_exited(B, CRASH, S) == [Stop(C)]
    assert machine.child_exited(A, CRASH, S) == []
    assert machine.child_exited(C, GONE, S) == [Start(A, 1, CRASH)]
    assert machine.child_started(A, S) == [Start(B, 1, CRASH)]


def test_a_start_that_fails_in_a_group_waits_with_the_whole_group():
    machine = all_up(core(Strategy.ONE_FOR_ALL))
    machine.child_exited(A, CRASH, S)
    machine.child_exited(C, GONE, S)
    assert machine.child_exited(B, GONE, S) == [Start(A, 1, CRASH)]
    assert machine.child_exited(A, CRASH, S) == []
    assert machine.wake_at_ns == 2 * S
    assert [action.name for action in machine.tick(2 * S)] == [A]


def test_a_temporary_sibling_is_stopped_and_does_not_come_back():
    machine = all_up(core(Strategy.ONE_FOR_ALL, kinds="pxp"))
    assert machine.child_exited(C, CRASH, S) == [Stop(B)]
    assert machine.child_exited(B, GONE, S) == [Stop(A)]
    machine.child_exited(A, GONE, S)
    assert machine.child_started(A, S) == [Start(C, 1, CRASH)]


def test_a_finished_transient_sibling_runs_again_with_its_group():
    machine = all_up(core(Strategy.ONE_FOR_ALL, kinds="tpp"))
    machine.child_exited(A, DONE, S)
    machine.child_exited(B, CRASH, S)
    assert machine.child_exited(C, GONE, S) == [Start(A, 1, Exit.sibling(B))]


def test_stop_wins_over_a_waiting_restart():
    machine = all_up(core())
    machine.child_exited(B, CRASH, S)
    assert machine.stop(S) == [Stop(C)]
    machine.child_exited(C, GONE, S)
    assert machine.children[B].phase is Phase.STOPPING
    assert machine.child_started(B, S) == []  # it came up too late: it is still being stopped
    assert machine.child_exited(B, GONE, S) == [Stop(A)]
    assert machine.child_exited(A, GONE, S) == [Finished()]


def test_stop_during_a_back_off_starts_nothing_any_more():
    machine = all_up(core(backoff=BackOff(first_s=3.0, jitter=0.0)))
    assert machine.child_exited(C, CRASH, S) == []
    assert machine.stop(S) == [Stop(B)]
    assert machine.wake_at_ns is None
    assert machine.tick(9 * S) == []


def test_stop_is_idempotent():
    machine = all_up(core())
    assert machine.stop(1) == [Stop(C)]
    assert machine.stop(2) == []
    for name in (C, B, A):
        last = machine.child_exited(name, GONE, 3)
    assert last == [Finished()]
    assert machine.stop(4) == []


def test_a_child_that_dies_before_its_turn_during_shutdown_is_not_restarted():
    machine = all_up(core())
    machine.stop(1)
    assert machine.child_exited(A, CRASH, 2) == []
    assert machine.child_exited(C, GONE, 3) == [Stop(B)]
    assert machine.child_exited(B, GONE, 4) == [Finished()]


def test_two_children_of_one_name_are_refused():
    spec = ChildSpec(name="a", start=never_started)
    with pytest.raises(ValueError, match="same name"):
        Core(
            [spec, spec],
            strategy=Strategy.ONE_FOR_ONE,
            intensity=Intensity(),
            backoff=BackOff(),
            uniform=lambda: 0.0,
        )
