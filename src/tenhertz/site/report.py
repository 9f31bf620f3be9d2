"""What the control process tells of itself, twice a second, without waiting for anybody."""

from __future__ import annotations

import math
import os
import time

from tenhertz.site.beat import Due, Histogram
from tenhertz.site.controller import Orders
from tenhertz.site.paths import Parts
from tenhertz.site.plant import Clock, Plant, Tell
from tenhertz.site.realtime import Scheduling, collect_young
from tenhertz.site.record import SITE
from tenhertz.site.status import ENCODE, ControlStatus, Spread, UnitStatus

POST_EVERY_NS = 400_000_000
# Larger sites post less often: the notice grows with the units.
UNITS_PER_POST_STEP = 200
# More than this share of the processor, or a skipped tick in the last ten seconds, is overload.
OVERLOAD_CPU_PCT = 85.0
OVERLOAD_MEMORY_NS = 10_000_000_000
COLLECT_EVERY_NS = 5_000_000_000


class Reporter:
    """Posts the control process's state on its board."""

    def __init__(
        self, plant: Plant, parts: Parts, tell: Tell, utc_ns: Clock, scheduling: Scheduling
    ) -> None:
        self._plant = plant
        self._parts = parts
        self._tell = tell
        self._utc_ns = utc_ns
        self.scheduling: Scheduling = scheduling
        self._lateness = Histogram()
        self._skipped = 0
        self._cycles = 0
        self._started_ns = utc_ns()
        steps = 1 + len(plant.lines) // UNITS_PER_POST_STEP
        self._post_every_ns = POST_EVERY_NS * steps
        self._posted_ns = 0
        self._cpu_ns = time.process_time_ns()
        self._cpu_pct = 0.0
        self._skipped_at_ns = -OVERLOAD_MEMORY_NS
        self._collected_ns = 0
        self._overloaded = False
        self._rss = open("/proc/self/statm", "rb", buffering=0)  # noqa: SIM115, PTH123 - kept open

    def tick(self, due: Due, orders: Orders | None, now_ns: int) -> None:
        """Note a tick, with the orders of the one before; post when it is time."""
        self._parts.control.beat(now_ns)
        self._lateness.add(due.late_ns)
        counted = sum(1 for line in self._plant.lines if line.session.counters.connects)
        self._cycles += counted * (1 + due.skipped)
        if due.skipped:
            self._skipped += due.skipped
            self._skipped_at_ns = now_ns
            self._tell(f"{due.skipped} ticks skipped: the loop was too late", SITE, 1)
        if now_ns - self._posted_ns >= self._post_every_ns:
            self._post(due, orders, now_ns)
        elif now_ns - self._collected_ns > COLLECT_EVERY_NS:
            self._collected_ns = now_ns
            collect_young()

    def _post(self, due: Due, orders: Orders | None, now_ns: int) -> None:
        cpu_ns = time.process_time_ns()
        self._cpu_pct = 100.0 * (cpu_ns - self._cpu_ns) / max(1, now_ns - self._posted_ns)
        self._cpu_ns = cpu_ns
        self._posted_ns = now_ns
        overloaded = (
            self._cpu_pct > OVERLOAD_CPU_PCT or now_ns - self._skipped_at_ns < OVERLOAD_MEMORY_NS
        )
        if overloaded != self._overloaded:
            self._overloaded = overloaded
            self._tell(
                f"overload {'begins' if overloaded else 'is over'}: {self._cpu_pct:.0f} % CPU, "
                f"{self._skipped} ticks skipped in all",
                SITE,
                1 if overloaded else 0,
            )
        self._parts.control.post(ENCODE(self._status(due, orders, now_ns)))

    def _status(self, due: Due, orders: Orders | None, now_ns: int) -> ControlStatus:
        plant = self._plant
        answer = plant.watch.answer(now_ns)
        decision = orders.decision if orders else None
        limited = decision.limited_by if decision else None
        return ControlStatus(
            pid=os.getpid(),
            started_ns=self._started_ns,
            at_ns=self._utc_ns(),
            tick=due.number,
            missed_ticks=self._skipped,
            samples=self._parts.samples.state.tally,
            frequency_hz=None if math.isnan(answer.frequency_hz) else answer.frequency_hz,
            signal=answer.signal.name.lower(),
            target_w=decision.power_w - orders.unmet_w if orders and decision else 0.0,
            baseline_w=decision.baseline_w if decision else 0.0,
            power_w=orders.measured_w if orders else 0.0,
            reason=decision.reason.name.lower() if decision else "idle",
            limited_by=None if limited is None else limited.name.lower(),
            short_w=decision.short_w + orders.unmet_w if orders and decision else 0.0,
            stopped=self._parts.mailbox.stopped,
            capacities_w=orders.capacities_w if orders else {},
            units=tuple(self._unit(index, now_ns) for index in range(len(plant.lines))),
            lateness_ms=spread(self._lateness),
            spacing_ms=spread(plant.image.spacing),
            cycles=self._cycles,
            cycles_missed=sum(line.session.counters.missed for line in plant.lines),
            cpu_pct=self._cpu_pct,
            rss_mb=self._rss_mb(),
            overloaded=self._overloaded,
            scheduling=self.scheduling,
            dropped_inbound=orders.dropped_inbound if orders else 0,
        )

    def _unit(self, index: int, now_ns: int) -> UnitStatus:
        plant = self._plant
        session = plant.lines[index].session
        counters, reading = session.counters, session.reading
        setpoint_w = plant.image.setpoints_w[index]
        return UnitStatus(
            name=session.name,
            condition=plant.image.conditions[index].name.lower(),
            power_w=reading.power_w if reading else 0.0,
            setpoint_w=None if math.isnan(setpoint_w) else setpoint_w,
            soc=reading.soc if reading else 0.0,
            age_ms=(now_ns - session.measured_at_ns) / 1e6 if reading else -1.0,
            round_trip_ms=session.round_trip_ns / 1e6,
            samples=counters.samples,
            writes=counters.writes,
            missed=counters.missed,
            timeouts=counters.timeouts,
            rejected=counters.rejected,
            stray=counters.late + counters.wrong_unit + counters.garbage,
            connects=counters.connects,
            suppressed=plant.gates[index].suppressed,
        )

    def _rss_mb(self) -> float:
        self._rss.seek(0)
        return int(self._rss.read(64).split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def spread(histogram: Histogram) -> Spread:
    """A histogram as four numbers."""
    q = histogram.quantile_ms
    return Spread(q(0.5), q(0.99), q(0.999), histogram.largest_ns / 1e6)
