"""Backup and restoration of a PostgreSQL store, by the programs that come with PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from tenhertz.errors import UserError
from tenhertz.telemetry.config import FleetConfig, store_url
from tenhertz.telemetry.stores import open_reader

DUMP_FILE = "fleet.dump"


def dump(config: FleetConfig, path: Path, folder: Path) -> int:
    """Dump the database that holds the store; returns the position it had at least.

    Raises:
        UserError: pg_dump is lacking or fails.
        StoreTrouble: the database does not answer.
    """
    program = _program("pg_dump", "back up")
    position = _position(config, path)
    url, environment = _without_password(store_url(config, path))
    file = folder / DUMP_FILE
    _run([program, "--format=custom", f"--file={file}", f"--dbname={url}"], environment)
    return position


def load(config: FleetConfig, path: Path, folder: Path) -> None:
    """Load a dump into a database without a store, all or nothing.

    Raises:
        UserError: pg_restore is lacking or fails, or there is a store.
        StoreTrouble: the database does not answer.
    """
    program = _program("pg_restore", "restore")
    if _position(config, path):
        raise UserError(
            f"{path}: the database holds a store already; make a new database and name it in the "
            "store's URL: a restoration replaces nothing"
        )
    url, environment = _without_password(store_url(config, path))
    words = ["--clean", "--if-exists", "--no-owner", "--single-transaction", f"--dbname={url}"]
    _run([program, *words, str(folder / DUMP_FILE)], environment)


def _position(config: FleetConfig, path: Path) -> int:
    with contextlib.closing(open_reader(config, path)) as reader:
        return reader.state().position


def _program(name: str, what: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise UserError(
            f"the store is PostgreSQL, and {name} is not on the PATH; install PostgreSQL's client "
            f"programs, or {what} with the database's own tools"
        )
    return found


def _without_password(url: str) -> tuple[str, dict[str, str]]:
    """A URL without its password, which other users of the machine could read in a list of
    processes, and an environment that holds it."""
    parts = urlsplit(url)
    environment = dict(os.environ)
    if parts.password is None:
        return url, environment
    user, _, host = parts.netloc.rpartition("@")
    environment["PGPASSWORD"] = unquote(parts.password)
    bare = f"{user.partition(':')[0]}@{host}"
    return urlunsplit(parts._replace(netloc=bare)), environment


def _run(words: list[str], environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - a program found on the PATH, no shell
            words, env=environment, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise UserError(f"{words[0]}: {error.strerror}") from error
    if done.returncode:
        said = " ".join(done.stderr.split())[:400] or f"exit code {done.returncode}"
        raise UserError(f"{Path(words[0]).name} failed: {said}")
