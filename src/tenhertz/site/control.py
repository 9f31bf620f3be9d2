"""The control process: ten times a second, sample every unit, decide, write setpoints.

The hot path. It never waits: no storage, no log, no network but its devices. What happens is told
through rings and a board in shared memory. Started by the site's parent as

    python -m tenhertz.site.control site.toml
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from tenhertz.devices import Condition, Demand
from tenhertz.lock import held
from tenhertz.site.beat import Beat, Due, LatePolicy
from tenhertz.site.config import SiteConfig, load_config
from tenhertz.site.controller import Controller, Orders
from tenhertz.site.paths import PREDECESSOR_S, Parts, open_parts
from tenhertz.site.plant import Clock, Plant
from tenhertz.site.program import Item, program, slots_for
from tenhertz.site.realtime import (
    Scheduling,
    freeze_collector,
    raise_priority,
    shorten_switches,
)
from tenhertz.site.record import SITE, Event, Tick, pack_event, pack_tick
from tenhertz.site.report import Reporter
from tenhertz.supervise import die_with_parent, say_ready

# How long the units may take to acknowledge their release at a clean stop.
RELEASE_LIMIT_NS = 900_000_000
START_AFTER_NS = 20_000_000


class Control:
    """The control process's parts and its beat."""

    def __init__(
        self,
        config: SiteConfig,
        parts: Parts,
        clock_ns: Clock,
        utc_ns: Clock,
        seed: int,
        scheduling: Scheduling = "normal",
    ) -> None:
        self.parts = parts
        self._clock_ns = clock_ns
        self._utc_ns = utc_ns
        self._controller = Controller(config)
        self.plant = Plant(config, clock_ns, self.note, seed)
        self._lines = self.plant.lines
        slots = slots_for(len(self._lines), config.control.spread_over_units)
        self._slots = [range(slot, len(self._lines), slots) for slot in range(slots)]
        self._period_ns = config.control.period_ms * 1_000_000
        self._program = program(self._period_ns, slots, config.control.decide_after)
        self._at = 0
        self._late_policy: LatePolicy = config.control.late_ticks
        self._beat = Beat(self._period_ns, 0, self._late_policy)
        self._due: Due | None = None
        self._reporter = Reporter(self.plant, parts, self.note, utc_ns, scheduling)
        self._orders: Orders | None = None
        self._demanded = Demand.OBSERVE
        self._stops_heard = 0
        self._ending = asyncio.Event()
        self._ended = False
        self._fault: Exception | None = None

    def note(self, text: str, unit: int = SITE, severity: int = 0) -> None:
        """Tell what happened; the gateway logs and stores it."""
        self.parts.events.append([pack_event(Event(self._utc_ns(), unit, severity, text))])

    # -- the beat ---------------------------------------------------------------------------------

    async def run(self) -> bool:
        """Keep the beat until told to end; True if every unit was released."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        loop.set_exception_handler(self._on_loop_fault)
        die_with_parent()
        tasks = self.plant.start()
        self.parts.samples.open_for_writing()
        self.parts.events.open_for_writing()
        self._beat = Beat(self._period_ns, self._clock_ns() + START_AFTER_NS, self._late_policy)
        self.note(f"control process {os.getpid()} started, {self._reporter.scheduling} scheduling")
        self._plan(loop)
        say_ready()
        await self._ending.wait()
        if self._fault is not None:
            self.note(f"the control process ends by its own fault: {self._fault!r}", severity=2)
            raise self._fault
        released = await self._release()
        self._ended = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._record_last_samples()
        self.note("control process ended" + ("" if released else ", units not released"))
        self.parts.samples.close_for_writing()
        self.parts.events.close_for_writing()
        return released

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake up for the next item. The loop's timers count whole ms: never wake too early."""
        item = self._program[self._at]
        start_ns = self._beat.next_ns if self._at == 0 else self._beat.next_ns - self._period_ns
        wait_ns = start_ns + item.offset_ns - self._clock_ns()
        loop.call_later(max(0, -(-wait_ns // 1_000_000)) / 1000, self._fire, loop)

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do what is due. A fault of the program ends the process: its parent makes it safe."""
        if self._ended:
            return
        try:
            self._do_what_is_due()
        except Exception as fault:
            self._fault = fault
            self._ending.set()
            return
        self._plan(loop)

    def _do_what_is_due(self) -> None:
        now_ns = self._clock_ns()
        items = self._program
        base_ns = self._beat.next_ns if self._at == 0 else self._beat.next_ns - self._period_ns
        while base_ns + items[self._at].offset_ns <= now_ns:
            self._do(items[self._at], now_ns)
            self._at += 1
            if self._at == len(items):
                self._at = 0
                base_ns = self._beat.next_ns
            else:
                base_ns = self._beat.next_ns - self._period_ns
            now_ns = self._clock_ns()

    def _on_loop_fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback of one line failed: asyncio closes that connection; the others go on."""
        fault = context.get("exception")
        self.note(f"a connection was dropped by a fault of the program: {fault!r}", severity=2)

    def _do(self, item: Item, now_ns: int) -> None:
        if self.parts.mailbox.stops != self._stops_heard and self.parts.mailbox.stopped:
            self._stops_heard = self.parts.mailbox.stops
            self._demanded = Demand.OBSERVE  # a stop said again is sent again
            self._demand(Demand.STOP, now_ns)
        work = item.work
        if work == "sample":
            for index in self._slots[item.slot]:
                line = self._lines[index]
                line.check(now_ns)
                line.sample(now_ns)
        elif work == "write":
            self._write(self._slots[item.slot], now_ns)
        elif work == "decide":
            self._decide(now_ns)
        elif work == "tick":
            self._due = due = self._beat.due(now_ns)
            self._reporter.tick(due, self._orders, now_ns)
        elif self.plant.meter is not None:
            self.plant.meter.check(now_ns)
            self.plant.meter.sample(now_ns)

    def _demand(self, demand: Demand, now_ns: int) -> None:
        if demand is self._demanded:
            return
        self._demanded = demand
        if demand is Demand.STOP:
            self.note("stop: all units are being de-energised", severity=2)
        for line, gate in zip(self._lines, self.plant.gates, strict=True):
            gate.forget()
            line.demand(demand, now_ns)

    # -- one decision -----------------------------------------------------------------------------

    def _decide(self, now_ns: int) -> None:
        self.plant.hear_frequency(now_ns)
        utc_ns = self._utc_ns()
        messages, broken = self.parts.mailbox.take()
        if broken:
            self.note(f"{broken} messages in the mailbox could not be read", severity=1)
        if messages:
            self._controller.hear(messages, utc_ns)
        image = self.plant.image
        image.close(now_ns)
        self._orders = orders = self._controller.decide(
            image.sessions,
            image.conditions,
            self.plant.watch.answer(now_ns),
            now_ns,
            utc_ns,
            stopped=self.parts.mailbox.stopped,
        )
        if orders.ffr_missed:
            self.note("the frequency fell to the FFR trigger before FFR was ready", severity=1)
        if not self._ending.is_set():
            self._demand(Demand.STOP if orders.stop else Demand.POWER, now_ns)
        # NaN: this unit follows no setpoint now.
        image.setpoints_w = [math.nan] * len(self._lines)
        for index, power_w in zip(orders.controlled, orders.powers_w, strict=True):
            image.setpoints_w[index] = power_w
        self._record(now_ns, orders)

    def _record(self, now_ns: int, orders: Orders) -> None:
        """Send the tick and all samples that came since the last one on their way."""
        due = self._due
        assert due is not None
        offset_ns = self._utc_ns() - now_ns
        number = self.parts.samples.state.tally
        bodies = self.plant.image.take_samples(due.number, offset_ns, number)
        decision = orders.decision
        tick = Tick(
            decision.reason,
            min(len(orders.controlled), 0xFFFF),
            min(due.late_ns // 1000, 0xFFFFFFFF),
            due.number,
            due.due_ns + offset_ns,
            number + len(bodies),
            self.plant.watch.answer(now_ns).frequency_hz,
            decision.power_w - orders.unmet_w,
            decision.baseline_w,
            orders.measured_w,
        )
        taken = len(bodies)
        bodies.append(pack_tick(tick))
        self.parts.samples.append(bodies, tally=taken)

    def _record_last_samples(self) -> None:
        due = self._due
        if due is not None:
            offset_ns = self._utc_ns() - self._clock_ns()
            number = self.parts.samples.state.tally
            bodies = self.plant.image.take_samples(due.number, offset_ns, number)
            self.parts.samples.append(bodies, tally=len(bodies))

    def _write(self, indices: range, now_ns: int) -> None:
        orders = self._orders
        if orders is None or orders.stop or self._ending.is_set():
            return
        conditions, setpoints_w = self.plant.image.conditions, self.plant.image.setpoints_w
        for index in indices:
            if conditions[index] != Condition.CONTROLLED:
                continue
            power_w = setpoints_w[index]
            if self.plant.gates[index].passes(power_w, now_ns):
                self._lines[index].set_power(power_w, now_ns)

    async def _release(self) -> bool:
        """Hand every reachable unit back with its power at zero; a stop stays a stop."""
        now_ns = self._clock_ns()
        if self._demanded is not Demand.STOP:
            self._demanded = Demand.RELEASE
            for line in self._lines:
                line.demand(Demand.RELEASE, now_ns)
        until_ns = now_ns + RELEASE_LIMIT_NS
        while self._clock_ns() < until_ns:
            if all(line.session.settled or not line.session.connected for line in self._lines):
                break
            await asyncio.sleep(0.01)
        held = [line for line in self._lines if not line.session.settled]
        for line in held:
            self.note(f"{line.session.name} did not acknowledge its release", severity=2)
        return not held


def main(argv: list[str]) -> int:
    """Run the control process of the site in `argv[1]`."""
    config = load_config(Path(argv[1]))
    parts = open_parts(config, create=False)

    async def run() -> bool:
        shorten_switches()
        scheduling = raise_priority(config.control.scheduling, len(config.unit))
        control = Control(
            config, parts, time.monotonic_ns, time.time_ns, time.time_ns(), scheduling
        )
        freeze_collector()  # now that all that lives long has been made
        return await control.run()

    # The rings have one writer, and the units one master.
    with held(parts.folder / "control.lock", "the control process", PREDECESSOR_S):
        return 0 if uvloop.run(run()) else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv))
