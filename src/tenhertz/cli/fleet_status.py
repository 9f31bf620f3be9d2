"""The status of a running fleet server, asked over its own HTTP port, and how it looks."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path

import msgspec
from rich.table import Table

from tenhertz.cli.fleet_view import console_for_people
from tenhertz.errors import UserError
from tenhertz.lock import is_held
from tenhertz.telemetry.config import FleetConfig, Listen, data_dir
from tenhertz.telemetry.pages import FleetStatus, Lag

ADDRESS_FILE = "addresses.json"
_TIMEOUT_S = 5.0
_LARGEST_BYTES = 4 << 20
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


class _Addresses(msgspec.Struct):
    """Where the ingest process listens."""

    http: tuple[str, int]


def read_status(config: FleetConfig, path: Path) -> FleetStatus:
    """Ask the running server.

    Raises:
        UserError: it does not run here, or does not answer as it should.
    """
    folder, name = data_dir(config, path), config.fleet.server
    try:
        listens, starting = (is_held(folder / f"{who}.lock") for who in ("ingest", "parent"))
    except OSError as error:
        raise UserError(f"{path}: fleet.data_dir {folder}: {error.strerror}") from error
    if not listens:
        raise UserError(
            f"fleet server '{name}' is starting; ask again in a moment"
            if starting
            else f"fleet server '{name}' is not running here; start it with "
            f"'tenhertz fleet serve {path}'"
        )
    try:
        found = msgspec.json.decode((folder / ADDRESS_FILE).read_bytes(), type=_Addresses)
    except (OSError, msgspec.DecodeError):
        raise UserError(f"fleet server '{name}' is starting; ask again in a moment") from None
    host, port = _ANYWHERE.get(found.http[0], found.http[0]), found.http[1]
    try:
        body = _get(host, port, config.http, path.parent)
        return msgspec.json.decode(body, type=FleetStatus)
    except msgspec.DecodeError as error:
        raise UserError(
            f"{host}:{port} gives no status that this version can read ({error}); use the version "
            "that the server runs"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise UserError(
            f"fleet server '{name}' does not answer at {host}:{port}: {str(error) or 'no answer'}"
        ) from error


def _get(host: str, port: int, listen: Listen, beside: Path) -> bytes:
    connection: http.client.HTTPConnection
    if listen.cert_file:
        context = _pinned(beside / listen.cert_file)
        connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/status", headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(_LARGEST_BYTES)
        if answer.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"it answered {answer.status} {answer.reason}")
        return body
    finally:
        connection.close()


def _pinned(cert: Path) -> ssl.SSLContext:
    """Trust the server's own certificate and nothing else; its name does not matter then."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cert)
    except OSError as error:
        raise UserError(f"http.cert_file {cert} cannot be used: {error}") from error
    return context


def status_view(status: FleetStatus) -> None:
    """Print a status for people."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    ready = "ready" if status.ready else f"not ready: {'; '.join(status.waiting_for)}"
    writer = status.writer
    figures = {
        "state": ready,
        "sources alive": str(status.sources),
        "rows taken in": f"{status.rows} ({status.numbers} with each cell counted)",
        "duplicates left out": str(status.duplicates),
        "rejected": _counts(status.rejected),
        "cells blanked": _counts(status.blanked),
        "malformed messages": _counts(status.malformed),
        "messages refused": str(status.refused),
        "rows reported lost": str(status.reported_lost),
        "measured to durable": _lag(status.lag_ms),
        "measured to alert": _lag(status.alert_lag_ms),
        "alerts open": _counts(status.alerts_open),
        "stops unconfirmed": str(status.stops_open),
        "spool": f"{status.spool_bytes / 1e6:.1f} MB",
    }
    if writer is None:
        figures["writer"] = "does not tell of itself"
    else:
        behind = max(0, status.spool_next - writer.position)
        figures["stored rows"] = f"{writer.rows}, {behind} records behind"
        figures["store"] = writer.trouble or f"fine, last commit {writer.last_commit_ms:.0f} ms"
    for name, text in figures.items():
        table.add_row(name, text)
    console_for_people().print(table)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "none"


def _lag(lag: Lag) -> str:
    if lag.p50 is None or lag.p99 is None:
        return "not measured"
    return f"p50 {lag.p50:.0f} ms, p99 {lag.p99:.0f} ms"
