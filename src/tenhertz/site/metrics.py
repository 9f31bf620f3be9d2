"""The site over HTTP: `/metrics` for Prometheus, `/live` and `/ready` for whoever runs it.

Served by a thread of the gateway process from the boards in shared memory: the control process does
not know that anybody looks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tenhertz.errors import UserError
from tenhertz.site.paths import Parts
from tenhertz.site.status import decode_control, decode_gateway, decode_uplink

_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
# A control process beats with every tick; one that has not for this long does not control.
_BEAT_S = 2.0
_TIMEOUT_S = 5.0


class SiteMetrics:
    """What the boards say, as Prometheus asks for it."""

    def __init__(self, parts: Parts, *, sends: bool) -> None:
        """`sends`: whether the site has an uplink."""
        self._parts = parts
        self._sends = sends

    @property
    def beating(self) -> bool:
        """Whether the control process keeps its beat."""
        return time.monotonic_ns() - self._parts.control.heartbeat[1] < _BEAT_S * 1e9

    def collect(self) -> Iterator[Metric]:
        """All metrics that can be told now."""
        yield _gauge("control_beating", "whether the control process keeps its beat", self.beating)
        notice = self._parts.control.read()
        if notice:
            control = decode_control(notice)
            late = GaugeMetricFamily(
                "tenhertz_site_late_seconds", "how late ticks are", labels=["quantile"]
            )
            for quantile, value in (
                ("0.5", control.lateness_ms.p50),
                ("0.99", control.lateness_ms.p99),
                ("0.999", control.lateness_ms.p999),
            ):
                late.add_metric([quantile], value / 1000)
            yield late
            yield _gauge("power_watts", "delivered, positive feeds the grid", control.power_w)
            yield _gauge("target_watts", "decided", control.target_w)
            if control.frequency_hz is not None:
                yield _gauge("frequency_hz", "measured", control.frequency_hz)
            yield _gauge("stopped", "whether a stop holds", control.stopped)
            yield _counter("samples", "taken", control.samples)
            yield _counter("missed_ticks", "ticks skipped", control.missed_ticks)
            yield _counter("cycles_missed", "of units", control.cycles_missed)
        notice = self._parts.gateway.read()
        if notice:
            gateway = decode_gateway(notice)
            yield _counter("stored_samples", "in the database", gateway.stored_rows)
            yield _counter("lost_samples", "reported as lost", gateway.lost)
            yield _gauge("ring_backlog_records", "that wait for the database", gateway.backlog)
            yield _gauge("store_trouble", "whether it takes no rows", bool(gateway.trouble))
        notice = self._parts.uplink.read() if self._sends else b""
        if notice:
            uplink = decode_uplink(notice)
            yield _gauge("uplink_connected", "whether the fleet answers", uplink.talking)
            waiting = uplink.waiting_rows
            yield _gauge("uplink_backlog_rows", "that the fleet does not hold yet", waiting)
            yield _gauge("uplink_round_trip_seconds", "until held", uplink.round_trip_ms / 1000)
            yield _counter("uplink_sent_rows", "sent", uplink.sent_rows)
            yield _counter("uplink_sent_bytes", "sent", uplink.sent_bytes)
            yield _counter("uplink_gone_rows", "told as lost", uplink.gone_rows)
            yield _counter("commands_accepted", "of the fleet", uplink.commands_accepted)
            yield _counter("commands_refused", "of the fleet", uplink.commands_refused)
            yield _counter("commands_forged", "signed by no trusted key", uplink.commands_forged)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tenhertz_site_{name}", text, float(value))


def _counter(name: str, text: str, value: int) -> Metric:
    return CounterMetricFamily(f"tenhertz_site_{name}", text, value)


def serve_metrics(host: str, port: int, metrics: SiteMetrics) -> ThreadingHTTPServer:
    """Listen, and answer in threads until `shutdown`.

    Raises:
        UserError: the address cannot be listened on.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)

    class Page(BaseHTTPRequestHandler):
        timeout = _TIMEOUT_S

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, _METRICS, generate_latest(registry))
            elif self.path == "/live":
                self._answer(200, _TEXT, b"alive\n")
            elif self.path == "/ready" and metrics.beating:
                self._answer(200, _TEXT, b"ready\n")
            elif self.path == "/ready":
                self._answer(503, _TEXT, b"the control process does not keep its beat\n")
            else:
                self._answer(404, _TEXT, b"there is no such page\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing: somebody asks every few seconds."""

    try:
        server = ThreadingHTTPServer((host, port), Page)
    except OSError as error:
        raise UserError(f"metrics.listen {host}:{port}: {error.strerror}") from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
