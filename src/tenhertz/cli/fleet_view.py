"""How rows look: tables for people, JSON and CSV for programs. Absent numbers are empty or null."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from tenhertz.cli.fleet_words import instant_text
from tenhertz.errors import UserError

Form = Literal["table", "json", "csv"]
_WIDE = 10_000  # characters: what goes to a file is not cut to a terminal's width


class Rows(NamedTuple):
    """Rows to be shown; `hint` tells how to see the rest where there is more."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]
    hint: str = ""


def form_of(*, json: bool, as_csv: bool = False) -> Form:
    """Which form was asked for.

    Raises:
        UserError: more than one.
    """
    if json and as_csv:
        raise UserError("--json and --csv exclude each other; give one of them")
    return "json" if json else "csv" if as_csv else "table"


def show(found: Rows, form: Form, empty: str = "nothing found") -> None:
    """Print rows, and on standard error how to see more."""
    if form == "json":
        rows = [dict(zip(found.headings, map(_plain, row), strict=True)) for row in found.rows]
        told = {"rows": rows, "more": bool(found.hint)}
        typer.echo(msgspec.json.encode(told, enc_hook=str).decode())
    elif form == "csv":
        _show_csv(found)
    elif not found.rows:
        typer.echo(empty)
    else:
        _show_table(found)
    if found.hint:
        typer.echo(found.hint, err=True)


def _show_table(found: Rows) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, heading in enumerate(found.headings):
        figure = isinstance(found.rows[0][place], int | float | np.number | np.ndarray)
        right = figure and heading != "time_ns"
        shown = "time (UTC)" if heading == "time_ns" else heading
        table.add_column(shown, justify="right" if right else "left", no_wrap=True)
    for row in found.rows:
        cells = [_text(name, value) for name, value in zip(found.headings, row, strict=True)]
        table.add_row(*cells)
    console = console_for_people()
    console.print(table, markup=False)


def console_for_people() -> Console:
    """Standard output; as wide as needed where it is no terminal."""
    return Console(width=None if sys.stdout.isatty() else _WIDE, markup=False, highlight=False)


def _show_csv(found: Rows) -> None:
    widths = [
        max((len(row[place]) for row in found.rows if _many(row[place])), default=0)
        for place in range(len(found.headings))
    ]
    lines = csv.writer(sys.stdout, lineterminator="\n")
    headings: list[str] = []
    for name, width in zip(found.headings, widths, strict=True):
        headings += [f"{name}_{number}" for number in range(1, width + 1)] if width else [name]
    lines.writerow(headings)
    for row in found.rows:
        fields: list[Any] = []
        for value, width in zip(map(_plain, row), widths, strict=True):
            if width:
                values = value or []
                fields += ["" if one is None else one for one in values]
                fields += [""] * (width - len(values))
            else:
                fields.append("" if value is None else value)
        lines.writerow(fields)


def _many(value: Any) -> bool:
    return isinstance(value, np.ndarray | list | tuple)


def _plain(value: Any) -> Any:
    """A value in the types of JSON; NaN becomes None."""
    if isinstance(value, np.ndarray):
        if value.dtype == np.float32:
            return [_plain(one) for one in value]
        return [_plain(one) for one in value.tolist()]
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.float32):  # its shortest text, not that of the float64 beside it
        value = float(str(value))
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)  # more than JSON's readers take
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _text(name: str, value: Any) -> str:
    """A value for people; many numbers as their range."""
    if name == "time_ns" or (name.endswith("_ns") and isinstance(value, int) and value > 10**17):
        return instant_text(int(value))
    if isinstance(value, np.ndarray):
        there = value[np.isfinite(value)]
        if not there.size:
            return "-"
        return f"{there.min():.4g}..{there.max():.4g} ({value.size})"
    value = _plain(value)
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime | date):
        return str(value)
    # Names and texts come from outside: no control character reaches the terminal.
    return "".join(sign if sign.isprintable() else "?" for sign in str(value))


def rows_of(columns: dict[str, Any], most: int) -> Iterator[list[Any]]:
    """Columns of a store's answer as rows, at most so many."""
    count = min(most, len(columns["time_ns"]))
    for row in range(count):
        yield [values[row] for values in columns.values()]
