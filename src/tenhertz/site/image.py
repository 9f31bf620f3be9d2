"""The process image: the state of all units, switched all at once when a tick decides.

Between two closings nothing in it changes, so nothing races within a decision.
"""

from __future__ import annotations

import math

from tenhertz.devices import Condition, Session
from tenhertz.site.beat import Histogram
from tenhertz.site.record import Sample, pack_sample


class Image:
    """All units of one site, in the order of the configuration."""

    def __init__(self, sessions: list[Session]) -> None:
        self.sessions = sessions
        self.conditions: list[Condition] = [Condition.ABSENT] * len(sessions)
        self.setpoints_w = [0.0] * len(sessions)
        self.spacing = Histogram()
        self._seen = [0] * len(sessions)
        self._arrived_ns = [0] * len(sessions)

    def close(self, now_ns: int) -> None:
        """Take the condition of every unit as it is now."""
        self.conditions = [session.condition(now_ns) for session in self.sessions]

    def take_samples(self, tick: int, utc_offset_ns: int, number: int) -> list[bytes]:
        """The samples that came since the last call, as ring bodies, numbered after `number`.

        `utc_offset_ns` added to a monotonic instant gives UTC.
        """
        bodies = []
        seen, conditions, setpoints_w = self._seen, self.conditions, self.setpoints_w
        for unit, session in enumerate(self.sessions):
            samples = session.counters.samples
            reading = session.reading
            if samples == seen[unit] or reading is None:
                continue
            seen[unit] = samples
            self._space(unit, session)
            number += 1
            faults = reading.faults
            bodies.append(
                pack_sample(
                    Sample(
                        unit,
                        conditions[unit],
                        min(session.round_trip_ns // 1000, 0xFFFFFFFF),
                        tick,
                        session.measured_at_ns + utc_offset_ns,
                        number,
                        reading.power_w,
                        setpoints_w[unit],
                        reading.soc,
                        reading.charge_limit_w,
                        reading.discharge_limit_w,
                        reading.temperature_c,
                        int(faults) if not math.isnan(faults) else 0,
                    )
                )
            )
        return bodies

    def _space(self, unit: int, session: Session) -> None:
        arrived_ns = session.measured_at_ns + session.round_trip_ns // 2
        last_ns = self._arrived_ns[unit]
        if last_ns:
            self.spacing.add(arrived_ns - last_ns)
        self._arrived_ns[unit] = arrived_ns
