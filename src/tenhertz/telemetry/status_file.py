"""A small JSON file that one process replaces now and then and others read."""

from __future__ import annotations

from pathlib import Path

import msgspec

_EVERY_S = 0.5


class Alive(msgspec.Struct, frozen=True):
    """What a process tells its parent."""

    pid: int
    beat_ns: int  # monotonic


class StatusFile:
    """The writing end; a reader sees a whole old or a whole new one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(path.name + ".new")
        self._posted_s = 0.0

    def post(self, status: msgspec.Struct, now_s: float) -> None:
        """Replace the file, at most twice a second. A disk that refuses is no reason to stop."""
        if now_s - self._posted_s < _EVERY_S:
            return
        self._posted_s = now_s
        try:
            self._beside.write_bytes(msgspec.json.encode(status))
            self._beside.replace(self._path)
        except OSError:
            return  # the file stays old, and its `at_ns` says so
