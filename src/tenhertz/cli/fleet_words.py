"""What the verbs of `tenhertz fleet` share: arguments, instants and durations as people write them.

Not for output: that is fleet_view.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from tenhertz.errors import UserError

ConfigPath = Annotated[Path, typer.Argument(help="The fleet server's configuration, a TOML file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Limit = Annotated[int, typer.Option(min=1, help="How many rows at most.")]

_UNITS_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9}
_LARGEST_FILE_BYTES = 4 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - the same on every version
_LAST_NS = 2**63 - 1


def duration_ns(text: str, what: str) -> int:
    """A duration such as 10s, 1m, 1.5h or 7d.

    Raises:
        UserError: it is none.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])", text)
    if not found or not float(found[1]):
        raise UserError(f"{what} '{text}' is not a duration; write one such as 10s, 1m, 1h or 7d")
    return round(float(found[1]) * _UNITS_NS[found[2]])


def instant_ns(text: str, what: str, now_ns: int | None = None) -> int:
    """An instant: ISO 8601 with a zone; with `now_ns` also `now` and durations before it as -1h.

    Raises:
        UserError: it is none, or has no zone.
    """
    if now_ns is not None and text == "now":
        return now_ns
    if now_ns is not None and text.startswith("-"):
        return now_ns - duration_ns(text[1:], what)
    relative = "" if now_ns is None else ", or one such as -1h"
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(
            f"{what} '{text}' is not an instant; write one such as 2026-01-31T12:00:00Z{relative}"
        ) from None
    if found.tzinfo is None:
        raise UserError(f"{what} '{text}' has no zone; end it with Z for UTC, or with +01:00")
    since = found - _EPOCH
    instant = (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
    if abs(instant) > _LAST_NS:
        raise UserError(f"{what} '{text}' is too far away; take a year between 1700 and 2200")
    return instant


def instant_text(at_ns: int) -> str:
    """An instant in UTC to the millisecond, for people."""
    whole = datetime.fromtimestamp(at_ns // 10**9, _EPOCH.tzinfo)
    return f"{whole:%Y-%m-%d %H:%M:%S}.{at_ns // 10**6 % 1000:03}"


def csv_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file with exactly these columns, each with the place for messages.

    Raises:
        UserError: it cannot be read, is too large, or has other columns.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise UserError(f"{path} is larger than 4 MiB, more than any command may hold")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text; save it as UTF-8") from error
    wanted = ",".join(columns)
    try:
        lines = csv.reader(text.splitlines(), strict=True)
        heading = [name.strip() for name in next(lines, [])]
        if sorted(heading) != sorted(columns):
            raise UserError(f"{path}: the first line must name the columns {wanted}")
        for fields in lines:
            if not fields:
                continue
            where = f"{path}, line {lines.line_num}"
            if len(fields) != len(heading):
                raise UserError(f"{where}: {len(fields)} fields; there must be {len(heading)}")
            yield where, dict(zip(heading, map(str.strip, fields), strict=True))
    except csv.Error as error:
        raise UserError(f"{path} is not CSV: {error}") from error


def number_in(text: str, what: str) -> float:
    """A finite number.

    Raises:
        UserError: it is none.
    """
    if not re.fullmatch(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?(e[+-]?[0-9]{1,2})?", text):
        raise UserError(f"{what} '{text}' is not a number")
    return float(text)
