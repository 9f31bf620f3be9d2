"""Segments on the disk: written whole and synced before anything counts on them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as fs
import pyarrow.parquet as pq

from tenhertz.link.points import Kind
from tenhertz.store.embedded import block, minutes
from tenhertz.store.embedded.block import Block
from tenhertz.store.embedded.catalogue import Segment
from tenhertz.store.sqlite import StoreTrouble

# Rows of one entity lie together, and a reader skips groups by their least and greatest names.
_GROUP_ROWS = 4_096
_MOST_FRAGMENTS = 2_000
_FORMAT = ds.ParquetFileFormat()
_FILES = fs.LocalFileSystem()


def schema_of(kind: Kind, *, of_minutes: bool) -> pa.Schema:
    """How a segment looks."""
    return minutes.schema_of(kind) if of_minutes else block.schema_of(kind)


def write(
    path: Path, blocks: Iterable[Block], kind: Kind, *, of_minutes: bool, level: int, position: int
) -> Segment:
    """Write sorted blocks as one segment, durably; they may be made while they are written.

    Raises:
        StoreTrouble: nothing is left behind.
    """
    schema = schema_of(kind, of_minutes=of_minutes)
    # What is read back is plain text; written as a dictionary it need not be taken apart first.
    for place, column in enumerate(("source", "entity")):
        dictionary = pa.dictionary(pa.int32(), pa.string())
        schema = schema.set(place, pa.field(column, dictionary))
    rows = numbers = 0
    first_ns, last_ns = 1 << 62, -(1 << 62)
    try:
        with path.open("wb") as file:
            with pq.ParquetWriter(
                file, schema, compression="zstd", compression_level=1, store_schema=False
            ) as writer:
                for part in blocks:
                    rows += part.rows
                    numbers += part.rows * part.cells
                    first_ns = min(first_ns, int(part.columns["time_ns"].min()))
                    last_ns = max(last_ns, int(part.columns["time_ns"].max()))
                    table = block.to_table(part).select(schema.names)
                    writer.write_table(table, row_group_size=_GROUP_ROWS)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        _sync_folder(path.parent)
    except (OSError, pa.ArrowException) as error:
        path.unlink(missing_ok=True)
        raise StoreTrouble(f"{path}: {error}") from error
    return Segment(
        path.name,
        int(kind),
        int(of_minutes),
        level,
        rows,
        numbers,
        size,
        first_ns,
        last_ns,
        position,
    )


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Fragments:
    """Segments that a reader has looked into: what their files say of themselves is kept.

    A segment never changes, so this is never wrong; the oldest are forgotten beyond a number.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[str, Any] = {}

    def of(self, segment: Segment) -> Any:
        """One segment as Arrow sees it.

        Raises:
            FileNotFoundError: it was replaced meanwhile.
        """
        found = self._kept.pop(segment.file, None)
        if found is None:
            path = str(self._folder / segment.file)
            found = _FORMAT.make_fragment(path, filesystem=_FILES)
            found.ensure_complete_metadata()
        self._kept[segment.file] = found  # now the newest
        while len(self._kept) > _MOST_FRAGMENTS:
            self._kept.pop(next(iter(self._kept)))
        return found


def find(
    fragments: Fragments,
    segments: Sequence[Segment],
    where: Any,
    columns: list[str] | None = None,
) -> list[Block]:
    """The rows of segments of one kind and tier that fulfil a condition.

    Raises:
        FileNotFoundError: a segment was replaced meanwhile; the catalogue knows by which.
        StoreTrouble: a segment cannot be read.
    """
    if not segments:
        return []
    schema = schema_of(Kind(segments[0].kind), of_minutes=bool(segments[0].minutes))
    try:
        found = [fragments.of(segment) for segment in segments]
        dataset = ds.FileSystemDataset(found, schema, _FORMAT, _FILES)
        return block.from_table(dataset.to_table(columns=columns, filter=where))
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise StoreTrouble(f"{segments[0].file}: {error}") from error


def read(
    folder: Path, segments: Sequence[Segment], *, columns: list[str] | None = None
) -> list[Block]:
    """All rows of segments of one kind and tier.

    Raises:
        FileNotFoundError: a segment was replaced meanwhile; the catalogue knows by which.
        StoreTrouble: a segment cannot be read.
    """
    if not segments:
        return []
    kind, of_minutes = Kind(segments[0].kind), bool(segments[0].minutes)
    try:
        dataset = ds.dataset(
            [str(folder / segment.file) for segment in segments],
            schema=schema_of(kind, of_minutes=of_minutes),
            # Names are read quicker so; but Arrow then skips no groups of rows by them.
            format=ds.ParquetFileFormat(dictionary_columns={"source", "entity"}),
        )
        return block.from_table(dataset.to_table(columns=columns))
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise StoreTrouble(f"{folder}: {error}") from error


def of_entity(source: str, entity: str, start_ns: int, end_ns: int) -> Any:
    """The condition for the rows of one entity over a time."""
    time_ns = ds.field("time_ns")
    return (
        (ds.field("source") == source)
        & (ds.field("entity") == entity)
        & (time_ns >= np.int64(start_ns))
        & (time_ns < np.int64(end_ns))
    )
