"""What the processes of a site post on their boards, for screens, tools and the parent."""

from __future__ import annotations

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """A distribution of durations, in ms."""

    p50: float
    p99: float
    p999: float
    max: float


class UnitStatus(msgspec.Struct, frozen=True):
    """One unit, as the control process sees it."""

    name: str
    condition: str
    power_w: float
    setpoint_w: float | None  # None: it follows none now
    soc: float
    age_ms: float  # of the newest sample; -1: none yet
    round_trip_ms: float
    samples: int
    writes: int
    missed: int
    timeouts: int
    rejected: int
    stray: int  # late, wrong-unit or garbage frames
    connects: int
    suppressed: int  # writes that the gate found redundant


class ControlStatus(msgspec.Struct, frozen=True):
    """The control process."""

    pid: int
    started_ns: int  # UTC
    at_ns: int  # UTC
    tick: int
    missed_ticks: int
    samples: int
    frequency_hz: float | None
    signal: str
    target_w: float
    baseline_w: float
    power_w: float
    reason: str
    limited_by: str | None
    short_w: float
    stopped: bool
    capacities_w: dict[str, float]
    units: tuple[UnitStatus, ...]
    lateness_ms: Spread  # of ticks
    spacing_ms: Spread  # between consecutive samples of a unit
    cycles: int  # unit cycles that should have been completed
    cycles_missed: int
    cpu_pct: float
    rss_mb: float
    overloaded: bool
    scheduling: str
    dropped_inbound: int


class GatewayStatus(msgspec.Struct, frozen=True):
    """The gateway process."""

    pid: int
    at_ns: int  # UTC
    stored_rows: int  # samples in the database that were put there since it was made
    lost: int  # samples reported as lost
    backlog: int  # records in the ring that are not stored yet
    failures: int  # transactions that failed
    trouble: str  # why the last one failed; empty when all is well
    database_mb: float


class UplinkStatus(msgspec.Struct, frozen=True):
    """The uplink process; the counts are since it began."""

    pid: int
    at_ns: int  # UTC
    connected: bool  # to the broker
    talking: bool  # the fleet has answered
    trouble: str  # why nothing can be sent; empty when all is well
    waiting_rows: int  # that the fleet does not hold yet
    sent_rows: int
    sent_bytes: int
    held_rows: int  # that the fleet has newly confirmed
    resent_rows: int
    gone_rows: int  # told as lost
    births: int
    round_trip_ms: float  # until the fleet confirms
    window_bytes: int
    commands_accepted: int
    commands_refused: int
    commands_forged: int
    broken_messages: int


class ParentStatus(msgspec.Struct, frozen=True):
    """The parent process."""

    pid: int
    restarts: dict[str, int]  # by child, since this parent began


ENCODE = msgspec.msgpack.Encoder().encode
decode_control = msgspec.msgpack.Decoder(ControlStatus).decode
decode_gateway = msgspec.msgpack.Decoder(GatewayStatus).decode
decode_uplink = msgspec.msgpack.Decoder(UplinkStatus).decode
decode_parent = msgspec.msgpack.Decoder(ParentStatus).decode
