"""Locks between processes: one of a kind for each site and each fleet server.

The kernel drops a lock with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tenhertz.errors import UserError

_RETRY_S = 0.01


@contextlib.contextmanager
def held(path: Path, what: str, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock `path`, waiting up to `wait_s` for a predecessor to end.

    Raises:
        UserError: another process holds it; `what` says what that is.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until_s = time.monotonic() + wait_s
        while not _taken(handle):
            if time.monotonic() >= until_s:
                pid = os.read(handle, 20).decode() or "unknown"
                raise UserError(
                    f"{what} is running already (process {pid}); stop it first, or give this one "
                    "another name"
                )
            time.sleep(_RETRY_S)
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Whether some process holds the lock `path`."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _taken(handle)
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
