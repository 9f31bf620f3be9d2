"""Frames as lines of text, a line a row: JSON, and InfluxDB's line protocol.

Whole columns are made into text at once, by Arrow. Floats are written as the shortest decimals
that give the same number again.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as pc
from numpy.typing import NDArray

from tenhertz.link.frame import Frame, Values
from tenhertz.store.sinks.flat import flat_columns

pa: Any = pyarrow  # its stubs take every array of NumPy for one of booleans

Pieces = list[Any]  # strings for all rows, or Arrow arrays with one for each

# What line protocol cannot hold in a tag even escaped, and the sign that marks it.
_UNWRITABLE = {ord(sign): f"%{ord(sign):02X}" for sign in "%\\\x7f"}
_UNWRITABLE |= {code: f"%{code:02X}" for code in range(32)}
_TAG = _UNWRITABLE | {ord(sign): "\\" + sign for sign in ",= "}
_TEXT = {ord("\\"): "\\\\", ord('"'): '\\"'}


def escape_tag(text: str) -> str:
    """A tag's value in line protocol.

    Commas, equals signs and spaces get a backslash. Line protocol can write neither a backslash
    nor a line break there without doubt; they, other control characters and the percent sign are
    percent-encoded, so that different names stay different.
    """
    return text.translate(_TAG)


def escape_text(text: str) -> str:
    """A text field's value in line protocol, without its quotes."""
    return text.translate(_TEXT)


def json_lines(frame: Frame) -> list[bytes]:
    """Each row as an object of JSON with a line feed behind it. Absent numbers are null.

    The stream is text: it has 64 bits, more than a number has in JavaScript.
    """
    start = f'{{"source":{json.dumps(frame.source)},"stream":"{frame.stream}","entity":'
    names = _of_entities(frame, [json.dumps(name) for name in frame.entities])
    pieces: Pieces = [start, names, ',"sequence":', _text(frame.sequence)]
    pieces += [',"time_ns":', _text(frame.time_ns)]
    for name, type_, values in flat_columns(frame):
        pieces.append(f',"{name}":')
        if type_ == "text":
            pieces.append(pa.array([json.dumps(text) for text in values], pa.string()))
        else:
            pieces.append(_where_finite(values, _text(values), "null"))
    return _rows([*pieces, "}\n"])


def line_protocol(frame: Frame) -> bytes:
    """Each row as a line. Absent numbers are left out, as an empty tag is: it has no other way."""
    start = frame.kind.name.lower()
    if frame.source:
        start += ",source=" + escape_tag(frame.source)
    tags = [",entity=" + escape_tag(name) if name else "" for name in frame.entities]
    pieces: Pieces = [start, _of_entities(frame, tags)]
    pieces += [" sequence=", _text(frame.sequence), "i"]  # always there: no comma to mind
    for name, type_, values in flat_columns(frame):
        if type_ == "text":
            pieces += [f',{name}="', pa.array([escape_text(text) for text in values], pa.string())]
            pieces.append('"')
        elif type_ == "int":
            pieces += [f",{name}=", _text(values), "i"]
        else:
            field = pc.binary_join_element_wise(f",{name}=", _text(values), "")
            pieces.append(_where_finite(values, field, ""))
    return b"".join(_rows([*pieces, " ", _text(frame.time_ns), "\n"]))


def _text(values: Values) -> Any:
    return pa.array(np.ascontiguousarray(values)).cast(pa.string())


def _where_finite(values: Values, text: Any, otherwise: str) -> Any:
    finite = np.isfinite(values)
    return text if finite.all() else pc.if_else(pa.array(finite), text, otherwise)


def _of_entities(frame: Frame, texts: list[str]) -> Any:
    return pa.array(texts, pa.string()).take(pa.array(frame.entity))


def _rows(pieces: Pieces) -> list[bytes]:
    joined = pc.binary_join_element_wise(*pieces, "").cast(pa.binary())
    rows: list[bytes] = joined.to_pylist()
    return rows


def arrow_stream(frame: Frame) -> bytes:
    """A frame of cells as an Arrow IPC stream with one record batch.

    Columns: source, stream, entity, sequence, time (UTC, ns), then the points in their units,
    float32: `voltage_v` and `temperature_c` as lists with one number a cell.
    """
    rows = frame.rows
    entities = pa.DictionaryArray.from_arrays(
        pa.array(frame.entity.astype(np.int32)), pa.array(frame.entities, pa.string())
    )
    sources = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(rows, np.int32)), pa.array([frame.source], pa.string())
    )
    columns: dict[str, Any] = {
        "source": sources,
        "stream": pa.array(np.full(rows, frame.stream, np.uint64)),
        "entity": entities,
        "sequence": pa.array(frame.sequence),
        "time": pa.array(frame.time_ns).cast(pa.timestamp("ns", "UTC")),
    }
    for name, column in frame.columns.items():
        columns[name] = _arrow(column.physical.astype(np.float32))
    batch = pa.record_batch(list(columns.values()), names=list(columns))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _arrow(values: NDArray[np.float32]) -> Any:
    if values.ndim == 1:
        return pa.array(values)
    starts = np.arange(0, values.size + 1, values.shape[1] or 1, dtype=np.int32)
    if values.shape[1] == 0:
        starts = np.zeros(len(values) + 1, np.int32)
    return pa.ListArray.from_arrays(pa.array(starts), pa.array(values.ravel()))
