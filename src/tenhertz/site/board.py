"""A notice board in shared memory: the newest state of one process, for all to read.

One writer, which never waits; readers retry while it writes. Beside the notice stands a heartbeat
that costs two stores, for the parent to see that the writer is alive.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from tenhertz.site.segment import map_segment

_HEADER_BYTES = 64
_W_VERSION, _W_LENGTH, _W_CHECK, _W_BEATS, _W_BEAT_NS = range(5)
_WORD = struct.Struct("<Q")
_ATTEMPTS = 100


class Board:
    """One notice board of at most `capacity` bytes."""

    def __init__(self, path: Path, capacity: int = 0, *, create: bool = False) -> None:
        self._memory, _ = map_segment(path, _HEADER_BYTES + capacity, create=create)
        self._words = memoryview(self._memory)[:_HEADER_BYTES].cast("Q")
        self.capacity = len(self._memory) - _HEADER_BYTES

    def post(self, notice: bytes) -> None:
        """Replace the notice.

        Raises:
            ValueError: it is larger than the board.
        """
        if len(notice) > self.capacity:
            raise ValueError(f"a notice of {len(notice)} bytes on a board of {self.capacity}")
        words = self._words
        version = words[_W_VERSION] | 1  # odd: being written; also after a writer that died here
        words[_W_VERSION] = version
        self._memory[_HEADER_BYTES : _HEADER_BYTES + len(notice)] = notice
        words[_W_LENGTH] = len(notice)
        words[_W_CHECK] = zlib.crc32(notice)
        words[_W_VERSION] = version + 1

    def read(self) -> bytes:
        """The newest whole notice; empty before the first, or if its writer died half-way."""
        words = self._words
        for _ in range(_ATTEMPTS):
            version = words[_W_VERSION]
            length = words[_W_LENGTH]
            check = words[_W_CHECK]
            notice = self._memory[_HEADER_BYTES : _HEADER_BYTES + min(length, self.capacity)]
            if version % 2 == 0 and words[_W_VERSION] == version and zlib.crc32(notice) == check:
                return notice
        return b""

    def beat(self, now_ns: int) -> None:
        """Show that the writer is alive."""
        self._words[_W_BEATS] += 1
        self._words[_W_BEAT_NS] = now_ns

    @property
    def heartbeat(self) -> tuple[int, int]:
        """How often it beat, and the monotonic instant of the last beat."""
        return self._words[_W_BEATS], self._words[_W_BEAT_NS]
