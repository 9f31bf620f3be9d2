"""The gateway process: takes what the control process recorded and puts it where it lasts.

It may stall, fail or die at any time: the ring holds what it has not taken, and the database knows
how far it came. Its queue is the ring; it holds nothing else. Started by the site's parent as

    python -m tenhertz.site.gateway site.toml
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import structlog

from tenhertz.errors import UserError
from tenhertz.lock import held
from tenhertz.log import set_up_log
from tenhertz.site.config import SiteConfig, load_config
from tenhertz.site.metrics import SiteMetrics, serve_metrics
from tenhertz.site.paths import PREDECESSOR_S, Parts, data_dir, open_parts
from tenhertz.site.record import SITE, Event, Sample, Tick, unpack, unpack_event
from tenhertz.site.ring import Batch, Ring
from tenhertz.site.status import ENCODE, GatewayStatus
from tenhertz.store import EventRow, LossRow, SampleRow, SiteStore, StoreTrouble, TickRow
from tenhertz.supervise import die_with_parent, say_ready

MOST_A_BATCH = 20_000
RETAIN_EVERY_S = 30.0
# After the control process has ended, how long to wait for its last words at a clean stop.
LAST_WORDS_S = 1.5
_PAUSES_S = (0.25, 0.5, 1.0, 2.0)
# Why samples are missing where the ring was not overrun.
DIED = "the control process died while it recorded"
UNREADABLE = "unreadable records"
_DAY_NS = 86_400_000_000_000


class Gateway:
    """Drains the rings into the database until told to end."""

    def __init__(self, config: SiteConfig, parts: Parts, path: Path) -> None:
        self._config = config
        self._parts = parts
        self._path = path
        self._names = [unit.name for unit in config.unit]
        self._store: SiteStore | None = None
        self._log = structlog.get_logger("gateway")
        self._ending = threading.Event()
        self._failures = 0
        self._failures_in_a_row = 0
        self._trouble = ""
        self._retained_s = 0.0
        # As the database told last.
        self._sequence = self._stored = self._lost = 0
        self._size_mb = 0.0

    def end(self, _number: int, _frame: FrameType | None) -> None:
        """Ask for the end; a signal handler."""
        self._ending.set()

    def run(self) -> None:
        """Drain until told to end, then until the control process has had its last word."""
        batch_s = self._config.store.batch_ms / 1000
        say_ready()
        while not self._ending.wait(self._pause_s(batch_s)):
            self.turn()
        until_s = time.monotonic() + LAST_WORDS_S
        while time.monotonic() < until_s:
            done = self.turn()
            if done and self._parts.samples.state.closed and self._parts.events.state.closed:
                break
            time.sleep(0.02)
        if self._store is not None:
            self._store.close()

    def _pause_s(self, batch_s: float) -> float:
        if not self._failures_in_a_row:
            return batch_s
        return _PAUSES_S[min(self._failures_in_a_row, len(_PAUSES_S)) - 1]

    def turn(self) -> bool:
        """Move what there is; True if nothing is left."""
        self._parts.gateway.beat(time.monotonic_ns())
        try:
            store = self._opened()
            left = self._move_samples(store) + self._move_events(store)
            self._retain(store)
            self._measure(store)
        except StoreTrouble as trouble:
            self._on_trouble(str(trouble))
            left = 1
        else:
            if self._trouble:
                self._log.info("database takes rows again", after_failures=self._failures_in_a_row)
            self._trouble = ""
            self._failures_in_a_row = 0
        self._post()
        return left == 0

    def _opened(self) -> SiteStore:
        if self._store is None:
            self._store = SiteStore(self._path, self._names, self._config.store.sync)
        return self._store

    def _on_trouble(self, text: str) -> None:
        if self._store is not None:  # whoever mends the file may have replaced it
            self._store.close()
            self._store = None
        if text != self._trouble:
            self._log.warning("database takes no rows; the ring holds them", cause=text)
        self._trouble = text
        self._failures += 1
        self._failures_in_a_row += 1

    # -- samples and ticks --------------------------------------------------------------------

    def _move_samples(self, store: SiteStore) -> int:
        ring = self._parts.samples
        batch, accounted = self._next(store, ring, "samples")
        if not batch.records:  # nothing, or what was overrun a moment ago: told with the next one
            return batch.lost
        samples, ticks = [], []
        losses: list[LossRow] = []
        epoch = ring.state.epoch
        taken = accounted
        unreadable = 0
        cause = "ring overrun" if batch.lost else DIED
        for body in batch.records:
            try:
                record = unpack(body)
            except ValueError:
                unreadable += 1
                cause = UNREADABLE
                continue
            if isinstance(record, Sample):
                missing, taken = record.number - taken - 1, record.number
                samples.append(_sample_row(record))
            else:
                missing, taken = record.number - taken, record.number
                ticks.append(_tick_row(record))
            if missing:
                losses.append(LossRow(time.time_ns(), epoch, missing, cause))
            cause = DIED
        end = batch.first + len(batch.records)
        told = self._unreadable(unreadable)
        store.put("samples", (epoch, end, taken), samples, ticks, told, losses)
        for event in told:
            self._log.error(event.text)
        for loss in losses:
            self._log.error("samples lost", samples=loss.samples, cause=loss.cause)
        return ring.state.written - end

    @staticmethod
    def _unreadable(count: int) -> list[EventRow]:
        """What to tell of records that another version wrote: they would stay so for ever."""
        if not count:
            return []
        text = f"{count} records of the ring skipped: their kind is unknown to this version"
        return [EventRow(time.time_ns(), None, 2, text)]

    def _next(self, store: SiteStore, ring: Ring, name: str) -> tuple[Batch, int]:
        epoch, sequence, accounted = store.position(name)
        if epoch != ring.state.epoch:  # another ring: the machine or the layout changed
            sequence = accounted = 0
        return ring.read(sequence, MOST_A_BATCH), accounted

    # -- events -------------------------------------------------------------------------------

    def _move_events(self, store: SiteStore) -> int:
        ring = self._parts.events
        batch, _ = self._next(store, ring, "events")
        if not batch.records:
            return batch.lost
        events = [unpack_event(body) for body in batch.records]
        if batch.lost:
            text = f"{batch.lost} events were lost: the gateway was away for too long"
            events.insert(0, Event(time.time_ns(), SITE, 1, text))
        end = batch.first + len(batch.records)
        rows = [EventRow(e.at_ns, None if e.unit == SITE else e.unit, *e[2:]) for e in events]
        store.put("events", (ring.state.epoch, end, 0), events=rows)
        for event in events:
            tell = (self._log.info, self._log.warning, self._log.error)[min(event.severity, 2)]
            tell(event.text)
        return ring.state.written - end

    # -- upkeep -------------------------------------------------------------------------------

    def _retain(self, store: SiteStore) -> None:
        now_s = time.monotonic()
        if now_s - self._retained_s < RETAIN_EVERY_S:
            return
        keep = self._config.store
        now_ns = time.time_ns()
        deleted = store.retain(now_ns - int(keep.retain_days * _DAY_NS), keep.largest_mb, now_ns)
        if not deleted:  # else go on at the next turn, a piece at a time
            self._retained_s = now_s

    def _measure(self, store: SiteStore) -> None:
        epoch, self._sequence, _ = store.position("samples")
        if epoch != self._parts.samples.state.epoch:
            self._sequence = 0
        self._stored, self._lost = store.totals("samples")
        self._size_mb = store.size_mb

    def _post(self) -> None:
        status = GatewayStatus(
            os.getpid(),
            time.time_ns(),
            self._stored,
            self._lost,
            self._parts.samples.state.written - self._sequence,
            self._failures,
            self._trouble,
            self._size_mb,
        )
        self._parts.gateway.post(ENCODE(status))


def _sample_row(record: Sample) -> SampleRow:
    return SampleRow(
        record.number,
        record.unit,
        record.tick,
        record.measured_at_ns,
        record.round_trip_us,
        record.condition,
        record.power_w,
        record.setpoint_w,
        record.soc,
        record.charge_limit_w,
        record.discharge_limit_w,
        record.temperature_c,
        record.faults,
    )


def _tick_row(record: Tick) -> TickRow:
    return TickRow(
        record.at_ns,
        record.tick,
        record.late_us,
        record.reason,
        record.units,
        None if math.isnan(record.frequency_hz) else record.frequency_hz,
        record.target_w,
        record.baseline_w,
        record.power_w,
    )


def main(argv: list[str]) -> int:
    """Run the gateway process of the site in `argv[1]`."""
    set_up_log()
    config_path = Path(argv[1])
    config = load_config(config_path)
    parts = open_parts(config, create=False)
    gateway = Gateway(config, parts, data_dir(config, config_path) / config.store.file)
    signal.signal(signal.SIGTERM, gateway.end)
    signal.signal(signal.SIGINT, gateway.end)
    die_with_parent()
    # Two gateways would store the same records twice.
    with held(parts.folder / "gateway.lock", "the gateway process", PREDECESSOR_S):
        if config.metrics is not None:
            host, _, port = config.metrics.listen.rpartition(":")
            metrics = SiteMetrics(parts, sends=config.uplink is not None)
            try:
                serve_metrics(host.strip("[]"), int(port), metrics)
            except UserError as mistake:  # no reason to store nothing
                structlog.get_logger("gateway").error(str(mistake))
        gateway.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
