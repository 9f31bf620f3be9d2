"""The site's configuration: what stands in `site.toml`, and what it may be.

Powers are in kW and energies in kWh, as people write them; everything inside the program is in W
and Wh. See docs/site-configuration.md.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tenhertz.devices import RegisterMap, load_map
from tenhertz.errors import UserError
from tenhertz.grid import DroopProduct, load_profile
from tenhertz.grid.signals import recording_names
from tenhertz.link.signature import parse_public
from tenhertz.mqtt import Broker
from tenhertz.toml import read_toml

Port = Annotated[int, Meta(ge=1, le=65535)]
UnitId = Annotated[int, Meta(ge=0, le=255)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file: complete, or an error."""


class Site(_Table, frozen=True):
    """[site]: what it is called and where it keeps its things."""

    name: str
    data_dir: str = "var"  # relative to the file
    runtime_dir: str = ""  # shared memory; empty: a private folder of the user
    export_limit_kw: NotNegative | None = None  # what the connection may feed into the grid
    import_limit_kw: NotNegative | None = None


class Control(_Table, frozen=True):
    """[control]: the beat."""

    period_ms: Annotated[int, Meta(ge=20, le=10_000)] = 100
    late_ticks: Literal["skip", "resync"] = "skip"
    decide_after: Annotated[float, Meta(gt=0, lt=1)] = 0.5  # of the period, after the sampling
    spread_over_units: Count = 64  # more units than this are sampled in several slots
    hung_after_ms: Annotated[int, Meta(ge=500)] = 2000  # then the parent replaces the process
    # Which scheduling to ask the kernel for; what it refuses falls back to the next.
    scheduling: Literal["auto", "fifo", "nice", "normal"] = "auto"


class Frequency(_Table, frozen=True):
    """[frequency]: where the grid's frequency comes from, and what happens without it."""

    source: Literal["meter", "recording"]
    host: str = ""
    port: Port = 502
    unit_id: UnitId = 1
    map: str = "frequency-meter"
    recording: str = ""
    start_s: NotNegative = 0.0
    lost_after_ms: Annotated[int, Meta(ge=100)] = 500
    on_loss: Literal["hold-then-baseline", "baseline", "stop"] = "hold-then-baseline"
    hold_s: NotNegative = 5.0
    ramp_s: Positive = 10.0
    lowest_hz: Positive = 45.0  # outside these the signal is not the grid's frequency
    highest_hz: Positive = 55.0


class Unit(_Table, frozen=True):
    """[[unit]]: one battery."""

    name: str
    host: str
    power_kw: Positive
    energy_kwh: Positive
    port: Port | None = None  # default: the map's
    unit_id: UnitId | None = None
    map: str = "generic-container"


class Contract(_Table, frozen=True):
    """[[contract]]: what the site owes the grid, and when."""

    product: Literal["fcr-n", "fcr-d-up", "fcr-d-down", "ffr", "fcr"]
    capacity_kw: Positive
    start: datetime | None = None  # default: since ever
    end: datetime | None = None  # default: for ever


class Reserves(_Table, frozen=True):
    """[reserves]: the edition of the rules, and energy management."""

    profile: str = "nordic-1.1"
    baseline_kw: float = 0.0
    limited_energy: bool = True  # NEM and AEM for a limited energy reservoir
    ffr_trigger_hz: Positive = 49.5  # one of the profile's triggers
    ffr_deactivation_per_s: Annotated[float, Meta(gt=0, le=1)] = 0.2  # of the capacity


class Gate(_Table, frozen=True):
    """[gate]: which setpoints are worth a write."""

    delta: Annotated[float, Meta(ge=0, le=1)] = 0.001  # of the unit's power
    refresh_ms: Annotated[int, Meta(ge=20)] = (
        1000  # renew the lease at the unit at least this often
    )


class Ring(_Table, frozen=True):
    """[ring]: how long the control process can do without the gateway."""

    hold_s: Positive = 600.0
    largest_mb: Positive = 64.0


class Store(_Table, frozen=True):
    """[store]: what is kept of the samples."""

    file: str = "samples.sqlite"  # in site.data_dir
    batch_ms: Annotated[int, Meta(ge=10)] = 250
    retain_days: Positive = 14.0  # the TSOs ask for at least 14
    largest_mb: Positive = 8192.0
    sync: Literal["full", "normal"] = "full"  # full: what is committed survives a power cut


class UplinkTable(Broker, frozen=True):
    """[uplink]: the fleet's broker; without this table nothing leaves the site."""

    fleet: str = ""  # the fleet's name, as in its own configuration
    # How much of what may be under way is for rows that are not new.
    backlog_share: Annotated[float, Meta(gt=0, le=1)] = 0.7
    # Whose commands are obeyed: public keys by name, as 'tenhertz fleet key' prints them.
    trusted_keys: dict[str, str] = msgspec.field(default_factory=dict)


class Metrics(_Table, frozen=True):
    """[metrics]: pages for Prometheus and health checks; without this table there are none."""

    listen: str = (
        "127.0.0.1:9110"  # host:port; without TLS: beyond this machine put a proxy before it
    )


class SiteConfig(_Table, frozen=True):
    """A whole `site.toml`."""

    site: Site
    frequency: Frequency
    unit: tuple[Unit, ...]
    contract: tuple[Contract, ...] = ()
    control: Control = Control()
    reserves: Reserves = Reserves()
    gate: Gate = Gate()
    ring: Ring = Ring()
    store: Store = Store()
    uplink: UplinkTable | None = None
    metrics: Metrics | None = None


def load_config(path: Path) -> SiteConfig:
    """Read and check a site's configuration.

    Raises:
        UserError: a mistake in the file; the sentence names file, place and remedy.
    """
    config = read_toml(path, SiteConfig)
    for mistake in _mistakes(config):
        raise UserError(f"{path}: {mistake}")
    return config


def unit_map(unit: Unit) -> RegisterMap:
    """The register map of a unit."""
    return load_map(unit.map)


def _mistakes(config: SiteConfig) -> list[str]:
    mistakes = []
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", config.site.name):
        mistakes.append(
            f"site.name '{config.site.name}' may hold up to 63 letters, digits, '.', '_' and '-', "
            "and begins with a letter or digit; change it"
        )
    if config.site.runtime_dir and not Path(config.site.runtime_dir).is_absolute():
        mistakes.append(
            f"site.runtime_dir '{config.site.runtime_dir}' must be a whole path, from '/' on, so "
            "that every process finds it; change it"
        )
    if not config.unit:
        mistakes.append("there is no [[unit]]; name at least one battery")
    names: set[str] = set()
    for unit in config.unit:
        if unit.name in names:
            mistakes.append(f"two units are called '{unit.name}'; rename one of them")
        names.add(unit.name)
        if not unit.name.strip():
            mistakes.append("a unit has an empty name; give it one")
        if not unit.host:
            mistakes.append(f"unit '{unit.name}' has an empty host; give its name or address")
    if Path(config.store.file).name in ("", ".."):
        mistakes.append("store.file must name a file; change it")
    mistakes += _device_mistakes(config)
    mistakes += _frequency_mistakes(config.frequency)
    mistakes += _timing_mistakes(config)
    mistakes += _contract_mistakes(config)
    if config.uplink is not None:
        mistakes += _uplink_mistakes(config.uplink)
    if config.metrics is not None:
        mistakes += _metrics_mistakes(config.metrics)
    return mistakes


def _uplink_mistakes(uplink: UplinkTable) -> list[str]:
    mistakes = []
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", uplink.fleet):
        mistakes.append(
            f"uplink.fleet '{uplink.fleet}' must be the fleet's name: up to 63 letters, digits, "
            "'.', '_' and '-'; change it"
        )
    for name, text in uplink.trusted_keys.items():
        try:
            parse_public(text)
        except ValueError:
            mistakes.append(
                f"uplink.trusted_keys.{name} is not a public key; copy what 'tenhertz fleet key' "
                "printed"
            )
    return mistakes


def _metrics_mistakes(metrics: Metrics) -> list[str]:
    host, _, port = metrics.listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        return [f"metrics.listen '{metrics.listen}' must be host:port, such as 127.0.0.1:9110"]
    return []


def _device_mistakes(config: SiteConfig) -> list[str]:
    mistakes = []
    devices: dict[tuple[str, int, int], str] = {}
    maps: dict[str, RegisterMap] = {}
    for unit in config.unit:
        try:
            found = maps.get(unit.map) or maps.setdefault(unit.map, unit_map(unit))
        except UserError as error:
            mistakes.append(f"unit '{unit.name}': {error}")
            continue
        if found.control is None:
            mistakes.append(
                f"unit '{unit.name}': the map '{unit.map}' has no [control] table, so the unit "
                "cannot be a battery; name another map"
            )
        unit_id = found.timing.unit_id if unit.unit_id is None else unit.unit_id
        device = (unit.host, unit.port or found.timing.port, unit_id)
        if device in devices:
            mistakes.append(
                f"units '{devices[device]}' and '{unit.name}' are the same device "
                f"({unit.host}:{device[1]}, unit id {unit_id}); change one of them"
            )
        devices[device] = unit.name
    return mistakes


def _timing_mistakes(config: SiteConfig) -> list[str]:
    mistakes = []
    period_ms = config.control.period_ms
    for name, value_ms, least_ms in (
        ("control.hung_after_ms", config.control.hung_after_ms, 3 * period_ms),
        ("frequency.lost_after_ms", config.frequency.lost_after_ms, 2 * period_ms),
    ):
        if value_ms < least_ms:
            mistakes.append(
                f"{name} is {value_ms}, too short for a period of {period_ms} ms; set it to "
                f"{least_ms} or more"
            )
    return mistakes


def _frequency_mistakes(frequency: Frequency) -> list[str]:
    mistakes = []
    if frequency.source == "meter" and not frequency.host:
        mistakes.append("frequency.source is 'meter': name its host in frequency.host")
    if frequency.source == "recording" and not frequency.recording:
        mistakes.append("frequency.source is 'recording': name it in frequency.recording")
    if frequency.lowest_hz >= frequency.highest_hz:
        mistakes.append(
            f"frequency.lowest_hz ({frequency.lowest_hz:g}) must be below frequency.highest_hz "
            f"({frequency.highest_hz:g}); change one of them"
        )
    if frequency.source == "meter":
        return mistakes + _meter_mistakes(frequency.map)
    known = recording_names()
    name = frequency.recording
    if name and name not in known and not Path(name).is_file():
        mistakes.append(
            f"frequency.recording '{name}' is neither a file nor one of: {', '.join(known)}; "
            "change it"
        )
    return mistakes


def _meter_mistakes(name: str) -> list[str]:
    try:
        found = load_map(name)
    except UserError as error:
        return [f"frequency.map: {error}"]
    if "frequency_hz" in found.points:
        return []
    return [f"frequency.map '{name}' has no point 'frequency_hz'; name another map"]


def _contract_mistakes(config: SiteConfig) -> list[str]:
    mistakes = []
    for number, contract in enumerate(config.contract, 1):
        for name, instant in (("start", contract.start), ("end", contract.end)):
            if instant is not None and instant.tzinfo is None:
                mistakes.append(
                    f"contract {number}: {name} {instant} has no time zone; add Z or an offset "
                    "such as +02:00 to it"
                )
                return mistakes
        if contract.start and contract.end and contract.end <= contract.start:
            mistakes.append(
                f"contract {number} ends ({contract.end}) before it starts ({contract.start}); "
                "change one of them"
            )
    return mistakes + _profile_mistakes(config)


def _profile_mistakes(config: SiteConfig) -> list[str]:
    mistakes = []
    try:
        profile = load_profile(config.reserves.profile)
    except UserError as error:
        return [f"reserves.profile: {error}"]
    for number, contract in enumerate(config.contract, 1):
        try:
            product = profile.product(contract.product)
        except UserError as error:
            mistakes.append(f"contract {number}: {error}")
            continue
        if (
            config.reserves.limited_energy
            and isinstance(product, DroopProduct)
            and product.energy_management is None
        ):
            mistakes.append(
                f"contract {number}: profile '{config.reserves.profile}' has no energy management "
                f"for '{contract.product}'; set reserves.limited_energy = false"
            )
    return mistakes
