"""Bytes from a source as a frame: vectorised, and bounded before anything is unpacked.

Whatever comes in, the outcome is a frame or `Malformed` with a reason that is fit for a counter. No
length that a sender states is believed before it is compared with what is there.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from tenhertz.link.frame import Column, Frame, Values
from tenhertz.link.points import OLDEST_VERSION, POINTS, VERSION, Kind
from tenhertz.link.schema_pb2 import Batch, Birth, Uplink
from tenhertz.link.schema_pb2 import Column as ColumnHead

LARGEST_MESSAGE_BYTES = 4 << 20
LARGEST_BODY_BYTES = 16 << 20
MOST_ROWS = 200_000
MOST_COLUMNS = 64
MOST_CELLS = 1024
MOST_ENTITIES = 100_000
LONGEST_NAME = 128
_MOST_TEXT_ROWS = 20_000
_LATEST_NS = 1 << 62

_NONE, _ZLIB, _ZSTD = 0, 1, 2
_POINT, _TIME, _ENTITY = 0, 1, 2
_TEXT = 11
_DTYPES: dict[int, np.dtype[np.generic]] = {
    number: np.dtype(name)
    for number, name in enumerate(
        ("<i1", "<i2", "<i4", "<i8", "<u1", "<u2", "<u4", "<u8", "<f4", "<f8"), 1
    )
}
_KINDS = {int(kind): kind for kind in Kind}
_REQUIRED = {
    kind: frozenset(point.name for point in points if not point.may_be_absent)
    for kind, points in POINTS.items()
}
_KNOWN = {kind: {point.name: point for point in points} for kind, points in POINTS.items()}


class Malformed(ValueError):  # noqa: N818 - a verdict on a message
    """A message that cannot be taken as what it claims to be. `reason` is one of a few words."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class Dictionary(NamedTuple):
    """What the indices of a source's batches mean."""

    entities: tuple[str, ...]
    points: tuple[str, ...]


def read_uplink(data: bytes) -> Uplink:
    """A message of a source.

    Raises:
        Malformed: it is too large, is none, or comes from a version that this one cannot read.
    """
    if len(data) > LARGEST_MESSAGE_BYTES:
        raise Malformed("too large", f"{len(data)} bytes")
    try:
        message = Uplink.FromString(data)
    except DecodeError:
        raise Malformed("not a message") from None
    name = message.WhichOneof("body")
    if name is None:
        raise Malformed("empty message")
    body = getattr(message, name)
    if not OLDEST_VERSION <= body.version <= VERSION:
        raise Malformed("version", str(body.version))
    if not 0 < len(body.source) <= LONGEST_NAME:
        raise Malformed("source name")
    return message


def read_dictionary(birth: Birth) -> Dictionary:
    """The dictionary of a birth.

    Raises:
        Malformed: it is too large, or a name is empty, too long, or twice there.
    """
    if len(birth.entities) > MOST_ENTITIES or len(birth.points) > MOST_COLUMNS:
        raise Malformed("dictionary too large")
    entities, points = tuple(birth.entities), tuple(birth.points)
    for names in (entities, points):
        if any(not 0 < len(name) <= LONGEST_NAME or "\0" in name for name in names):
            raise Malformed("name in dictionary")
        if len(set(names)) != len(names):
            raise Malformed("name twice in dictionary")
    if not entities:
        raise Malformed("dictionary without entities")
    return Dictionary(entities, points)


def decode_batch(batch: Batch, dictionary: Dictionary, received_ns: int = 0) -> Frame:
    """The rows of a batch as columns.

    Raises:
        Malformed: it is not consistent in itself or with the dictionary.
    """
    kind = _KINDS.get(batch.kind)
    if kind is None:
        raise Malformed("kind", str(batch.kind))
    rows, first = batch.rows, batch.first
    if not 0 < rows <= MOST_ROWS:
        raise Malformed("rows", str(rows))
    if not 0 < first < _LATEST_NS or not first + rows <= batch.head < _LATEST_NS:
        raise Malformed("sequence", f"{first} + {rows}, head {batch.head}")
    if len(batch.columns) > MOST_COLUMNS:
        raise Malformed("columns", str(len(batch.columns)))
    body = _body(batch)
    columns, time_ns, entity = _columns(batch, kind, dictionary, body)
    missing = _REQUIRED[kind] - columns.keys()
    if missing:
        raise Malformed("schema", f"no column {sorted(missing)[0]}")
    if entity is None:
        entity = np.zeros(rows, np.uint32)
    elif int(entity.max()) >= len(dictionary.entities):
        raise Malformed("entity", "beyond the dictionary")
    sequence = np.arange(first, first + rows, dtype=np.int64)
    return Frame(
        batch.source,
        batch.stream,
        kind,
        sequence,
        time_ns,
        entity,
        dictionary.entities,
        columns,
        received_ns,
    )


def _body(batch: Batch) -> bytes:
    body, size = batch.body, batch.body_bytes
    if size > LARGEST_BODY_BYTES:
        raise Malformed("body too large", str(size))
    if batch.compression == _NONE:
        if size not in (0, len(body)):
            raise Malformed("body length")
        return body
    try:
        if batch.compression == _ZLIB:
            stream = zlib.decompressobj()
            plain = stream.decompress(body, size + 1)
            if len(plain) != size or not stream.eof or stream.unused_data:
                raise Malformed("body length")
            return plain
        if batch.compression == _ZSTD:
            return _zstd(body, size)
    except zlib.error:
        raise Malformed("compression") from None
    raise Malformed("compression", str(batch.compression))


def _zstd(body: bytes, size: int) -> bytes:
    import pyarrow as pa  # only where somebody sends it

    try:
        plain: bytes = pa.Codec("zstd").decompress(body, decompressed_size=size, asbytes=True)
    except (OSError, ValueError):
        raise Malformed("compression") from None
    return plain


def _columns(
    batch: Batch, kind: Kind, dictionary: Dictionary, body: bytes
) -> tuple[dict[str, Column], NDArray[np.int64], NDArray[np.uint32] | None]:
    """The point columns, the instants, and the entities where they are told."""
    rows, at = batch.rows, 0
    columns: dict[str, Column] = {}
    time_ns: NDArray[np.int64] | None = None
    entity: NDArray[np.uint32] | None = None
    for head in batch.columns:
        values, at = _values(head, rows, body, at)
        role = head.role
        if role == _TIME:
            if time_ns is not None:
                raise Malformed("two time columns")
            time_ns = _instants(values, batch.base_time_ns)
        elif role == _ENTITY:
            if entity is not None:
                raise Malformed("two entity columns")
            entity = _entities(values)
        elif role == _POINT:
            _add_point(columns, head, values, kind, dictionary)
        else:
            raise Malformed("role", str(role))
    if at != len(body):
        raise Malformed("body length")
    if time_ns is None:
        raise Malformed("no time column")
    _same_cells(columns)
    return columns, time_ns, entity


def _add_point(
    columns: dict[str, Column],
    head: ColumnHead,
    values: Values,
    kind: Kind,
    dictionary: Dictionary,
) -> None:
    if head.point >= len(dictionary.points):
        raise Malformed("point", "beyond the dictionary")
    name = dictionary.points[head.point]
    point = _KNOWN[kind].get(name)
    if point is None:
        return  # of a newer version than this
    if name in columns:
        raise Malformed("point twice")
    if (head.number == _TEXT) != (point.type == "text"):
        raise Malformed("type", name)
    columns[name] = _column(head, values, per_cell=point.per_cell)


def _values(head: ColumnHead, rows: int, body: bytes, at: int) -> tuple[Values, int]:
    """The numbers of one column, and where the next begins."""
    if head.number == _TEXT:
        return _texts(head, rows, body, at)
    dtype = _DTYPES.get(head.number)
    if dtype is None:
        raise Malformed("number type", str(head.number))
    width = head.width or 1
    if width > MOST_CELLS:
        raise Malformed("width", str(width))
    count = rows * width
    size = dtype.itemsize
    values: Values
    end = at + count * size
    if end > len(body):
        raise Malformed("body length")
    if head.planes and size > 1:
        planes = np.frombuffer(body, np.uint8, count * size, at).reshape(size, count)
        values = np.ascontiguousarray(planes.T).view(dtype).reshape(count)
    else:
        values = np.frombuffer(body, dtype, count, at)
    if width > 1:
        values = values.reshape(rows, width)
    if head.delta:
        if dtype.kind == "f":
            raise Malformed("differences of floats")
        values = np.cumsum(values, axis=0, dtype=np.int64)
    return values, end


def _texts(head: ColumnHead, rows: int, body: bytes, at: int) -> tuple[Values, int]:
    if rows > _MOST_TEXT_ROWS or head.width > 1 or head.delta or head.planes:
        raise Malformed("text")
    start = at + 4 * rows
    if start > len(body):
        raise Malformed("body length")
    ends = np.cumsum(np.frombuffer(body, "<u4", rows, at), dtype=np.int64) + start
    if int(ends[-1]) > len(body):
        raise Malformed("body length")
    texts = np.empty(rows, object)
    for row, end in enumerate(ends.tolist()):
        texts[row] = body[start:end].decode(errors="replace")
        start = end
    return texts, start


def _instants(values: Values, base_ns: int) -> NDArray[np.int64]:
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise Malformed("time column")
    low, high = int(values.min()) + base_ns, int(values.max()) + base_ns
    if low < 0 or high >= _LATEST_NS:
        raise Malformed("time column", "beyond any calendar")
    instants: NDArray[np.int64] = values.astype(np.int64)
    instants += base_ns
    return instants


def _entities(values: Values) -> NDArray[np.uint32]:
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise Malformed("entity column")
    if values.dtype != np.uint32 and (int(values.min()) < 0 or int(values.max()) > MOST_ENTITIES):
        raise Malformed("entity", "beyond the dictionary")
    return values.astype(np.uint32, copy=False)


def _column(head: ColumnHead, values: Values, *, per_cell: bool) -> Column:
    if values.ndim == 1:
        if per_cell:
            values = values.reshape(len(values), 1)
    elif not per_cell:
        raise Malformed("width")
    if head.scale == 0.0:
        return Column(values)
    if not (1e-12 < abs(head.scale) < 1e12 and abs(head.offset) < 1e12) or head.number == _TEXT:
        raise Malformed("scale")
    return Column(values, head.scale, head.offset)


def _same_cells(columns: dict[str, Column]) -> None:
    widths = {column.values.shape[1] for column in columns.values() if column.values.ndim == 2}
    if len(widths) > 1:
        raise Malformed("width", "differs between the columns of a row")
