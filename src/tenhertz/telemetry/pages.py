"""What the server shows over HTTP: is it alive, is it ready, its metrics, its status."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tenhertz.telemetry.lag import LagHistogram
from tenhertz.telemetry.orders import StopOrders
from tenhertz.telemetry.reception import Reception
from tenhertz.telemetry.watch import Watch
from tenhertz.telemetry.web import Page
from tenhertz.telemetry.writer import STATUS_FILE, WriterStatus

_OLD_S = 10.0
_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"


class Lag(msgspec.Struct, frozen=True):
    """Quantiles of a delay in ms; None where nothing was measured."""

    p50: float | None
    p99: float | None


class FleetStatus(msgspec.Struct, frozen=True):
    """How a fleet server stands; the counts are of the ingest process since it began."""

    at_ns: int  # UTC
    pid: int
    ready: bool
    waiting_for: list[str]  # why it is not ready
    sources: int  # alive
    messages: int
    rows: int  # taken in
    numbers: int  # the same, a cell and instant being one
    duplicates: int
    rejected: dict[str, int]
    blanked: dict[str, int]
    malformed: dict[str, int]
    refused: int
    reported_lost: int
    lag_ms: Lag  # from measurement to durable
    alert_lag_ms: Lag
    alerts_raised: dict[str, int]
    alerts_open: dict[str, int]
    alerts_dropped: int
    stops_open: int
    stops_confirmed: int
    stop_slowest_ms: float  # from order to confirmation
    spool_bytes: int
    spool_next: int  # the record that comes next
    writer: WriterStatus | None


class Pages:
    """The pages of one server."""

    def __init__(
        self,
        reception: Reception,
        watch: Watch,
        orders: StopOrders | None,
        folder: Path,
        link_up: Callable[[], bool],
    ) -> None:
        self._reception = reception
        self._watch = watch
        self._orders = orders
        self._folder = folder
        self._link_up = link_up
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        self.by_path: dict[str, Page] = {
            "/live": lambda: (200, _TEXT, "alive\n"),
            "/ready": self._ready,
            "/metrics": lambda: (200, _METRICS, generate_latest(registry).decode()),
            "/status": lambda: (200, _JSON, msgspec.json.encode(self.status()).decode() + "\n"),
        }

    def _ready(self) -> tuple[int, str, str]:
        why = self._waiting_for(self._writer())
        return (503, _TEXT, "\n".join(why) + "\n") if why else (200, _TEXT, "ready\n")

    def _writer(self) -> WriterStatus | None:
        try:
            found = msgspec.json.decode(
                (self._folder / STATUS_FILE).read_bytes(), type=WriterStatus
            )
        except (OSError, msgspec.DecodeError):
            return None
        return found if time.time_ns() - found.at_ns < _OLD_S * 1e9 else None

    def _waiting_for(self, writer: WriterStatus | None) -> list[str]:
        """Why sources should go elsewhere. A store that is down is no reason: the spool holds."""
        why = []
        if not self._link_up():
            why.append("the broker")
        if self._reception.trouble:
            why.append(f"the spool: {self._reception.trouble}")
        if not self._reception.spool.room(0):
            cause = (writer.trouble if writer else "") or "it is slower than what comes in"
            why.append(f"room in the spool; the store: {cause}")
        return why

    def status(self) -> FleetStatus:
        """How the server stands."""
        intake, spool = self._reception.intake, self._reception.spool
        counts, writer = intake.counts, self._writer()
        why = self._waiting_for(writer)
        return FleetStatus(
            time.time_ns(),
            os.getpid(),
            not why,
            why,
            intake.sessions,
            counts.messages,
            counts.rows,
            counts.numbers,
            counts.duplicates,
            dict(counts.rejected),
            dict(counts.blanked),
            dict(counts.malformed),
            counts.refused,
            counts.gone,
            _lag(self._reception.lag),
            _lag(self._watch.lag),
            dict(self._watch.changes),
            self._watch.open_alerts(),
            self._watch.dropped,
            len(self._orders.open) if self._orders else 0,
            self._orders.confirmed if self._orders else 0,
            round(self._orders.slowest_ms, 1) if self._orders else 0.0,
            spool.bytes_held,
            spool.next,
            writer,
        )

    # -- Prometheus ---------------------------------------------------------------------------

    def collect(self) -> Iterator[Metric]:
        """The metrics, as the Prometheus client asks for them."""
        status = self.status()
        totals = (
            ("ingest_messages", "messages received", status.messages),
            ("ingest_rows", "rows taken in", status.rows),
            ("ingest_numbers", "rows taken in, each cell and instant counting", status.numbers),
            ("ingest_duplicates", "rows that came again and were left out", status.duplicates),
            ("ingest_refused_messages", "messages refused: the spool is full", status.refused),
            ("reported_lost_rows", "rows that sources reported as lost", status.reported_lost),
            ("alert_changes_dropped", "changes of alerts not kept", status.alerts_dropped),
            ("stops_confirmed", "stops that sites have confirmed", status.stops_confirmed),
        )
        for name, text, value in totals:
            yield CounterMetricFamily(f"tenhertz_{name}", text, value)
        yield _by("ingest_rejected_rows", "rows rejected", "reason", status.rejected)
        yield _by("ingest_blanked_cells", "single cells rejected", "reason", status.blanked)
        yield _by("ingest_malformed_messages", "messages", "reason", status.malformed)
        yield _by("alerts_raised", "alerts raised", "level", status.alerts_raised)
        levels = ("warning", "critical", "emergency")
        opened = GaugeMetricFamily("tenhertz_alerts_open", "alerts open now", labels=["level"])
        for level in levels:
            opened.add_metric([level], status.alerts_open.get(level, 0))
        yield opened
        gauges = [
            ("ingest_sources", "sources alive", status.sources),
            ("spool_bytes", "bytes that wait for the store", status.spool_bytes),
            ("broker_connected", "whether the broker is connected", int(self._link_up())),
            ("stops_open", "stops that no site has confirmed yet", status.stops_open),
            ("writer_up", "whether the writer tells of itself", int(status.writer is not None)),
        ]
        if status.writer is not None:
            writer = status.writer
            yield CounterMetricFamily("tenhertz_writer_rows", "rows stored", writer.rows)
            yield CounterMetricFamily("tenhertz_writer_failures", "commits", writer.failures)
            behind = max(0, status.spool_next - writer.position)
            gauges += [
                ("writer_trouble", "whether the store takes nothing", int(bool(writer.trouble))),
                ("writer_records_behind", "records that wait for the store", behind),
            ]
            seconds = writer.last_commit_ms / 1000
            yield GaugeMetricFamily("tenhertz_writer_last_commit_seconds", "its time", seconds)
        for name, text, value in gauges:
            yield GaugeMetricFamily(f"tenhertz_{name}", text, value)
        yield _quantiles("ingest_lag_seconds", "from measurement to durable", status.lag_ms)
        yield _quantiles("alert_lag_seconds", "from measurement to alert", status.alert_lag_ms)


def _by(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(f"tenhertz_{name}", text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


def _quantiles(name: str, text: str, lag: Lag) -> Metric:
    family = GaugeMetricFamily(f"tenhertz_{name}", text, labels=["quantile"])
    for quantile, value in (("0.5", lag.p50), ("0.99", lag.p99)):
        if value is not None:
            family.add_metric([quantile], value / 1000)
    return family


def _lag(histogram: LagHistogram) -> Lag:
    return Lag(histogram.quantile_ms(0.5), histogram.quantile_ms(0.99))
