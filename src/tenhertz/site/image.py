"""The process image: the state of all units, switched all at once when a tick decides.

Between two closings nothing in it changes, so nothing races within a decision.
"""

from __future__ import annotations

import math

from tenhertz.devices import Condition, Reading, Session
from tenhertz.site.beat import Histogram
from tenhertz.site.record import Sample, pack_sample


class Image:
    """All units of one site, in the order of the configuration.

    Samples are noted as they arrive, every one, and leave together when a tick is recorded. A
    slow reply and the next quick one may both arrive between two ticks.
    """

    def __init__(self, units: int) -> None:
        self.sessions: list[Session] = []
        self.conditions: list[Condition] = [Condition.ABSENT] * units
        self.setpoints_w = [math.nan] * units  # NaN: the unit follows none
        self.spacing = Histogram()
        self._arrived_ns = [0] * units
        # At most one sample a unit and request, and emptied every tick: bounded by the beat.
        self._noted: list[tuple[int, Reading, int, int]] = []

    def note(self, unit: int, session: Session) -> None:
        """Take the sample that has just arrived."""
        reading = session.reading
        assert reading is not None
        self._noted.append((unit, reading, session.measured_at_ns, session.round_trip_ns))

    def close(self, now_ns: int) -> None:
        """Take the condition of every unit as it is now."""
        self.conditions = [session.condition(now_ns) for session in self.sessions]

    def take_samples(self, tick: int, utc_offset_ns: int, number: int) -> list[bytes]:
        """The samples that came since the last call, as ring bodies, numbered after `number`.

        `utc_offset_ns` added to a monotonic instant gives UTC.
        """
        bodies = []
        conditions, setpoints_w = self.conditions, self.setpoints_w
        for unit, reading, measured_ns, round_trip_ns in self._noted:
            self._space(unit, measured_ns + round_trip_ns // 2)
            number += 1
            faults = reading.faults
            bodies.append(
                pack_sample(
                    Sample(
                        unit,
                        conditions[unit],
                        min(round_trip_ns // 1000, 0xFFFFFFFF),
                        tick,
                        measured_ns + utc_offset_ns,
                        number,
                        reading.power_w,
                        setpoints_w[unit],
                        reading.soc,
                        reading.charge_limit_w,
                        reading.discharge_limit_w,
                        reading.temperature_c,
                        int(faults) if math.isfinite(faults) else 0,
                    )
                )
            )
        self._noted.clear()
        return bodies

    def _space(self, unit: int, arrived_ns: int) -> None:
        last_ns = self._arrived_ns[unit]
        if last_ns:
            self.spacing.add(arrived_ns - last_ns)
        self._arrived_ns[unit] = arrived_ns
