"""The fleet server's configuration: what stands in `fleet.toml`, and what it may be.

See docs/fleet-configuration.md.
"""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tenhertz.errors import UserError
from tenhertz.mqtt import Broker, is_loopback
from tenhertz.toml import read_toml

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Partition = Annotated[int, Meta(ge=0, le=63)]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file: complete, or an error."""


class Fleet(_Table, frozen=True):
    """[fleet]: what it is called and where this server keeps its things."""

    name: str
    data_dir: str = "var"  # relative to the file
    server: str = "server-1"  # of several servers, each has its own name and data_dir


class Mqtt(Broker, frozen=True):
    """[mqtt]: the broker; without this table none is used."""

    # Servers of the same group share what arrives; each partition should belong to one server.
    group: str = "ingest"
    partitions: tuple[Partition, ...] = ()  # default: all


class Listen(_Table, frozen=True):
    """[http] and [grpc]: where this server listens."""

    listen: str  # host:port; port 0 takes a free one
    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""  # ask for client certificates of this authority


class Source(_Table, frozen=True):
    """[[source]]: who may send, and what watches over it. The first that matches counts."""

    match: str  # a name, or a pattern such as home-*
    rules: tuple[str, ...] = ()  # lfp, nmc, container, or files
    # For gRPC and WebSocket: the SHA-256 of a token, in hex; without one they are refused.
    token_sha256: str = ""


class Store(_Table, frozen=True):
    """[store]: where samples rest."""

    kind: Literal["embedded", "postgresql"] = "embedded"
    url_env: str = "TENHERTZ_STORE_URL"  # the environment variable that holds the URL
    url_file: str = ""  # or a file that does
    commit_s: Positive = 1.0  # what is durable in the spool is stored within about this time
    retain_days: Positive | None = 90.0  # every sample; absent from the file: 90 days
    retain_minutes_days: Positive | None = 730.0
    compress_after_days: Positive = 30.0
    timescale: bool = True  # where the server has it


class Spool(_Table, frozen=True):
    """[spool]: how much may wait for the store."""

    largest_mb: Positive = 8192.0
    sync_ms: Annotated[int, Meta(ge=1, le=1000)] = 20


class Validate(_Table, frozen=True):
    """[validate]: which instants are believed."""

    future_s: Positive = 300.0
    too_old_days: Positive = 30.0


class Command(_Table, frozen=True):
    """[command]: the key that signs; without this table the server orders no stops."""

    key_file: str
    key_name: str = "fleet"


class Notify(_Table, frozen=True):
    """[[notify]]: who hears of alerts."""

    # An address as apprise writes them; kept out of this file, because it holds secrets.
    url_env: str = ""
    url_file: str = ""
    levels: tuple[Literal["warning", "critical", "emergency"], ...] = ("critical", "emergency")


class Sink(_Table, frozen=True):
    """[[sink]]: where stored rows go besides."""

    kind: Literal["kafka", "influxdb", "prometheus"]
    servers: str = ""  # Kafka: host:port, ...
    url: str = ""  # InfluxDB: http://host:8086
    database: str = "tenhertz"
    token_file: str = ""
    listen: str = "127.0.0.1:9464"  # Prometheus
    rows: tuple[Literal["sample", "tick", "event", "loss", "cell"], ...] = ("sample", "tick")


class FleetConfig(_Table, frozen=True):
    """A whole `fleet.toml`."""

    fleet: Fleet
    source: tuple[Source, ...]
    http: Listen = Listen("127.0.0.1:8071")
    mqtt: Mqtt | None = None
    grpc: Listen | None = None
    store: Store = Store()
    spool: Spool = Spool()
    validate: Validate = Validate()
    command: Command | None = None
    notify: tuple[Notify, ...] = ()
    sink: tuple[Sink, ...] = ()

    def source_of(self, name: str) -> Source | None:
        """The table that a source falls under."""
        for source in self.source:
            if source.match == name or fnmatchcase(name, source.match):
                return source
        return None


def load_fleet(path: Path) -> FleetConfig:
    """Read and check a fleet's configuration.

    Raises:
        UserError: a mistake in the file; the sentence names file, place and remedy.
    """
    config = read_toml(path, FleetConfig)
    for mistake in _mistakes(config):
        raise UserError(f"{path}: {mistake}")
    return config


def data_dir(config: FleetConfig, path: Path) -> Path:
    """Where the server keeps its things."""
    return (path.parent / config.fleet.data_dir).resolve()


def store_url(config: FleetConfig, path: Path) -> str:
    """The URL of the database.

    Raises:
        UserError: neither the file nor the environment tells.
    """
    store = config.store
    if store.url_file:
        file = path.parent / store.url_file
        try:
            return file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UserError(f"{path}: store.url_file {file}: {error.strerror}") from error
    url = os.environ.get(store.url_env, "")
    if not url:
        raise UserError(
            f"{path}: store.kind is 'postgresql', but {store.url_env} is not set in the "
            "environment; set it to postgresql://user@host/database, or name store.url_file"
        )
    return url


def address(listen: str) -> tuple[str, int]:
    """Host and port of a `listen` key that was checked."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def _mistakes(config: FleetConfig) -> list[str]:
    mistakes = []
    for key, name in (("name", config.fleet.name), ("server", config.fleet.server)):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", name):
            mistakes.append(
                f"fleet.{key} '{name}' may hold up to 63 letters, digits, '.', '_' and '-', and "
                "begins with a letter or digit; change it"
            )
    if not config.source:
        mistakes.append('there is no [[source]]; name who may send, such as match = "*"')
    if config.mqtt is None and config.grpc is None and config.http.listen == "":
        mistakes.append("nothing can arrive: add [mqtt], [grpc] or http.listen")
    mistakes += [
        f"source '{source.match}': token_sha256 must be 64 hexadecimal digits; make it with "
        "'tenhertz fleet token'"
        for source in config.source
        if source.token_sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", source.token_sha256)
    ]
    for name, listen in (("http", config.http), ("grpc", config.grpc)):
        if listen is not None:
            mistakes += _listen_mistakes(name, listen)
    return mistakes


def _listen_mistakes(name: str, listen: Listen) -> list[str]:
    host, colon, port = listen.listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535 or not host:
        return [f"{name}.listen '{listen.listen}' must be host:port, such as 127.0.0.1:8071"]
    if bool(listen.cert_file) != bool(listen.key_file):
        return [f"{name}: cert_file and key_file go together; name both or none"]
    if not is_loopback(host.strip("[]")) and not listen.cert_file:
        exposed = f"{name}.listen {listen.listen} can be reached from elsewhere"
        return [f"{exposed}, but has no {name}.cert_file; add a certificate or listen on 127.0.0.1"]
    return []
