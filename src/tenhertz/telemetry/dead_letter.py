"""The dead-letter file: rows that were rejected, with the reason, in JSON lines.

One file a commit, named after its first record of the spool: a commit that is made again after a
crash writes the same name again, so that nothing stands there twice. When the folder is full, the
oldest files go, and `removed` counts them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tenhertz.link.frame import Frame
from tenhertz.link.schema_pb2 import Batch
from tenhertz.store import StoreTrouble
from tenhertz.telemetry.validate import Blanks, Mask

_LOOK_EVERY = 64  # files


class Letter(msgspec.Struct, frozen=True):
    """A row, or a single cell of a row, that was not stored."""

    reason: str
    source: str
    stream: int
    kind: str
    sequence: int
    entity: str
    time_ns: int
    received_ns: int
    values: dict[str, Any]  # by point; NaN and infinities as text
    cell: int | None = None


_ENCODE = msgspec.json.Encoder().encode


class DeadLetters:
    """Writes the files of one server."""

    def __init__(self, folder: Path, largest_bytes: int = 1 << 30) -> None:
        self._folder = folder
        self._largest_bytes = largest_bytes
        self._written = 0
        self.removed = 0  # files

    def write(self, position: int, letters: list[Letter]) -> None:
        """Write the letters of the commit that begins with a record of the spool, durably.

        Without any, those of an earlier try at this commit are removed: it held more records, and
        what it told of them belongs to a later commit now.

        Raises:
            StoreTrouble: nothing was written.
        """
        path = self._folder / f"{position:020}.jsonl"
        beside = path.with_suffix(".new")
        try:
            if not letters:
                path.unlink(missing_ok=True)
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.writelines(_ENCODE(letter) + b"\n" for letter in letters)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            _sync_folder(self._folder)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise StoreTrouble(f"{path}: {error}") from error
        if self._written % _LOOK_EVERY == 0:
            self._retain()
        self._written += 1

    def _retain(self) -> None:
        files = sorted(self._folder.glob("*.jsonl"))
        sizes = [file.stat().st_size for file in files]
        excess = sum(sizes) - self._largest_bytes
        for file, size in zip(files[:-1], sizes, strict=False):
            if excess <= 0:
                break
            file.unlink(missing_ok=True)
            self.removed += 1
            excess -= size


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def letters_of(frame: Frame, reasons: dict[str, Mask], blanks: tuple[Blanks, ...]) -> list[Letter]:
    """The rejected rows and the blanked cells of a frame."""
    letters = []
    told: set[int] = set()
    for reason, mask in reasons.items():
        for row in np.flatnonzero(mask).tolist():
            if row not in told:
                told.add(row)
                values = {
                    name: _plain(column.physical[row]) for name, column in frame.columns.items()
                }
                letters.append(_letter(frame, row, reason, values))
    for blank in blanks:
        physical = frame.columns[blank.point].physical
        for row, cell in np.argwhere(blank.cells).tolist():
            if row not in told:
                values = {blank.point: _plain(physical[row, cell])}
                letters.append(_letter(frame, row, blank.reason, values, cell))
    return letters


def _letter(
    frame: Frame, row: int, reason: str, values: dict[str, Any], cell: int | None = None
) -> Letter:
    return Letter(
        reason,
        frame.source,
        frame.stream,
        frame.kind.name,
        int(frame.sequence[row]),
        frame.entities[int(frame.entity[row])],
        int(frame.time_ns[row]),
        frame.received_ns,
        values,
        cell,
    )


def unreadable(source: str, batch: Batch, reason: str) -> Letter:
    """A batch that could not be decoded again."""
    values = {"rows": batch.rows}
    first, at_ns = batch.first, batch.base_time_ns
    return Letter(reason, source, batch.stream, str(batch.kind), first, "", at_ns, 0, values)


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value]
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, float) and not np.isfinite(plain):
        return str(plain)
    return round(plain, 7) if isinstance(plain, float) else plain
