from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    SAMPLE: _ClassVar[Kind]
    TICK: _ClassVar[Kind]
    EVENT: _ClassVar[Kind]
    LOSS: _ClassVar[Kind]
    CELL: _ClassVar[Kind]

class Compression(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NONE: _ClassVar[Compression]
    ZLIB: _ClassVar[Compression]
    ZSTD: _ClassVar[Compression]

class Number(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NUMBER_UNSPECIFIED: _ClassVar[Number]
    I8: _ClassVar[Number]
    I16: _ClassVar[Number]
    I32: _ClassVar[Number]
    I64: _ClassVar[Number]
    U8: _ClassVar[Number]
    U16: _ClassVar[Number]
    U32: _ClassVar[Number]
    U64: _ClassVar[Number]
    F32: _ClassVar[Number]
    F64: _ClassVar[Number]
    TEXT: _ClassVar[Number]

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POINT: _ClassVar[Role]
    TIME: _ClassVar[Role]
    ENTITY: _ClassVar[Role]
KIND_UNSPECIFIED: Kind
SAMPLE: Kind
TICK: Kind
EVENT: Kind
LOSS: Kind
CELL: Kind
NONE: Compression
ZLIB: Compression
ZSTD: Compression
NUMBER_UNSPECIFIED: Number
I8: Number
I16: Number
I32: Number
I64: Number
U8: Number
U16: Number
U32: Number
U64: Number
F32: Number
F64: Number
TEXT: Number
POINT: Role
TIME: Role
ENTITY: Role

class Uplink(_message.Message):
    __slots__ = ("birth", "batch", "death", "gone", "result")
    BIRTH_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    DEATH_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    birth: Birth
    batch: Batch
    death: Death
    gone: Gone
    result: CommandResult
    def __init__(self, birth: _Optional[_Union[Birth, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., death: _Optional[_Union[Death, _Mapping]] = ..., gone: _Optional[_Union[Gone, _Mapping]] = ..., result: _Optional[_Union[CommandResult, _Mapping]] = ...) -> None: ...

class Downlink(_message.Message):
    __slots__ = ("ack", "command", "rebirth")
    ACK_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    REBIRTH_FIELD_NUMBER: _ClassVar[int]
    ack: Ack
    command: SignedCommand
    rebirth: Rebirth
    def __init__(self, ack: _Optional[_Union[Ack, _Mapping]] = ..., command: _Optional[_Union[SignedCommand, _Mapping]] = ..., rebirth: _Optional[_Union[Rebirth, _Mapping]] = ...) -> None: ...

class Birth(_message.Message):
    __slots__ = ("version", "source", "stream", "session", "at_ns", "entities", "points", "dictionary", "heads", "software")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    DICTIONARY_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    version: int
    source: str
    stream: int
    session: int
    at_ns: int
    entities: _containers.RepeatedScalarFieldContainer[str]
    points: _containers.RepeatedScalarFieldContainer[str]
    dictionary: int
    heads: _containers.RepeatedCompositeFieldContainer[Head]
    software: str
    def __init__(self, version: _Optional[int] = ..., source: _Optional[str] = ..., stream: _Optional[int] = ..., session: _Optional[int] = ..., at_ns: _Optional[int] = ..., entities: _Optional[_Iterable[str]] = ..., points: _Optional[_Iterable[str]] = ..., dictionary: _Optional[int] = ..., heads: _Optional[_Iterable[_Union[Head, _Mapping]]] = ..., software: _Optional[str] = ...) -> None: ...

class Head(_message.Message):
    __slots__ = ("kind", "next")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    kind: Kind
    next: int
    def __init__(self, kind: _Optional[_Union[Kind, str]] = ..., next: _Optional[int] = ...) -> None: ...

class Death(_message.Message):
    __slots__ = ("version", "source", "stream", "session")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    source: str
    stream: int
    session: int
    def __init__(self, version: _Optional[int] = ..., source: _Optional[str] = ..., stream: _Optional[int] = ..., session: _Optional[int] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("version", "source", "stream", "dictionary", "kind", "first", "rows", "head", "base_time_ns", "columns", "compression", "body_bytes", "body")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    DICTIONARY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    BASE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    BODY_BYTES_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    version: int
    source: str
    stream: int
    dictionary: int
    kind: Kind
    first: int
    rows: int
    head: int
    base_time_ns: int
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    compression: Compression
    body_bytes: int
    body: bytes
    def __init__(self, version: _Optional[int] = ..., source: _Optional[str] = ..., stream: _Optional[int] = ..., dictionary: _Optional[int] = ..., kind: _Optional[_Union[Kind, str]] = ..., first: _Optional[int] = ..., rows: _Optional[int] = ..., head: _Optional[int] = ..., base_time_ns: _Optional[int] = ..., columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., compression: _Optional[_Union[Compression, str]] = ..., body_bytes: _Optional[int] = ..., body: _Optional[bytes] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("point", "role", "number", "width", "delta", "planes", "scale", "offset")
    POINT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    PLANES_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    point: int
    role: Role
    number: Number
    width: int
    delta: bool
    planes: bool
    scale: float
    offset: float
    def __init__(self, point: _Optional[int] = ..., role: _Optional[_Union[Role, str]] = ..., number: _Optional[_Union[Number, str]] = ..., width: _Optional[int] = ..., delta: _Optional[bool] = ..., planes: _Optional[bool] = ..., scale: _Optional[float] = ..., offset: _Optional[float] = ...) -> None: ...

class Gone(_message.Message):
    __slots__ = ("version", "source", "stream", "kind", "first", "end", "cause")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    version: int
    source: str
    stream: int
    kind: Kind
    first: int
    end: int
    cause: str
    def __init__(self, version: _Optional[int] = ..., source: _Optional[str] = ..., stream: _Optional[int] = ..., kind: _Optional[_Union[Kind, str]] = ..., first: _Optional[int] = ..., end: _Optional[int] = ..., cause: _Optional[str] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("version", "stream", "server", "held")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    version: int
    stream: int
    server: str
    held: _containers.RepeatedCompositeFieldContainer[Held]
    def __init__(self, version: _Optional[int] = ..., stream: _Optional[int] = ..., server: _Optional[str] = ..., held: _Optional[_Iterable[_Union[Held, _Mapping]]] = ...) -> None: ...

class Held(_message.Message):
    __slots__ = ("kind", "bounds")
    KIND_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_FIELD_NUMBER: _ClassVar[int]
    kind: Kind
    bounds: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, kind: _Optional[_Union[Kind, str]] = ..., bounds: _Optional[_Iterable[int]] = ...) -> None: ...

class Rebirth(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class SignedCommand(_message.Message):
    __slots__ = ("command", "key", "signature")
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    command: bytes
    key: str
    signature: bytes
    def __init__(self, command: _Optional[bytes] = ..., key: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Command(_message.Message):
    __slots__ = ("version", "source", "sequence", "issued_ns", "expires_ns", "reason", "stop", "resume", "setpoint", "contracts", "plan")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ISSUED_NS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_NS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    SETPOINT_FIELD_NUMBER: _ClassVar[int]
    CONTRACTS_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    version: int
    source: str
    sequence: int
    issued_ns: int
    expires_ns: int
    reason: str
    stop: Stop
    resume: Resume
    setpoint: Setpoint
    contracts: Contracts
    plan: Plan
    def __init__(self, version: _Optional[int] = ..., source: _Optional[str] = ..., sequence: _Optional[int] = ..., issued_ns: _Optional[int] = ..., expires_ns: _Optional[int] = ..., reason: _Optional[str] = ..., stop: _Optional[_Union[Stop, _Mapping]] = ..., resume: _Optional[_Union[Resume, _Mapping]] = ..., setpoint: _Optional[_Union[Setpoint, _Mapping]] = ..., contracts: _Optional[_Union[Contracts, _Mapping]] = ..., plan: _Optional[_Union[Plan, _Mapping]] = ...) -> None: ...

class Stop(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Resume(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Setpoint(_message.Message):
    __slots__ = ("power_w", "until_ns")
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    UNTIL_NS_FIELD_NUMBER: _ClassVar[int]
    power_w: float
    until_ns: int
    def __init__(self, power_w: _Optional[float] = ..., until_ns: _Optional[int] = ...) -> None: ...

class Contracts(_message.Message):
    __slots__ = ("contracts",)
    CONTRACTS_FIELD_NUMBER: _ClassVar[int]
    contracts: _containers.RepeatedCompositeFieldContainer[Contract]
    def __init__(self, contracts: _Optional[_Iterable[_Union[Contract, _Mapping]]] = ...) -> None: ...

class Contract(_message.Message):
    __slots__ = ("product", "capacity_w", "start_ns", "end_ns")
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_W_FIELD_NUMBER: _ClassVar[int]
    START_NS_FIELD_NUMBER: _ClassVar[int]
    END_NS_FIELD_NUMBER: _ClassVar[int]
    product: str
    capacity_w: float
    start_ns: int
    end_ns: int
    def __init__(self, product: _Optional[str] = ..., capacity_w: _Optional[float] = ..., start_ns: _Optional[int] = ..., end_ns: _Optional[int] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("steps",)
    STEPS_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    def __init__(self, steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("start_ns", "end_ns", "power_w")
    START_NS_FIELD_NUMBER: _ClassVar[int]
    END_NS_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    start_ns: int
    end_ns: int
    power_w: float
    def __init__(self, start_ns: _Optional[int] = ..., end_ns: _Optional[int] = ..., power_w: _Optional[float] = ...) -> None: ...

class CommandResult(_message.Message):
    __slots__ = ("version", "source", "key", "sequence", "accepted", "text", "at_ns")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    version: int
    source: str
    key: str
    sequence: int
    accepted: bool
    text: str
    at_ns: int
    def __init__(self, version: _Optional[int] = ..., source: _Optional[str] = ..., key: _Optional[str] = ..., sequence: _Optional[int] = ..., accepted: _Optional[bool] = ..., text: _Optional[str] = ..., at_ns: _Optional[int] = ...) -> None: ...
