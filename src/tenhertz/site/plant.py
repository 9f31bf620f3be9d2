"""What the control process is connected to: the lines to all units, and the frequency.

Built once from the configuration. What it does is said by `control`; here is only what there is.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial

from tenhertz.devices import Line, Session, wiring_for
from tenhertz.grid.signals import load_recording
from tenhertz.site.config import SiteConfig
from tenhertz.site.frequency import FrequencyWatch
from tenhertz.site.gate import SetpointGate
from tenhertz.site.image import Image
from tenhertz.site.record import SITE

# Devices that are connected to at the same time, so that a large site does not flood its network.
CONNECTING_AT_ONCE = 100

Clock = Callable[[], int]
# Tells what happened: the text, the index of the unit (SITE: none), the severity (0 to 2).
Tell = Callable[[str, int, int], None]


class Plant:
    """The units and the frequency source of one site."""

    def __init__(self, config: SiteConfig, clock_ns: Clock, tell: Tell, seed: int) -> None:
        self._clock_ns = clock_ns
        self._tell = tell
        self._random = random.Random(seed)  # noqa: S311 - spreads reconnections, hides nothing
        self._connecting = asyncio.Semaphore(CONNECTING_AT_ONCE)
        self.watch = FrequencyWatch(config.frequency)
        self.image = Image(len(config.unit))
        self.lines = [self._unit_line(config, index) for index in range(len(config.unit))]
        self.gates = [self._gate(config, index) for index in range(len(config.unit))]
        self.image.sessions = [line.session for line in self.lines]
        frequency = config.frequency
        self.meter: Line | None = None
        self._meter_seen = 0
        self._recording = None
        self._recording_starts_ns = clock_ns() - round(frequency.start_s * 1e9)
        if frequency.source == "recording":
            self._recording = load_recording(frequency.recording)
        else:
            wiring = wiring_for(frequency.map, frequency.unit_id, names=("frequency_hz",))
            session = Session("frequency meter", wiring)
            self.meter = self._line(session, frequency.host, frequency.port, SITE)

    def _unit_line(self, config: SiteConfig, index: int) -> Line:
        unit = config.unit[index]
        wiring = wiring_for(unit.map, unit.unit_id)
        session = Session(
            unit.name, wiring, unit.power_kw * 1000, sampled=partial(self.image.note, index)
        )
        return self._line(session, unit.host, unit.port or wiring.timing.port, index)

    def _line(self, session: Session, host: str, port: int, index: int) -> Line:
        return Line(
            session,
            host,
            port,
            clock_ns=self._clock_ns,
            random=self._random.random,
            connecting=self._connecting,
            changed=lambda line, reason: self._line_changed(line, reason, index),
        )

    def _gate(self, config: SiteConfig, index: int) -> SetpointGate:
        gate = config.gate
        # The lease at the device must be renewed well before it ends.
        lease_ns = self.lines[index].session.wiring.lease_ns
        refresh_ns = min(gate.refresh_ms * 1_000_000, lease_ns // 3)
        return SetpointGate(gate.delta * config.unit[index].power_kw * 1000, refresh_ns)

    def _line_changed(self, line: Line, reason: str, index: int) -> None:
        where = f"{line.session.name} ({line.host}:{line.port})"
        if reason:
            self._tell(f"{where} is not reachable: {reason}", index, 1)
        else:
            self._tell(f"{where} is connected", index, 0)
            if index != SITE:
                self.gates[index].forget()

    def start(self) -> list[asyncio.Task[None]]:
        """Begin to connect; the tasks run until they are cancelled."""
        lines = [*self.lines, self.meter] if self.meter else self.lines
        return [asyncio.create_task(line.run()) for line in lines]

    def hear_frequency(self, now_ns: int) -> None:
        """Take the newest frequency, if there is one that was not taken yet."""
        if self._recording is not None:
            elapsed_s = (now_ns - self._recording_starts_ns) / 1e9
            self.watch.measured(self._recording.at(elapsed_s), now_ns)
        elif self.meter is not None:
            session = self.meter.session
            if session.counters.samples != self._meter_seen and session.values is not None:
                self._meter_seen = session.counters.samples
                self.watch.measured(session.values[0], session.measured_at_ns)
