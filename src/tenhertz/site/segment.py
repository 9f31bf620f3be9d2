"""A file in shared memory that several processes map.

It outlives each of them: a process that is killed and started again finds its ring, its board and
its mailbox as they were. What is in it is laid out by the modules that use it.
"""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path

from tenhertz.errors import UserError

_PAGE = mmap.PAGESIZE


def runtime_dir(site: str, chosen: str = "") -> Path:
    """Where the site's shared memory lives: `chosen`, or a private folder of this user.

    Raises:
        UserError: the folder cannot be made, or belongs to somebody else.
    """
    path = Path(chosen) if chosen else Path(f"/dev/shm/tenhertz-{os.getuid()}-{site}")  # noqa: S108
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise UserError(
            f"the site's runtime folder {path} cannot be made: {error.strerror}; "
            "set site.runtime_dir to a folder you may write"
        ) from error
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        raise UserError(
            f"the site's runtime folder {path} belongs to another user; remove it or set "
            "site.runtime_dir to a folder of your own"
        )
    return path


def map_segment(path: Path, size: int, *, create: bool) -> tuple[mmap.mmap, bool]:
    """Map `path` with at least `size` bytes; returns the mapping and whether it is new.

    A file of another size is replaced when `create` is set: it was made for another configuration.

    Raises:
        FileNotFoundError: there is none and `create` is not set.
        ValueError: it is smaller than `size` and `create` is not set.
        UserError: there is no room for it, or no right to it.
    """
    size = -(-size // _PAGE) * _PAGE
    try:
        handle, fresh = _open(path, size, create=create)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(
            f"the site's shared memory {path} cannot be opened: {error.strerror}; remove it, or "
            "set site.runtime_dir to a folder of your own"
        ) from error
    try:
        if fresh:
            # Reserve the pages now: a write into a full tmpfs later would kill the process.
            os.posix_fallocate(handle, 0, size)
        elif os.fstat(handle).st_size < max(size, 1):
            raise ValueError(f"it is smaller than {size} bytes")
        return mmap.mmap(handle, 0), fresh
    except OSError as error:
        if fresh:
            path.unlink(missing_ok=True)
        raise UserError(
            f"no room for {size} bytes of shared memory in {path.parent}: {error.strerror}; "
            "free some, lower ring.hold_s or set site.runtime_dir"
        ) from error
    finally:
        os.close(handle)


def _open(path: Path, size: int, *, create: bool) -> tuple[int, bool]:
    fresh = False
    if create and (not path.exists() or path.stat().st_size != size):
        path.unlink(missing_ok=True)
        fresh = True
    flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if fresh else 0) | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o600), fresh
