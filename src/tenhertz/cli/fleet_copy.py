"""Backing up and restoring what a fleet server has, whichever store it uses."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tenhertz.errors import UserError
from tenhertz.lock import held, is_held
from tenhertz.store.embedded.backup import (
    Manifest,
    copy_database,
    copy_durably,
    copy_store,
    is_empty,
    link_or_copy,
    sync,
    verified,
    write_manifest,
)
from tenhertz.telemetry.alerts import ALERTS_FILE
from tenhertz.telemetry.config import FleetConfig, data_dir

_STORE = "store"
_SHOW_AFTER_S = 2.0


class Restored(msgspec.Struct, frozen=True):
    """What a restoration did."""

    manifest: Manifest
    moved: list[str]  # where what stood in the way is now


def make_backup(config: FleetConfig, path: Path, folder: Path, now_ns: int) -> Manifest:
    """Copy store and alerts into a new or empty folder.

    Raises:
        UserError: the folder is not empty, or a program is lacking.
        StoreTrouble: something cannot be read or written now; the folder is left empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder; name one that is new or empty")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return _made(config, path, folder, now_ns)
    except BaseException:  # half a backup would only stand in the way of the next
        for part in folder.iterdir():
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)
        raise


def _made(config: FleetConfig, path: Path, folder: Path, now_ns: int) -> Manifest:
    place = data_dir(config, path)
    with progress_of("copying") as progress:
        if config.store.kind == "embedded":
            (folder / _STORE).mkdir()
            position, rows = copy_store(place / _STORE, folder / _STORE, progress)
        else:
            from tenhertz.cli.fleet_postgres import dump

            position, rows = dump(config, path, folder), 0
    if (place / ALERTS_FILE).exists():
        copy_database(place / ALERTS_FILE, folder / ALERTS_FILE)
    with progress_of("reading back") as progress:
        return write_manifest(folder, config.store.kind, now_ns, position, rows, progress)


def put_back(config: FleetConfig, path: Path, folder: Path, now_ns: int) -> Restored:
    """Verify a backup, then put it where the server has nothing.

    Raises:
        UserError: a server runs, there is a store already, or the backup is of another kind.
        NotABackup: the folder holds no whole backup.
        StoreTrouble: something cannot be read or written.
    """
    place = data_dir(config, path)
    running = UserError(
        f"fleet server '{config.fleet.server}' runs with {place}; stop it, then restore"
    )
    place.mkdir(parents=True, exist_ok=True)
    if any(is_held(place / f"{who}.lock") for who in ("parent", "ingest", "writer")):
        raise running
    # Held to the end, so that no server starts meanwhile.
    with held(place / "parent.lock", f"fleet server '{config.fleet.server}'"):
        with progress_of("verifying") as progress:
            manifest = verified(folder, progress)
        if manifest.store != config.store.kind:
            raise UserError(
                f"{folder} is the backup of a store of kind '{manifest.store}', but store.kind is "
                f"'{config.store.kind}' in {path}"
            )
        if config.store.kind == "embedded":
            return _put_back_embedded(place, folder, manifest, now_ns)
        from tenhertz.cli.fleet_postgres import load

        load(config, path, folder)
        return Restored(manifest, _alerts_back(place, folder, now_ns) + _aside(place, now_ns))


def _put_back_embedded(place: Path, folder: Path, manifest: Manifest, now_ns: int) -> Restored:
    store, coming = place / _STORE, place / f"{_STORE}.restoring"
    if not is_empty(store):
        raise UserError(
            f"{store} holds a store; move it away first, and restore after that: a restoration "
            "replaces nothing"
        )
    if coming.exists():  # of a restoration that was cut off
        shutil.rmtree(coming)
    try:
        with progress_of("copying") as progress:
            _copied(folder, manifest, coming, progress)
    except BaseException:
        shutil.rmtree(coming, ignore_errors=True)
        raise
    # The spool first: cut off after this, there is no store, and no server takes the wrong one.
    moved = _aside(place, now_ns)
    if store.exists():
        moved += [_moved(store, now_ns)]
    moved += _alerts_back(place, folder, now_ns)
    coming.rename(store)
    sync(place)
    return Restored(manifest, moved)


def _copied(
    folder: Path, manifest: Manifest, coming: Path, progress: Callable[[int, int], None]
) -> None:
    wanted = [file for file in manifest.files if file.path.startswith(f"{_STORE}/")]
    whole, done = sum(file.size for file in wanted), 0
    for file in wanted:
        target = coming / file.path.removeprefix(f"{_STORE}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".parquet":
            link_or_copy(folder / file.path, target)
        else:  # it is written to later on
            copy_durably(folder / file.path, target)
        done += file.size
        progress(done, whole)
    for place in (coming, *(path for path in coming.rglob("*") if path.is_dir())):
        sync(place)


def _alerts_back(place: Path, folder: Path, now_ns: int) -> list[str]:
    """Put the alerts back; those that are there, with their log, are moved aside."""
    moved = []
    for ending in ("", "-wal", "-shm"):
        file = place / f"{ALERTS_FILE}{ending}"
        if file.exists():
            moved.append(_moved(file, now_ns))
    if (folder / ALERTS_FILE).exists():
        copy_database(folder / ALERTS_FILE, place / ALERTS_FILE)
    return moved


def _aside(place: Path, now_ns: int) -> list[str]:
    """Move the spool away: it knows of more than the store that comes back."""
    spool = place / "spool"
    return [_moved(spool, now_ns)] if spool.exists() else []


def _moved(path: Path, now_ns: int) -> str:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ns // 10**9))
    target = path.with_name(f"{path.name}.before-{stamp}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.before-{stamp}-{number}")
    return str(path.rename(target))


@contextlib.contextmanager
def progress_of(what: str) -> Iterator[Callable[[int, int], None]]:
    """On a terminal, bytes done and the time that is left, once it takes over two seconds."""
    columns = (TextColumn(what), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=None)
    began_s = time.monotonic()
    shown = False

    def tell(done: int, whole: int) -> None:
        nonlocal shown
        bar.update(task, completed=done, total=whole)
        if not shown and sys.stderr.isatty() and time.monotonic() - began_s > _SHOW_AFTER_S:
            shown = True
            bar.start()

    try:
        yield tell
    finally:
        if shown:
            bar.stop()
