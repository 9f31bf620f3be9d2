"""A copy of an embedded store, made while its writer runs, and the way back.

The catalogue is copied first; the segments that it lists never change, and one that is replaced
meanwhile stays for two minutes. Where one is gone nevertheless, all begins anew with a newer
catalogue. The manifest is written last: a folder without one is no backup. What stands in the spool
and not yet in the store is not part of it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import msgspec

from tenhertz.link.points import Kind
from tenhertz.store.embedded.catalogue import CATALOGUE_FILE, SEGMENT_FOLDER, Catalogue
from tenhertz.store.embedded.writer import newest_file
from tenhertz.store.sqlite import StoreTrouble

MANIFEST_FILE = "manifest.json"
_VERSION = 1
_TRIES = 5
_CHUNK_BYTES = 4 << 20
_LARGEST_MANIFEST_BYTES = 256 << 20
# A file system that knows no hard links, or not there, or not so many.
_NO_LINK = frozenset((errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES))

Progress = Callable[[int, int], None]  # bytes done, bytes in all


class File(msgspec.Struct, frozen=True):
    """One file of a backup."""

    path: str  # in the folder of the backup
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds."""

    version: int
    store: str  # which kind
    made_ns: int
    position: int  # the last record of the spool that is in it
    rows: int
    files: list[File]


class NotABackup(Exception):  # noqa: N818 - a verdict on a folder, not a fault of the program
    """A folder that holds no whole backup; the text says why."""


def copy_store(store: Path, folder: Path, progress: Progress) -> tuple[int, int]:
    """Copy a store into an existing folder; returns its position and rows.

    Raises:
        StoreTrouble: it cannot be read or written now.
    """
    if not (store / CATALOGUE_FILE).exists():
        raise StoreTrouble(f"{store}: there is no store yet")
    segments = folder / SEGMENT_FOLDER
    missing = ""
    try:
        segments.mkdir()
        for _ in range(_TRIES):
            # The newest rows first: what is older than the catalogue is brought up to it.
            for kind in Kind:
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(newest_file(store, kind), newest_file(folder, kind))
            with contextlib.closing(Catalogue(store, writable=False)) as catalogue:
                (folder / CATALOGUE_FILE).unlink(missing_ok=True)
                catalogue.copy(folder / CATALOGUE_FILE)
            position, rows, files = _listed(folder)
            try:
                _link_all(store / SEGMENT_FOLDER, segments, files, progress)
            except FileNotFoundError as error:
                missing = str(error.filename)
                continue
            for path in segments.iterdir():  # of a try before
                if path.name not in files:
                    path.unlink()
            return position, rows
    except (OSError, sqlite3.Error) as error:
        raise StoreTrouble(f"{folder}: {error}") from error
    raise StoreTrouble(f"{missing}: a segment of the store is missing")


def _listed(folder: Path) -> tuple[int, int, dict[str, int]]:
    """Position, rows, and the files with their bytes, as a copied catalogue has them."""
    database = sqlite3.connect(folder / CATALOGUE_FILE)
    try:
        # A copy in one file, without a log beside it.
        database.execute("PRAGMA journal_mode = DELETE")
        # What was replaced is not copied.
        with database:
            database.execute("DELETE FROM retired")
    finally:
        database.close()
    with contextlib.closing(Catalogue(folder, writable=False)) as copy:
        found = copy.segments()
        position = copy.recovered().position
    rows = sum(segment.rows for segment in found if not segment.minutes)
    return position, rows, {segment.file: segment.bytes for segment in found}


def _link_all(origin: Path, target: Path, files: dict[str, int], progress: Progress) -> None:
    whole, done = sum(files.values()), 0
    for file, size in files.items():
        if not (target / file).exists():
            link_or_copy(origin / file, target / file)
        done += size
        progress(done, whole)


def link_or_copy(origin: Path, target: Path) -> None:
    """A second name for a file that never changes, or a copy where there can be none."""
    try:
        target.hardlink_to(origin)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        copy_durably(origin, target)


def copy_durably(origin: Path, target: Path) -> None:
    """A copy that is whole, or not there under its name."""
    partial = target.with_name(f"{target.name}.partial")
    shutil.copyfile(origin, partial)
    sync(partial)
    partial.rename(target)


def copy_database(origin: Path, target: Path) -> None:
    """A consistent copy of a SQLite file that others may write to meanwhile.

    Raises:
        StoreTrouble: it cannot be read or written.
    """
    try:
        with (
            contextlib.closing(sqlite3.connect(f"file:{origin}?mode=ro", uri=True)) as one,
            contextlib.closing(sqlite3.connect(target)) as other,
        ):
            one.backup(other)
            other.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise StoreTrouble(f"{origin}: {error}") from error


def write_manifest(
    folder: Path, store: str, made_ns: int, position: int, rows: int, progress: Progress
) -> Manifest:
    """Read every file once, and say what they are, durably.

    Raises:
        StoreTrouble: the disk fails.
    """
    try:
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        whole, done = sum(path.stat().st_size for path in paths), 0
        files = []
        for path in paths:
            digest, size = hashlib.sha256(), 0
            for chunk in _chunks(path):
                digest.update(chunk)
                size += len(chunk)
                progress(done + size, whole)
            done += size
            sync(path)
            files.append(File(path.relative_to(folder).as_posix(), size, digest.hexdigest()))
        for place in (path for path in folder.rglob("*") if path.is_dir()):
            sync(place)
        manifest = Manifest(_VERSION, store, made_ns, position, rows, files)
        partial = folder / f"{MANIFEST_FILE}.partial"
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        sync(partial)
        partial.rename(folder / MANIFEST_FILE)
        sync(folder)
    except OSError as error:
        raise StoreTrouble(f"{folder}: {error}") from error
    return manifest


def verified(folder: Path, progress: Progress) -> Manifest:
    """The manifest of a backup, after every file was held against it.

    Raises:
        NotABackup: something is missing, or is not what it was.
    """
    manifest = _manifest(folder)
    whole, done = sum(file.size for file in manifest.files), 0
    for file in manifest.files:
        parts = PurePosixPath(file.path).parts
        if file.path.startswith("/") or ".." in parts or not parts:
            raise NotABackup(f"{folder}: the manifest names '{file.path}', which is outside")
        path = folder / file.path
        try:
            if path.stat().st_size != file.size:
                raise NotABackup(f"{path}: {path.stat().st_size} bytes, not {file.size}")
            digest = hashlib.sha256()
            for chunk in _chunks(path):
                digest.update(chunk)
                done += len(chunk)
                progress(done, whole)
        except OSError as error:
            raise NotABackup(f"{path}: {error.strerror}") from error
        if digest.hexdigest() != file.sha256:
            raise NotABackup(f"{path}: its content is not that which was backed up")
    return manifest


def _manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_FILE
    try:
        if path.stat().st_size > _LARGEST_MANIFEST_BYTES:
            raise NotABackup(f"{path}: too large for a manifest")
        found = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise NotABackup(f"{folder}: no {MANIFEST_FILE}: no backup, or one not ended") from None
    except OSError as error:
        raise NotABackup(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise NotABackup(f"{path}: {error}") from error
    if found.version != _VERSION:
        raise NotABackup(f"{path}: version {found.version}; use the version that made it")
    return found


def is_empty(store: Path) -> bool:
    """Whether a store holds nothing: there is none, or it has never taken anything.

    Raises:
        StoreTrouble: it cannot be read.
    """
    if not (store / CATALOGUE_FILE).exists():
        segments = store / SEGMENT_FOLDER
        return not segments.exists() or not any(segments.iterdir())
    with contextlib.closing(Catalogue(store, writable=False)) as catalogue:
        return catalogue.recovered() == (0, {}) and not catalogue.segments()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
