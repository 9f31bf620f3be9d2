"""Messages of a source, packed by hand: samples whose numbers follow from their sequence."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from tenhertz.link import VERSION, Kind
from tenhertz.link.schema_pb2 import (
    Ack,
    Batch,
    Birth,
    Column,
    CommandResult,
    Compression,
    Death,
    Downlink,
    Gone,
    Head,
    Number,
    Role,
    Uplink,
)

NOW_NS = 1_800_000_000_000_000_000
STEP_NS = 100_000_000
STREAM = 7
DICTIONARY = 5
POINTS = ("number", "tick", "round_trip_us", "condition", "power_w", "faults")
ENTITIES = ("u1", "u2")
_SIGNS = {Number.I64: "q", Number.U8: "B", Number.F32: "f"}


def birth(
    source: str = "site-1",
    *,
    stream: int = STREAM,
    session: int = 1,
    dictionary: int = DICTIONARY,
    entities: Sequence[str] = ENTITIES,
    points: Sequence[str] = POINTS,
    heads: dict[int, int] | None = None,
) -> bytes:
    """Who speaks and what its numbers mean."""
    message = Birth(
        version=VERSION,
        source=source,
        stream=stream,
        session=session,
        at_ns=NOW_NS,
        entities=entities,
        points=points,
        dictionary=dictionary,
        heads=[Head(kind=kind, next=number) for kind, number in (heads or {}).items()],  # type: ignore[arg-type]
    )
    return Uplink(birth=message).SerializeToString()


def power_of(sequence: int) -> float:
    """What the sample of a sequence number says; exact in float32."""
    return sequence % 100_000 * 0.5


def samples(
    first: int,
    end: int,
    source: str = "site-1",
    *,
    stream: int = STREAM,
    head: int | None = None,
    dictionary: int = DICTIONARY,
    begin_ns: int = NOW_NS - 1000 * STEP_NS,
    bad: Sequence[int] = (),
    version: int = VERSION,
) -> bytes:
    """Samples [first, end) of one unit, 100 ms apart; those in `bad` have a power out of range."""
    numbers = range(first, end)
    columns: list[tuple[int, int, int, list[float]]] = [
        (0, Role.TIME, Number.I64, [number * STEP_NS for number in numbers]),
        (0, Role.POINT, Number.I64, list(numbers)),
        (1, Role.POINT, Number.I64, list(numbers)),
        (2, Role.POINT, Number.I64, [1500] * len(numbers)),
        (3, Role.POINT, Number.U8, [0] * len(numbers)),
        (4, Role.POINT, Number.F32, [1e12 if n in bad else power_of(n) for n in numbers]),
        (5, Role.POINT, Number.I64, [0] * len(numbers)),
    ]
    body = b"".join(
        struct.pack(f"<{len(values)}{_SIGNS[number]}", *values) for *_, number, values in columns
    )
    made = Batch(
        version=version,
        source=source,
        stream=stream,
        dictionary=dictionary,
        kind=Kind.SAMPLE,  # type: ignore[arg-type]
        first=first,
        rows=len(numbers),
        head=end if head is None else head,
        base_time_ns=begin_ns,
        compression=Compression.NONE,
        body_bytes=len(body),
        body=body,
    )
    made.columns.extend(
        Column(point=point, role=role, number=number)  # type: ignore[arg-type]
        for point, role, number, _ in columns
    )
    return Uplink(batch=made).SerializeToString()


def gone(
    first: int, end: int, cause: str = "ring overrun", source: str = "site-1", stream: int = STREAM
) -> bytes:
    """Samples that will never come."""
    message = Gone(
        version=VERSION,
        source=source,
        stream=stream,
        kind=Kind.SAMPLE,  # type: ignore[arg-type]
        first=first,
        end=end,
        cause=cause,
    )
    return Uplink(gone=message).SerializeToString()


def death(source: str = "site-1", session: int = 1) -> bytes:
    """The end of a session."""
    message = Death(version=VERSION, source=source, stream=STREAM, session=session)
    return Uplink(death=message).SerializeToString()


def result(
    source: str = "site-1", *, sequence: int = 1, accepted: bool = True, key: str = "fleet"
) -> bytes:
    """What became of a command."""
    message = CommandResult(
        version=VERSION, source=source, key=key, sequence=sequence, accepted=accepted
    )
    return Uplink(result=message).SerializeToString()


def told(message: bytes) -> str:
    """Which kind of answer a message to a source is."""
    return Downlink.FromString(message).WhichOneof("body") or ""


def held(message: bytes, kind: int = Kind.SAMPLE) -> list[int]:
    """The bounds that an acknowledgement names for a kind."""
    ack: Ack = Downlink.FromString(message).ack
    return [bound for one in ack.held if one.kind == kind for bound in one.bounds]
