"""`tenhertz fleet alerts, ack, latest, range, gaps, sql`: look at what a fleet server has.

All of them read beside a running server, or without one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from tenhertz.cli.fleet_words import (
    ConfigPath,
    Csv,
    Json,
    Limit,
    duration_ns,
    instant_ns,
    instant_text,
)
from tenhertz.errors import UserError

if TYPE_CHECKING:
    from tenhertz.store.contract import Reader
    from tenhertz.telemetry.alerts import AlertBook

KindName = Annotated[
    Literal["sample", "tick", "event", "loss", "cell"], typer.Option(help="Which rows.")
]
OneSource = Annotated[str, typer.Option(help="Only this site or gateway.")]


def add_looking(app: typer.Typer) -> None:
    """Add these verbs."""
    app.command(epilog="Example: tenhertz fleet alerts fleet.toml")(alerts)
    app.command(epilog="Example: tenhertz fleet ack fleet.toml 12 --who 'R. Lind'")(ack)
    app.command(epilog="Example: tenhertz fleet latest fleet.toml --kind cell")(latest)
    app.command(
        "range",
        epilog="Example: tenhertz fleet range fleet.toml site-1 c01 --start -1h --every 1m",
    )(range_)
    app.command(epilog="Example: tenhertz fleet gaps fleet.toml")(gaps)
    app.command(
        epilog='Example: tenhertz fleet sql fleet.toml "SELECT count(*) FROM sample"',
    )(sql)


# -- alerts -----------------------------------------------------------------------------------


def alerts(
    config: ConfigPath,
    *,
    every: Annotated[bool, typer.Option("--all", help="Closed ones too, newest first.")] = False,
    limit: Limit = 200,
    json: Json = False,
) -> None:
    """Show the alerts that are open, the gravest first."""
    from tenhertz.cli.fleet_view import Rows, form_of, show

    with _alert_book(config) as book:
        found = [] if book is None else book.history(limit + 1) if every else book.open_alerts()
    hint = "there are more: raise --limit" if len(found) > limit else ""
    form = form_of(json=json)
    if form == "json":
        told = {"rows": found[:limit], "more": bool(hint)}
        typer.echo(msgspec.json.encode(told).decode())
        if hint:
            typer.echo(hint, err=True)
        return
    headings = ("number", "level", "state", "source", "entity", "since (UTC)", "seen by", "text")
    rows = [
        (
            *(str(alert.number), alert.level, alert.state, alert.source, alert.entity),
            *(instant_text(alert.raised_ns), alert.acknowledged_by, alert.text),
        )
        for alert in found[:limit]
    ]
    show(Rows(headings, rows, hint), form, "no alerts" if every else "no open alerts")


def ack(
    config: ConfigPath,
    number: Annotated[int, typer.Argument(help="The alert's number.")],
    *,
    who: Annotated[str, typer.Option(help="Who has seen it.")],
) -> None:
    """Note that someone has seen an alert. It stays open until its cause is gone."""
    with _alert_book(config) as book:
        if book is None:
            raise UserError(f"alert {number} is not open: this server has had no alerts")
        alert = book.acknowledge(number, who, time.time_ns())
    typer.echo(f"alert {alert.number} ({alert.source}, {alert.entity}): seen by {who}")


@contextlib.contextmanager
def _alert_book(path: Path) -> Iterator[AlertBook | None]:
    """The alerts of a server; None where it has never run."""
    import sqlite3

    from tenhertz.telemetry.alerts import ALERTS_FILE, AlertBook
    from tenhertz.telemetry.config import data_dir, load_fleet

    file = data_dir(load_fleet(path), path) / ALERTS_FILE
    if not file.exists():
        yield None
        return
    try:
        book = AlertBook(file)
        try:
            yield book
        finally:
            book.close()
    except sqlite3.Error as error:
        raise UserError(f"{file}: the alerts cannot be read or changed: {error}") from error


# -- rows -------------------------------------------------------------------------------------


def latest(
    config: ConfigPath,
    *,
    kind: KindName = "sample",
    source: OneSource = "",
    limit: Limit = 100,
    json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show the newest row of every unit or pack."""
    from tenhertz.cli.fleet_view import Rows, form_of, rows_of, show
    from tenhertz.link import Kind

    form = form_of(json=json, as_csv=as_csv)
    with _reader(config) as reader:
        found = reader.latest(Kind[kind.upper()], source or None)
    there = len(found["time_ns"])
    more = f"{there - limit} more: raise --limit, or name a --source" if there > limit else ""
    show(Rows(tuple(found), list(rows_of(found, limit)), more), form, f"no {kind} rows yet")


def range_(
    config: ConfigPath,
    source: Annotated[str, typer.Argument(help="The site or gateway.")],
    entity: Annotated[str, typer.Argument(help="The unit or pack.")],
    *,
    kind: KindName = "sample",
    start: Annotated[str, typer.Option(help="Instant with zone, or back from now.")] = "-1h",
    end: Annotated[str, typer.Option(help="The first instant not wanted.")] = "now",
    every: Annotated[str, typer.Option(help="One row a step, from 1s up.")] = "",
    limit: Limit = 1000,
    json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show the rows of one unit or pack, or their mean, least and greatest in steps."""
    from tenhertz.cli.fleet_range import Asked, first_rows
    from tenhertz.cli.fleet_view import Rows, form_of, rows_of, show
    from tenhertz.link import Kind

    form = form_of(json=json, as_csv=as_csv)
    now_ns = time.time_ns()
    start_ns, end_ns = instant_ns(start, "--start", now_ns), instant_ns(end, "--end", now_ns)
    if start_ns >= end_ns:
        raise UserError(f"--start {start} is not before --end {end}; change one of them")
    every_ns = duration_ns(every, "--every") if every else None
    if every_ns is not None and every_ns < 10**9:
        raise UserError(f"--every {every} is too short; take 1s or more, or leave it out")
    asked = Asked(Kind[kind.upper()], source, entity, start_ns, end_ns, every_ns)
    with _reader(config) as reader:
        found = first_rows(reader, asked, limit + 1)
    hint = ""
    if len(found["time_ns"]) > limit:
        last = instant_text(int(found["time_ns"][limit - 1]))
        hint = f"shown up to {last} UTC; there is more: raise --limit, or take a longer --every"
    empty = f"no {kind} rows of {source}, {entity} in that time"
    show(Rows(tuple(found), list(rows_of(found, limit)), hint), form, empty)


def gaps(
    config: ConfigPath,
    *,
    source: OneSource = "",
    limit: Limit = 1000,
    json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show which rows the store knows that it does not have, and why."""
    from tenhertz.cli.fleet_view import Rows, form_of, show

    form = form_of(json=json, as_csv=as_csv)
    with _reader(config) as reader:
        found = reader.gaps(source or None)
    headings = ("source", "stream", "kind", "first", "end", "rows", "cause")
    not_yet = "" if form == "csv" else "not yet come"
    rows = [
        (
            *(gap.source, f"{gap.stream:016x}", gap.kind.lower(), gap.first, gap.end, gap.rows),
            gap.cause or (None if form == "json" else not_yet),
        )
        for gap in found[:limit]
    ]
    more = f"{len(found) - limit} more: raise --limit" if len(found) > limit else ""
    show(Rows(headings, rows, more), form, "no gaps: every row that was taken is here")


def sql(
    config: ConfigPath,
    query: Annotated[str, typer.Argument(help="One SELECT.")],
    *,
    limit: Limit = 1000,
    memory_mb: Annotated[int, typer.Option(min=64, help="Memory of the query.")] = 1024,
    json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Ask the embedded store in SQL; nothing can be changed."""
    from tenhertz.cli.fleet_view import Rows, form_of, show
    from tenhertz.store.embedded.sql import NotSql, select
    from tenhertz.telemetry.config import data_dir, load_fleet

    form = form_of(json=json, as_csv=as_csv)
    found = load_fleet(config)
    if found.store.kind != "embedded":
        raise UserError(
            f"{config}: the store is PostgreSQL; ask it with psql and the URL of the store"
        )
    with _told(config):
        try:
            answer = select(data_dir(found, config) / "store", query, limit, memory_mb=memory_mb)
        except NotSql as mistake:
            raise UserError(f"sql: {mistake}") from mistake
    hint = "there are more rows: raise --limit, or aggregate" if answer.more else ""
    show(Rows(answer.columns, answer.rows, hint), form, "no rows")


@contextlib.contextmanager
def _reader(path: Path) -> Iterator[Reader]:
    from tenhertz.telemetry.config import load_fleet
    from tenhertz.telemetry.stores import open_reader

    with _told(path):
        reader = open_reader(load_fleet(path), path)
        try:
            yield reader
        finally:
            reader.close()


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """A store's trouble as a sentence."""
    from tenhertz.store import StoreTrouble

    try:
        yield
    except StoreTrouble as trouble:
        raise UserError(f"{path}: the store cannot be read now: {trouble}") from trouble
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise UserError(f"the store cannot be read: {where}{error.strerror or error}") from error
    except UnicodeEncodeError as error:
        raise UserError("names and queries are UTF-8 text; write them so") from error
