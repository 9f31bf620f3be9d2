"""Where stored rows go besides: Kafka, InfluxDB's line protocol, Prometheus.

A sink is a copy and never holds up the store: what it cannot send in time it drops, counted.
Their libraries are loaded only where wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tenhertz.errors import UserError
from tenhertz.link.frame import Frame


class Sink(Protocol):
    """What every sink does. Nothing here waits but `close`."""

    def offer(self, frames: Sequence[Frame]) -> None:
        """Take frames, or drop the oldest of those that wait, counted."""
        ...

    def counts(self) -> dict[str, int]:
        """sent_rows, dropped_rows, refused_rows, waiting_rows and failures."""
        ...

    def close(self) -> None:
        """Send what waits for two seconds at most, then end."""
        ...


def open_sink(kind: str, *, servers: str, url: str, database: str, token: str, listen: str) -> Sink:
    """A sink by its kind. Kafka takes `token` as the lines of a client's properties file.

    Raises:
        UserError: it cannot be used as described.
    """
    if kind == "kafka":
        from tenhertz.store.sinks.courier import Courier
        from tenhertz.store.sinks.kafka import KafkaCarrier, settings_of

        return Courier(kind, KafkaCarrier(servers, database, settings_of(token)))
    if kind == "influxdb":
        from tenhertz.store.sinks.courier import Courier
        from tenhertz.store.sinks.influxdb import LineCarrier

        return Courier(kind, LineCarrier(url, database, token))
    if kind == "prometheus":
        from tenhertz.store.sinks.prometheus import PrometheusSink

        return PrometheusSink(listen)
    raise UserError(f"sink: there is no kind '{kind}'; choose kafka, influxdb or prometheus")
