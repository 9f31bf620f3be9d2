"""The consuming end of the spool. It runs beside the writer and holds nothing but its place."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

from tenhertz.store.spool import LARGEST_RECORD_BYTES, first_number, parse_records, spool_files
from tenhertz.store.sqlite import StoreTrouble

_CHUNK_BYTES = 4 << 20


class SpoolReader:
    """Reads records in order, from a number on."""

    def __init__(self, folder: Path, number: int) -> None:
        """Begin with record `number`; what stands before it is done with."""
        self._folder = folder
        self.next = number
        self._path: Path | None = None
        self._handle = -1
        self._at = 0

    @property
    def oldest(self) -> int | None:
        """The first record that is still there; None: there is no file."""
        files = spool_files(self._folder)
        return first_number(files[0]) if files else None

    def read(self, most_bytes: int = _CHUNK_BYTES) -> list[tuple[int, bytes]]:
        """The next records, about so many bytes of them; empty: there is no more now.

        They are durable when this returns: what is stored from them must not be ahead of the spool
        after a power cut.

        Raises:
            StoreTrouble: the disk cannot be read, or records are not there.
        """
        try:
            while self._handle >= 0 or self._open_next():
                ended = self._has_successor()  # asked before the look: then this file is complete
                found = self._look(most_bytes)
                if found:
                    return found
                if not ended:
                    return []
                self.close()
        except OSError as error:
            raise StoreTrouble(f"{self._folder}: {error}") from error
        return []

    def _look(self, most_bytes: int) -> list[tuple[int, bytes]]:
        """The wanted records among the next bytes of the file at hand."""
        size = most_bytes
        while True:
            data = os.pread(self._handle, size, self._at)
            records, length = parse_records(data)
            if records or len(data) < size or size > LARGEST_RECORD_BYTES:
                break
            size *= 4  # one record is longer than that
        if not records:
            return []
        os.fdatasync(self._handle)
        self._at += length
        wanted = [record for record in records if record[0] >= self.next]
        if not wanted:  # a snapshot, or what was done before
            return self._look(most_bytes)
        if wanted[0][0] > self.next:
            raise StoreTrouble(
                f"{self._folder}: records {self.next} to {wanted[0][0] - 1} are not there"
            )
        self.next = wanted[-1][0] + 1
        return wanted

    def _has_successor(self) -> bool:
        files = spool_files(self._folder)
        return bool(files) and self._path is not None and files[-1] > self._path

    def _open_next(self) -> bool:
        files = spool_files(self._folder)
        if self._path is not None:
            files = [path for path in files if path > self._path]
        else:  # the last file that begins at or before the wanted record
            before = [path for path in files if first_number(path) <= self.next]
            files = before[-1:] or files
        if not files:
            return False
        self._path, self._at = files[0], 0
        self._handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return True

    def forget(self, number: int) -> None:
        """Remove the files that hold only records below `number`, but never the newest.

        Raises:
            StoreTrouble: they cannot be removed.
        """
        try:
            for path, after in pairwise(spool_files(self._folder)):
                if first_number(after) > number:
                    break
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreTrouble(f"{self._folder}: {error}") from error

    def close(self) -> None:
        """Close the file at hand; reading goes on with the one after it."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
