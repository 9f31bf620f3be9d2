"""Everything that can be known to be wrong with a fleet server before it is started."""

from __future__ import annotations

from pathlib import Path

from tenhertz.errors import UserError
from tenhertz.link.signature import load_key
from tenhertz.mqtt import tls_context
from tenhertz.telemetry.config import FleetConfig, load_fleet, store_url
from tenhertz.telemetry.rules import load_rules
from tenhertz.telemetry.web import server_tls


def checked_fleet(path: Path) -> FleetConfig:
    """Read and check a configuration, and the files that it names.

    Raises:
        UserError: the first mistake that was found.
    """
    config = load_fleet(path)
    beside = path.parent
    for source in config.source:
        load_rules(source.rules, beside)
    if config.command is not None:
        load_key(beside / config.command.key_file)
    if config.mqtt is not None:
        tls_context(config.mqtt, beside)
    for listen in (config.http, config.grpc):
        if listen is not None:
            server_tls(listen, beside)
    if config.store.kind == "postgresql":
        store_url(config, path)
    for notify in config.notify:
        if bool(notify.url_env) == bool(notify.url_file):
            raise UserError(f"{path}: a [[notify]] names either url_env or url_file")
    return config
