"""Rows of one kind as NumPy columns with their names beside them, to Arrow and back."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tenhertz.link.frame import Frame
from tenhertz.link.points import POINTS, Kind, Point

Values = NDArray[Any]
Name = tuple[str, str]  # source, entity

DTYPES: dict[str, type[np.generic]] = {
    "f4": np.float32,
    "f8": np.float64,
    "i8": np.int64,
    "i4": np.int32,
    "i2": np.int16,
}
_ARROW: dict[str, Any] = {
    "f4": pa.float32(),
    "f8": pa.float64(),
    "i8": pa.int64(),
    "i4": pa.int32(),
    "i2": pa.int16(),
    "text": pa.string(),
}
# Beside the points: where a row comes from.
ORIGIN: dict[str, type[np.generic]] = {
    "time_ns": np.int64,
    "stream": np.uint64,
    "sequence": np.int64,
    "received_ns": np.int64,
}
_DICTIONARY = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one kind, with the same number of cells each."""

    names: list[Name]
    name: NDArray[np.int32]  # (rows,), index into `names`
    columns: dict[str, Values]  # (rows,), or (rows, cells) for points of cells

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.name)

    @property
    def cells(self) -> int:
        """Numbers in the widest column of a row."""
        return max((v.shape[1] for v in self.columns.values() if v.ndim == 2), default=1)


def from_frames(frames: Iterable[Frame], kind: Kind) -> list[Block]:
    """Frames of one kind as blocks, one for each number of cells."""
    by_width: dict[int, list[Frame]] = {}
    for frame in frames:
        widths = (c.values.shape[1] for c in frame.columns.values() if c.values.ndim == 2)
        by_width.setdefault(max(widths, default=0), []).append(frame)
    return [_from_frames(alike, kind) for alike in by_width.values()]


def _from_frames(frames: list[Frame], kind: Kind) -> Block:
    names: list[Name] = []
    begins: dict[tuple[str, int], int] = {}  # the tuples live as long as the frames
    parts = []
    for frame in frames:
        place = (frame.source, id(frame.entities))
        if place not in begins:
            begins[place] = len(names)
            names.extend((frame.source, entity) for entity in frame.entities)
        parts.append(frame.entity.astype(np.int32) + np.int32(begins[place]))
    name, kept = _distinct(np.concatenate(parts), names)
    columns: dict[str, Values] = {
        "time_ns": np.concatenate([frame.time_ns for frame in frames]),
        "stream": np.concatenate([np.full(f.rows, f.stream, np.uint64) for f in frames]),
        "sequence": np.concatenate([frame.sequence for frame in frames]),
        "received_ns": np.concatenate([np.full(f.rows, f.received_ns, np.int64) for f in frames]),
    }
    for point in POINTS[kind]:
        columns[point.name] = np.concatenate([_values(frame, point) for frame in frames])
    return Block(kept, name, columns)


def _values(frame: Frame, point: Point) -> Values:
    column = frame.columns.get(point.name)
    if column is None:  # only where it may be absent
        return np.full(frame.rows, np.nan, DTYPES[point.type])
    if point.type == "text":
        return column.values
    values = column.physical
    if values.ndim == 2 and not point.per_cell:  # one number that was sent for each cell
        values = values[:, 0]
    return values.astype(DTYPES[point.type], copy=False)


def _distinct(name: NDArray[np.int32], names: list[Name]) -> tuple[NDArray[np.int32], list[Name]]:
    """Only the names that occur, in order, each once; so that indices sort as names do."""
    used = np.flatnonzero(np.bincount(name, minlength=len(names)))
    ordered = sorted({names[index] for index in used.tolist()})
    place = {key: index for index, key in enumerate(ordered)}
    table = np.zeros(len(names), np.int32)
    table[used] = [place[names[index]] for index in used.tolist()]
    return table[name], ordered


def merged(blocks: Sequence[Block]) -> list[Block]:
    """Blocks of one kind joined and sorted by source, entity and time; one a number of cells."""
    by_width: dict[int, list[Block]] = {}
    for block in blocks:
        if block.rows:
            by_width.setdefault(block.cells, []).append(block)
    return [_merged(alike) for alike in by_width.values()]


def _merged(blocks: list[Block]) -> Block:
    if len(blocks) == 1:  # its names are distinct already
        names, name, columns = blocks[0].names, blocks[0].name, blocks[0].columns
    else:
        joined: list[Name] = []
        parts = []
        for block in blocks:
            parts.append(block.name + np.int32(len(joined)))
            joined.extend(block.names)
        name, names = _distinct(np.concatenate(parts), joined)
        columns = {
            key: np.concatenate([block.columns[key] for block in blocks])
            for key in blocks[0].columns
        }
    order = np.lexsort((columns["time_ns"], name))
    return Block(names, name[order], {key: column[order] for key, column in columns.items()})


def merged_in_ranges(blocks: Sequence[Block], ranges: int = 16) -> Iterator[Block]:
    """Sorted blocks joined as by `merged`, a range of names after the other: a part at a time is
    quicker to sort, and needs little memory beside the blocks.
    """
    names = sorted({name for block in blocks for name in block.names})
    step = -(-len(names) // ranges)
    for begin in range(0, len(names), step):
        low, last = names[begin], names[min(begin + step, len(names)) - 1]
        yield from merged([_named(block, low, last) for block in blocks])


def _named(block: Block, low: Name, last: Name) -> Block:
    """The rows of a sorted block from one name to another, both included."""
    first, end = bisect_left(block.names, low), bisect_right(block.names, last)
    rows = slice(*np.searchsorted(block.name, (first, end)).tolist())
    columns = {key: values[rows] for key, values in block.columns.items()}
    return Block(block.names[first:end], block.name[rows] - np.int32(first), columns)


# -- Arrow ------------------------------------------------------------------------------------


def schema_of(kind: Kind) -> pa.Schema:
    """How a segment of samples looks."""
    fields: list[Any] = [pa.field("source", pa.string()), pa.field("entity", pa.string())]
    fields += [
        pa.field(name, pa.from_numpy_dtype(np.dtype(dtype))) for name, dtype in ORIGIN.items()
    ]
    for point in POINTS[kind]:
        plain = _ARROW[point.type]
        fields.append(pa.field(point.name, pa.list_(plain) if point.per_cell else plain))
    return pa.schema(fields)


def to_table(block: Block) -> pa.Table:
    """A block as an Arrow table."""
    arrays: dict[str, Any] = {}
    for place, column in enumerate(("source", "entity")):
        texts = [name[place] for name in block.names]
        once = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        index = np.array([once[text] for text in texts], np.int32)[block.name]
        arrays[column] = pa.DictionaryArray.from_arrays(
            pa.array(index), pa.array(list(once), pa.string())
        )
    for column, values in block.columns.items():
        arrays[column] = _arrow(values)
    return pa.table(arrays)


def _arrow(values: Values) -> Any:
    if values.dtype == object:
        return pa.array(values, pa.string())
    if values.ndim == 1:
        return pa.array(values)
    rows, cells = values.shape
    offsets: Any = pa.array(
        np.arange(0, rows * cells + 1, max(cells, 1), dtype=np.int32)[: rows + 1]
    )
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(values).reshape(-1)))


def from_table(table: pa.Table) -> list[Block]:
    """The rows of an Arrow table, one block a number of cells."""
    if not table.num_rows:
        return []
    columns: dict[str, Values] = {}
    lists: dict[str, tuple[NDArray[np.int64], Values]] = {}
    for column in table.column_names:
        if column in ("source", "entity"):
            continue
        chunk = _whole(table.column(column))
        if pa.types.is_list(chunk.type):
            offsets = chunk.offsets.to_numpy().astype(np.int64)
            lists[column] = (offsets, chunk.values.to_numpy(zero_copy_only=False))
        else:
            columns[column] = chunk.to_numpy(zero_copy_only=False)
    name, names = _names(table)
    return list(_by_width(names, name, columns, lists))


def _by_width(
    names: list[Name],
    name: NDArray[np.int32],
    columns: dict[str, Values],
    lists: dict[str, tuple[NDArray[np.int64], Values]],
) -> Iterator[Block]:
    if not lists:
        yield Block(names, name, columns)
        return
    widths = np.diff(next(iter(lists.values()))[0])
    for width in np.unique(widths).tolist():
        rows = np.flatnonzero(widths == width)
        every = len(rows) == len(widths)
        taken = columns if every else {key: column[rows] for key, column in columns.items()}
        taken = dict(taken)
        for key, (offsets, values) in lists.items():
            if every:
                taken[key] = values[offsets[0] : offsets[-1]].reshape(len(rows), width)
            else:
                taken[key] = values[offsets[rows][:, None] + np.arange(width)]
        yield Block(names, name if every else name[rows], taken)


def _names(table: pa.Table) -> tuple[NDArray[np.int32], list[Name]]:
    source, entity = (
        _whole(table.column(column).cast(_DICTIONARY)) for column in ("source", "entity")
    )
    sources, entities = source.dictionary.to_pylist(), entity.dictionary.to_pylist()
    pair = source.indices.to_numpy().astype(np.int64) * len(entities) + entity.indices.to_numpy()
    pairs, name = np.unique(pair, return_inverse=True)
    names = [(sources[p // len(entities)], entities[p % len(entities)]) for p in pairs.tolist()]
    return name.astype(np.int32), names


def _whole(column: Any) -> Any:
    """The one chunk of a column, put together where there are several."""
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
