"""`tenhertz fleet backup, restore`: a copy of what a fleet server has stored, and the way back.

The rows, the accounts of what has come, and the alerts. Not the spool: what the store has not taken
yet is not in a backup. Not the keys, certificates and configuration either.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tenhertz.cli.fleet_words import ConfigPath, Json, instant_text
from tenhertz.errors import UserError


def add_keeping(app: typer.Typer) -> None:
    """Add these verbs."""
    app.command(epilog="Example: tenhertz fleet backup fleet.toml /backup/2026-01-31")(backup)
    app.command(epilog="Example: tenhertz fleet restore fleet.toml /backup/2026-01-31")(restore)


def backup(
    config: ConfigPath,
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    *,
    json: Json = False,
) -> None:
    """Copy the store and the alerts, while the server runs or not."""
    from tenhertz.cli.fleet_copy import make_backup
    from tenhertz.telemetry.config import load_fleet

    with _told(f"no backup in {folder}"):
        made = make_backup(load_fleet(config), config, folder, time.time_ns())
    size = sum(file.size for file in made.files)
    if json:
        told = {"files": len(made.files), "bytes": size, "rows": made.rows}
        typer.echo(msgspec.json.encode(told | {"position": made.position}).decode())
    else:
        rows = f", {made.rows} rows" if made.store == "embedded" else ""
        typer.echo(f"{folder}: {len(made.files)} files, {size / 1e6:.1f} MB{rows}")


def restore(
    config: ConfigPath,
    folder: Annotated[Path, typer.Argument(help="The folder of a backup.")],
    *,
    json: Json = False,
) -> None:
    """Put a backup back, where the server does not run and has no store."""
    from tenhertz.cli.fleet_copy import put_back
    from tenhertz.store.embedded.backup import NotABackup
    from tenhertz.telemetry.config import load_fleet

    with _told("nothing was restored"):
        try:
            done = put_back(load_fleet(config), config, folder, time.time_ns())
        except NotABackup as verdict:
            raise UserError(f"nothing was restored: {verdict}") from verdict
    if json:
        typer.echo(msgspec.json.encode(done).decode())
        return
    size = sum(file.size for file in done.manifest.files)
    made = instant_text(done.manifest.made_ns)
    typer.echo(f"restored {size / 1e6:.1f} MB, as they stood on {made} UTC")
    for path in done.moved:
        typer.echo(f"moved aside: {path}")
    typer.echo("start the server: the sources send again what they still have since then")


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Trouble of the store or the disk as a sentence."""
    from tenhertz.store import StoreTrouble

    try:
        yield
    except StoreTrouble as trouble:
        raise UserError(f"{what}: {trouble}") from trouble
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise UserError(f"{what}: {where}{error.strerror or error}") from error
