"""What must hold of the core's decisions whatever happens, in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tenhertz.supervise import BackOff, ChildSpec, Exit, ExitKind, Intensity, Restart, Strategy
from tenhertz.supervise.core import Core, Escalate, Finished, Phase, Start, Stop

S = 1_000_000_000
WITHIN_S = 10.0


async def never_started():
    raise AssertionError


class AnyHistory(RuleBasedStateMachine):
    """Plays the shell: carries out the actions, and lets children live and die at random."""

    @initialize(
        strategy=st.sampled_from(Strategy),
        kinds=st.lists(st.sampled_from(Restart), min_size=1, max_size=5),
        restarts=st.integers(0, 4),
        first_s=st.sampled_from([0.0, 0.5]),
    )
    def begin(self, strategy, kinds, restarts, first_s):
        self.now_ns = 0
        self.strategy = strategy
        self.kinds = kinds
        self.restarts = restarts
        self.core = Core(
            [
                ChildSpec(name=str(n), start=never_started, restart=kind)
                for n, kind in enumerate(kinds)
            ],
            strategy=strategy,
            intensity=Intensity(restarts, WITHIN_S),
            backoff=BackOff(first_s=first_s, second_s=1.0, max_s=3.0, jitter=0.0, stable_s=5.0),
            uniform=lambda: 0.0,
        )
        self.running: dict[int, Phase] = {}
        self.starts = [0] * len(kinds)
        self.been_up = [False] * len(kinds)
        self.decided_ns = [0] * len(kinds)
        self.granted_ns: list[int] = []
        self.stopped = False
        self.escalated: list[Escalate] = []
        self.finished: list[Finished] = []
        self.carry_out(self.core.tick(0))

    def carry_out(self, actions):
        for action in actions:
            match action:
                case Start():
                    self.check_start(int(action.name), action)
                case Stop(name):
                    self.check_stop(int(name))
                case Escalate():
                    self.escalated.append(action)
                case Finished():
                    assert not self.running
                    self.finished.append(action)
        assert len(self.finished) <= 1
        assert len(self.escalated) <= 1

    def check_start(self, n, action):
        assert n not in self.running
        assert not self.stopped
        assert not self.escalated
        if self.strategy is not Strategy.ONE_FOR_ONE or not self.been_up[n]:
            for earlier in range(n):
                finished = self.core.children[str(earlier)].phase is Phase.FINISHED
                assert finished or self.running.get(earlier) is Phase.UP
        if self.strategy is not Strategy.ONE_FOR_ONE:  # whoever depends on it was stopped
            assert all(later not in self.running for later in range(n, len(self.kinds)))
        assert action.restarts == self.starts[n]
        if self.decided_ns[n] is not None:
            assert self.now_ns >= self.decided_ns[n] + action.back_off_ns
        if self.starts[n]:
            assert self.kinds[n] is not Restart.TEMPORARY
            if action.cause.kind is not ExitKind.SIBLING and self.decided_ns[n] is not None:
                self.granted_ns.append(self.decided_ns[n])
                window = [t for t in self.granted_ns if t >= self.now_ns - WITHIN_S * S]
                assert len(window) <= self.restarts
        self.starts[n] += 1
        self.running[n] = Phase.STARTING

    def check_stop(self, n):
        assert n in self.running
        assert all(later not in self.running for later in range(n + 1, len(self.kinds)))
        self.running[n] = Phase.STOPPING

    def some(self, data, *phases):
        return data.draw(st.sampled_from([n for n, p in self.running.items() if p in phases]))

    def ends(self, n, exit_):
        recycled = self.core.children[str(n)].recycle  # its restart was granted to another
        self.decided_ns[n] = None if recycled else self.now_ns
        del self.running[n]
        self.carry_out(self.core.child_exited(str(n), exit_, self.now_ns))

    @precondition(lambda self: Phase.STARTING in self.running.values())
    @rule(data=st.data())
    def comes_up(self, data):
        self.up(self.some(data, Phase.STARTING))

    def up(self, n):
        self.running[n] = Phase.UP
        self.been_up[n] = True
        self.carry_out(self.core.child_started(str(n), self.now_ns))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), exit_=st.sampled_from([Exit.exit_code(1), Exit.returned()]))
    def dies(self, data, exit_):
        self.ends(self.some(data, *Phase), exit_)

    @precondition(lambda self: Phase.STOPPING in self.running.values())
    @rule(data=st.data())
    def obeys(self, data):
        self.ends(self.some(data, Phase.STOPPING), Exit.cancelled())

    @rule(milliseconds=st.integers(0, 6000))
    def time_passes(self, milliseconds):
        self.now_ns += milliseconds * 1_000_000
        self.carry_out(self.core.tick(self.now_ns))

    @precondition(lambda self: self.starts[0] > 1)
    @rule()
    def stop(self):
        self.stopped = True
        self.carry_out(self.core.stop(self.now_ns))

    def teardown(self):
        """From here on every child behaves: then the tree must come to rest as it should."""
        if not hasattr(self, "core"):
            return
        for _ in range(100):
            if starting := [n for n, p in self.running.items() if p is Phase.STARTING]:
                self.up(starting[0])
            elif stopping := [n for n, p in self.running.items() if p is Phase.STOPPING]:
                self.ends(stopping[0], Exit.cancelled())
            elif self.core.wake_at_ns is not None:
                self.now_ns = self.core.wake_at_ns
                self.carry_out(self.core.tick(self.now_ns))
            else:
                break
        else:
            raise AssertionError("the tree does not come to rest")
        if self.stopped or self.escalated:
            assert not self.running
            assert len(self.finished) == 1
            assert (self.finished[0].escalated is None) == (not self.escalated)
            return
        for n, kind in enumerate(self.kinds):
            if kind is Restart.PERMANENT:
                assert self.running.get(n) is Phase.UP


AnyHistory.TestCase.pytestmark = [pytest.mark.slow]
AnyHistory.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestAnyHistory = AnyHistory.TestCase
