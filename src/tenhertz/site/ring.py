"""A ring in shared memory: how records leave the hot path.

Five facts of this queue. Full: the oldest records go, and the reader counts them by number.
Processes: one writer; any number of readers, each with its own position, that may lag or die.
Order: by sequence number, without holes. Loss: only by overrun, counted to the record. Waiting:
the writer never waits for anybody.

Layout: one page of header (u64 words), then fixed-size slots of sequence number, check sum and
body. The writer first claims sequence numbers, then writes, then publishes; a reader that finds its
copy below the claim afterwards counts it as overrun. The check sum makes this hold on processors
that reorder stores, too.
"""

from __future__ import annotations

import struct
import time
import zlib
from pathlib import Path
from typing import NamedTuple

from tenhertz.site.segment import map_segment

_MAGIC = 0x7E_48_7A_52_49_4E_47_31  # "~HzRING1"
_HEADER_BYTES = 4096
_SLOT_HEAD = struct.Struct("<QII")  # sequence number, check sum of the body, unused

# Words of the header.
_W_MAGIC, _W_BODY, _W_CAPACITY, _W_EPOCH, _W_CLAIMED, _W_WRITTEN, _W_CLOSED, _W_TALLY = range(8)


def _slot_bytes(body_bytes: int) -> int:
    return -(-(_SLOT_HEAD.size + body_bytes) // 8) * 8


class RingState(NamedTuple):
    """The writer's side of the ring at one moment."""

    epoch: int  # names this ring; a new one is made when the machine or the layout changes
    written: int  # records published since the ring was made
    tally: int  # what the writer counts of its own: for samples, how many were taken
    closed: bool  # the writer has ended in an orderly way


class Batch(NamedTuple):
    """What a reader took."""

    first: int  # sequence number of the first record
    records: list[bytes]
    lost: int  # records between the reader's position and `first` that were overrun


class Ring:
    """One end of the ring; make it with `create` or `attach`."""

    def __init__(self, path: Path, body_bytes: int, capacity: int, *, create: bool) -> None:
        self.path = path
        self._slot_bytes = _slot_bytes(body_bytes)
        size = _HEADER_BYTES + self._slot_bytes * capacity
        self._memory, fresh = map_segment(path, size, create=create)
        self._words = memoryview(self._memory)[:_HEADER_BYTES].cast("Q")
        if not fresh and self._layout() != (_MAGIC, body_bytes, capacity):
            if not create:
                raise ValueError(
                    f"{path} is not a ring of {capacity} records of {body_bytes} bytes"
                )
            self._words[_W_MAGIC] = 0
        if create and self._words[_W_MAGIC] != _MAGIC:
            for word in range(8):
                self._words[word] = 0
            self._words[_W_BODY] = body_bytes
            self._words[_W_CAPACITY] = capacity
            self._words[_W_EPOCH] = time.time_ns()
            self._words[_W_MAGIC] = _MAGIC
        self.body_bytes = body_bytes
        self.capacity = capacity

    @classmethod
    def attach(cls, path: Path) -> Ring:
        """Open an existing ring with the layout that its header tells.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the file is not a ring.
        """
        try:
            memory, _ = map_segment(path, _HEADER_BYTES, create=False)
        except ValueError as error:
            raise ValueError(f"{path} is not a ring: {error}") from error
        with memoryview(memory)[:_HEADER_BYTES].cast("Q") as words:
            magic, body_bytes, capacity = words[_W_MAGIC], words[_W_BODY], words[_W_CAPACITY]
        room = len(memory) - _HEADER_BYTES
        memory.close()
        if magic != _MAGIC or capacity * _slot_bytes(body_bytes) > room:
            raise ValueError(f"{path} is not a ring, or not a whole one")
        return cls(path, body_bytes, capacity, create=False)

    def _layout(self) -> tuple[int, int, int]:
        words = self._words
        return words[_W_MAGIC], words[_W_BODY], words[_W_CAPACITY]

    @property
    def state(self) -> RingState:
        """What the writer has published."""
        words = self._words
        return RingState(
            words[_W_EPOCH], words[_W_WRITTEN], words[_W_TALLY], bool(words[_W_CLOSED])
        )

    # -- the writer -------------------------------------------------------------------------------

    def open_for_writing(self) -> None:
        """Go on where the last writer published; what it had only begun is written over.

        Its claim stays: in the slots that it had begun, the old records are gone.
        """
        self._words[_W_CLOSED] = 0

    def append(self, bodies: list[bytes], tally: int = 0) -> None:
        """Publish records together and add `tally` to the writer's count. Never waits.

        Raises:
            ValueError: more records at once than the ring has slots.
        """
        count = len(bodies)
        if count > self.capacity:
            raise ValueError(f"{count} records at once in a ring of {self.capacity}")
        words = self._words
        memory = self._memory
        sequence = words[_W_WRITTEN]
        words[_W_CLAIMED] = max(sequence + count, words[_W_CLAIMED])
        for body in bodies:
            at = _HEADER_BYTES + sequence % self.capacity * self._slot_bytes
            record = _SLOT_HEAD.pack(sequence, zlib.crc32(body), 0) + body
            memory[at : at + len(record)] = record
            sequence += 1
        words[_W_TALLY] += tally
        words[_W_WRITTEN] = sequence

    def close_for_writing(self) -> None:
        """Tell the readers that the writer has ended in an orderly way."""
        self._words[_W_CLOSED] = 1

    # -- a reader ---------------------------------------------------------------------------------

    def read(self, position: int, most: int) -> Batch:
        """Take up to `most` records from sequence number `position` on."""
        words = self._words
        start = max(position, words[_W_CLAIMED] - self.capacity)
        records = []
        for sequence in range(start, min(words[_W_WRITTEN], start + most)):
            body = self._slot(sequence)
            if body is None:  # torn: being written over now, or not yet visible on this processor
                break
            records.append(body)
        # A slot that the writer claimed while we copied may be torn in a way the check sum misses
        # once in four thousand million times; the claim tells it for certain.
        first = max(start, words[_W_CLAIMED] - self.capacity)
        return Batch(first, records[first - start :], first - position)

    def _slot(self, sequence: int) -> bytes | None:
        at = _HEADER_BYTES + sequence % self.capacity * self._slot_bytes
        found, check, _ = _SLOT_HEAD.unpack_from(self._memory, at)
        at += _SLOT_HEAD.size
        body = self._memory[at : at + self.body_bytes]
        return body if found == sequence and zlib.crc32(body) == check else None
