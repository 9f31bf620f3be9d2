"""Which store and sinks a configuration asks for. Their libraries are loaded only where wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tenhertz.errors import UserError
from tenhertz.link import Kind
from tenhertz.link.frame import Frame
from tenhertz.store.contract import FleetStore, Reader, Retention
from tenhertz.telemetry.config import FleetConfig, data_dir, store_url
from tenhertz.telemetry.config import Sink as SinkConfig


def retention_of(config: FleetConfig) -> Retention:
    """How long what is kept."""
    store = config.store
    return Retention(store.retain_days, store.retain_minutes_days, store.compress_after_days)


def open_store(config: FleetConfig, path: Path) -> FleetStore:
    """The writing end of the configured store.

    Raises:
        UserError: it is not described well enough to be opened.
    """
    if config.store.kind == "embedded":
        from tenhertz.store.embedded import EmbeddedStore

        return EmbeddedStore(data_dir(config, path) / "store", retention_of(config))
    from tenhertz.store.postgres import PostgresStore

    return PostgresStore(
        store_url(config, path),
        retention_of(config),
        server_name=config.fleet.server,
        timescale=config.store.timescale,
    )


def open_reader(config: FleetConfig, path: Path) -> Reader:
    """The reading end of the configured store.

    Raises:
        UserError: it is not described well enough to be opened.
        StoreTrouble: it cannot be read now.
    """
    if config.store.kind == "embedded":
        from tenhertz.store.embedded import EmbeddedReader

        return EmbeddedReader(data_dir(config, path) / "store")
    from tenhertz.store.postgres import PostgresReader

    return PostgresReader(store_url(config, path), server_name=config.fleet.server)


class Sink(Protocol):
    """Somewhere else that stored rows go to. Nothing here waits."""

    def offer(self, frames: Sequence[Frame]) -> None:
        """Take frames, or drop the oldest of those that wait, counted."""
        ...

    def counts(self) -> dict[str, int]:
        """What was sent, dropped, and failed."""
        ...

    def close(self) -> None:
        """Send what waits for a short while, then end."""
        ...


class Sinks:
    """All sinks of a server."""

    def __init__(self, sinks: dict[str, Sink], kinds: dict[str, frozenset[Kind]]) -> None:
        """`kinds`: which rows each sink wants."""
        self._sinks = sinks
        self._kinds = kinds

    def offer(self, frames: Sequence[Frame]) -> None:
        """Pass stored frames on to whoever wants them."""
        for name, sink in self._sinks.items():
            wanted = [frame for frame in frames if frame.kind in self._kinds[name]]
            if wanted:
                sink.offer(wanted)

    def counts(self) -> dict[str, dict[str, int]]:
        """The counts of each."""
        return {name: sink.counts() for name, sink in self._sinks.items()}

    def close(self) -> None:
        """End them all."""
        for sink in self._sinks.values():
            sink.close()


def open_sinks(config: FleetConfig, path: Path) -> Sinks:
    """The configured sinks.

    Raises:
        UserError: one cannot be used as described.
    """
    sinks: dict[str, Sink] = {}
    kinds: dict[str, frozenset[Kind]] = {}
    for number, sink in enumerate(config.sink, 1):
        name = f"{sink.kind}-{number}"
        sinks[name] = _open_sink(sink, path.parent)
        kinds[name] = frozenset(Kind[row.upper()] for row in sink.rows)
    return Sinks(sinks, kinds)


def _open_sink(sink: SinkConfig, beside: Path) -> Sink:
    from tenhertz.store.sinks import open_sink

    token = ""
    if sink.token_file:
        file = beside / sink.token_file
        try:
            token = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UserError(f"sink.token_file {file}: {error.strerror}") from error
    return open_sink(
        sink.kind,
        servers=sink.servers,
        url=sink.url,
        database=sink.database,
        token=token,
        listen=sink.listen,
    )
