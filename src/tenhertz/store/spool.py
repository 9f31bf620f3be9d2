"""The spool: a bounded log on disk between intake and store, and what an acknowledgement stands on.

Records are numbered from 1 on, appended, and durable after `write`. Each file begins with a
snapshot that its writer wants back after a crash, so that the newest file alone is enough to go on.
One writer and one reader (spool_reader.py), in processes of their own; the reader removes the files
that it is done with, except the newest. Full (`largest_bytes`): `room` says no, and the caller
takes nothing in. Loss: none.

A record is: length of the body u32, CRC-32 of number and body u32, number u64, body. A torn end
after a power cut fails the CRC; it was never durable, so nobody was promised it.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from tenhertz.store.sqlite import StoreTrouble

_HEAD = struct.Struct("<IIQ")
_NUMBER = struct.Struct("<Q")
_SUFFIX = ".spool"
LARGEST_RECORD_BYTES = 64 << 20
_SNAPSHOT = 0  # in place of a record's number


def _crc(number: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_NUMBER.pack(number)))


def spool_files(folder: Path) -> list[Path]:
    """The files, oldest first; the name of each is the number of its first record."""
    return sorted(folder.glob(f"*{_SUFFIX}"))


def first_number(path: Path) -> int:
    """The number of the first record of a file, which may not be there yet."""
    return int(path.name.removesuffix(_SUFFIX))


class SpoolWriter:
    """The appending end."""

    def __init__(self, folder: Path, *, largest_bytes: int, file_bytes: int = 64 << 20) -> None:
        """Nothing is opened yet: call `recover` first.

        Raises:
            StoreTrouble: the folder cannot be made.
        """
        self._folder = folder
        self._largest_bytes = largest_bytes
        self._file_bytes = file_bytes
        self._handle = -1
        self._at = 0  # bytes of the open file that are whole records
        self._pending: list[bytes] = []
        self._older_bytes = 0
        self.next = 1
        self.synced = 1  # every record below is durable
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreTrouble(f"{folder}: {error}") from error

    def recover(self) -> tuple[bytes, list[tuple[int, bytes]]] | None:
        """The newest snapshot and the records after it; None where there is no file.

        A file whose snapshot is torn was never used: it is removed.

        Raises:
            StoreTrouble: the disk cannot be read.
        """
        try:
            for path in reversed(spool_files(self._folder)):
                records, _ = parse_records(path.read_bytes())
                if records:
                    self._reopen(path, records)
                    return records[0][1], records[1:]
                path.unlink()
        except OSError as error:
            raise StoreTrouble(f"{self._folder}: {error}") from error
        return None

    def _reopen(self, path: Path, records: list[tuple[int, bytes]]) -> None:
        self._at = sum(_HEAD.size + len(body) for _, body in records)
        # Whatever stands behind the last whole record is torn; new records take its place.
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        os.ftruncate(handle, self._at)
        os.lseek(handle, self._at, os.SEEK_SET)
        self._handle = handle
        self.next = self.synced = records[-1][0] + 1 if records[1:] else first_number(path)

    def start(self, snapshot: bytes, number: int) -> None:
        """Begin with an empty spool at a record number.

        Raises:
            StoreTrouble: the disk refuses.
        """
        self.next = self.synced = number
        self._rotate(snapshot)

    def measure(self) -> None:
        """Look again how much the older files hold; the reader removes them."""
        total = 0
        for path in spool_files(self._folder)[:-1]:
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue
        self._older_bytes = total

    @property
    def bytes_held(self) -> int:
        """How large the spool is."""
        return self._older_bytes + self._at + sum(map(len, self._pending))

    def room(self, size: int) -> bool:
        """Whether a record of this size may come in."""
        return self.bytes_held + size + _HEAD.size <= self._largest_bytes

    def append(self, body: bytes) -> int:
        """Take a record, not yet durable; returns its number."""
        number = self.next
        self.next = number + 1
        self._pending.append(_HEAD.pack(len(body), _crc(number, body), number))
        self._pending.append(body)
        return number

    def take_pending(self) -> tuple[list[bytes], int]:
        """What is to be written now, and the number that `synced` will then be."""
        pending, self._pending = self._pending, []
        return pending, self.next

    def put_back(self, pending: list[bytes]) -> None:
        """Undo `take_pending`."""
        self._pending[:0] = pending

    def write(self, pending: list[bytes], synced: int) -> None:
        """Make records durable; may run in another thread, one call at a time.

        Raises:
            StoreTrouble: nothing of it is durable; call again with the same records.
        """
        assert self._handle >= 0, "start or recover first"
        handle, at = self._handle, self._at
        try:
            os.lseek(handle, at, os.SEEK_SET)
            body = b"".join(pending)
            _write_all(handle, body)
            os.fdatasync(handle)
        except OSError as error:
            self._cut(handle, at)
            raise StoreTrouble(f"{self._folder}: {error}") from error
        self._at = at + len(body)
        self.synced = synced

    @staticmethod
    def _cut(handle: int, at: int) -> None:
        try:
            os.ftruncate(handle, at)
        except OSError:  # the next write begins at the same place
            return

    @property
    def wants_rotation(self) -> bool:
        """Whether the open file is long enough."""
        return self._at >= self._file_bytes

    def rotate(self, snapshot: bytes) -> None:
        """Begin a new file with a snapshot of what all records so far have led to.

        Only between `write` calls, with nothing pending that is older than the snapshot.

        Raises:
            StoreTrouble: the disk refuses; the old file goes on.
        """
        self._rotate(snapshot)

    def _rotate(self, snapshot: bytes) -> None:
        path = self._folder / f"{self.synced:020}{_SUFFIX}"
        body = _HEAD.pack(len(snapshot), _crc(_SNAPSHOT, snapshot), _SNAPSHOT) + snapshot
        flags = os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC
        try:
            handle = os.open(path, flags, 0o600)
            try:
                _write_all(handle, body)
                os.fsync(handle)
                _sync_folder(self._folder)
            except OSError:
                os.close(handle)
                path.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StoreTrouble(f"{self._folder}: {error}") from error
        self.close()
        self._handle, self._at = handle, len(body)
        self.measure()

    def close(self) -> None:
        """Close the file; what was not written is not durable."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def parse_records(data: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """The whole records at the begin of `data`, and how many bytes they take."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at + _HEAD.size <= len(data):
        length, crc, number = _HEAD.unpack_from(data, at)
        begin = at + _HEAD.size
        if length > LARGEST_RECORD_BYTES or begin + length > len(data):
            break
        body = data[begin : begin + length]
        if _crc(number, body) != crc:
            break
        found.append((number, body))
        at = begin + length
    return found, at


def _write_all(handle: int, body: bytes) -> None:
    view = memoryview(body)
    while view:
        view = view[os.write(handle, view) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
