"""Virtual time and obedient or stubborn children for the tests of the supervisor."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import Any

import pytest

from tenhertz.supervise import BackOff, ChildSpec, Exit, Supervisor


class VirtualTime:
    """A clock and a sleep that only `advance` moves."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    def clock_ns(self) -> int:
        return self.now_ns

    async def sleep(self, seconds: float) -> None:
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        at_ns = self.now_ns + round(seconds * 1e9)
        heapq.heappush(self._sleepers, (at_ns, next(self._number), wake))
        await wake

    async def settle(self) -> None:
        """Let everything happen that can happen without time passing."""
        for _ in range(60):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        target_ns = self.now_ns + round(seconds * 1e9)
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= target_ns:
            at_ns, _, wake = heapq.heappop(self._sleepers)
            self.now_ns = max(self.now_ns, at_ns)
            if not wake.done():
                wake.set_result(None)
            await self.settle()
        self.now_ns = target_ns
        await self.settle()


class FakeChild:
    """A child whose death the test decides."""

    def __init__(self, world: World, name: str, *, obeys: bool) -> None:
        self._world = world
        self._name = name
        self._obeys = obeys
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    def die(self, exit_: Exit) -> None:
        if not self._exit.done():
            self._exit.set_result(exit_)

    async def wait(self) -> Exit:
        return await asyncio.shield(self._exit)

    async def stop(self, timeout_s: float) -> Exit:
        self._world.journal.append(f"stop {self._name}")
        if self._obeys:
            self.die(Exit.cancelled())
        return await self.wait()

    def kill(self) -> None:
        self._world.journal.append(f"kill {self._name}")
        if self._obeys:
            self.die(Exit.killed(9))


class World:
    """Virtual time, the children that run in it, and a journal of what was done to them."""

    def __init__(self) -> None:
        self.time = VirtualTime()
        self.journal: list[str] = []
        self.children: dict[str, FakeChild] = {}

    def spec(self, name: str, *, obeys: bool = True, **options: Any) -> ChildSpec:
        async def start() -> FakeChild:
            self.journal.append(f"start {name}")
            self.children[name] = FakeChild(self, name, obeys=obeys)
            return self.children[name]

        return ChildSpec(**{"name": name, "start": start, **options})

    def supervisor(self, *children: ChildSpec, **options: Any) -> Supervisor:
        options = {
            "backoff": BackOff(first_s=0.0, second_s=1.0, max_s=4.0, jitter=0.0, stable_s=30.0),
            "clock_ns": self.time.clock_ns,
            "sleep": self.time.sleep,
            "uniform": lambda: 0.0,
            **options,
        }
        return Supervisor("tree", children, **options)

    def took(self) -> list[str]:
        """The journal since the last call."""
        entries = list(self.journal)
        self.journal.clear()
        return entries


@pytest.fixture
def world() -> World:
    return World()
