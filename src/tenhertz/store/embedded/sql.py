"""SQL over the embedded store, through DuckDB: views on the segments that count at this moment.

Views: one a kind (`sample`, `tick`, `event`, `loss`, `cell`) with its rows; `<kind>_minutes` with
the tier of minutes; and `battery_telemetry`, one row a cell. Each has `time_ns` and, besides,
`time` (UTC); a condition on `time_ns` skips segments, one on `time` does not. A number that a
device did not give is NULL. Nothing can be written, and no other file can be read.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from tenhertz.link.points import POINTS, Kind
from tenhertz.store.embedded import block, minutes
from tenhertz.store.embedded.catalogue import CATALOGUE_FILE, SEGMENT_FOLDER, Catalogue, Segment
from tenhertz.store.sqlite import StoreTrouble

# A segment may be replaced between the look at the catalogue and its reading.
_TRIES = 3
_SPILL_GB = 16
_BATTERY_TELEMETRY = """
CREATE VIEW battery_telemetry AS
SELECT time, time_ns, source || '/' || entity AS pack_id,
    unnest(generate_series(1, len(voltage_v)))::INTEGER AS cell_id,
    nullif(unnest(voltage_v), 'nan'::FLOAT) AS voltage, current_a AS current,
    nullif(unnest(temperature_c), 'nan'::FLOAT) AS temperature
FROM cell
"""


class NotSql(Exception):  # noqa: N818 - a verdict on a query, not a fault of the program
    """A query that cannot be answered; the text says why."""


class Answer(NamedTuple):
    """Rows of a query."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    more: bool  # there were more than wanted


def select(folder: Path, query: str, most: int, *, memory_mb: int = 1024) -> Answer:
    """The first rows of one SELECT.

    Raises:
        NotSql: it is none, or it cannot be answered.
        StoreTrouble: the store cannot be read now.
    """
    try:
        query.encode()
        statements = duckdb.extract_statements(query)
    except UnicodeEncodeError as error:
        raise NotSql("the query is not UTF-8 text") from error
    except duckdb.Error as error:
        raise NotSql(_words(error)) from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise NotSql("give one SELECT; the store cannot be changed this way")
    missing = ""
    for _ in range(_TRIES):
        try:
            with _opened(folder, memory_mb) as database:
                asked = database.execute(query)
                rows = asked.fetchmany(most + 1)
                names = [str(column[0]) for column in asked.description or ()]
                return Answer(_distinct(names), rows[:most], len(rows) > most)
        except duckdb.IOException as error:
            missing = _words(error)
        except (duckdb.Error, ValueError, OverflowError) as error:
            raise NotSql(_words(error)) from error
    raise StoreTrouble(f"a segment cannot be read: {missing}")


@contextlib.contextmanager
def _opened(folder: Path, memory_mb: int) -> Iterator[Any]:
    """A database in memory that sees the segments and nothing else."""
    segments = _segments(folder)
    paths = [str(folder / SEGMENT_FOLDER / segment.file) for segment in segments]
    with tempfile.TemporaryDirectory(prefix="tenhertz-sql-") as spill:
        database = duckdb.connect(":memory:")
        try:
            for setting in (
                f"memory_limit = '{memory_mb}MB'",
                f"temp_directory = {_quoted(spill)}",
                f"max_temp_directory_size = '{_SPILL_GB}GB'",
                "autoinstall_known_extensions = false",
                "autoload_known_extensions = false",
                f"allowed_paths = [{', '.join(map(_quoted, paths))}]",
                "enable_external_access = false",
            ):
                database.execute(f"SET {setting}")
            for kind in Kind:
                _add_views(database, folder / SEGMENT_FOLDER, segments, kind)
            database.execute(_BATTERY_TELEMETRY)
            database.execute("SET lock_configuration = true")
            yield database
        finally:
            database.close()


def _segments(folder: Path) -> list[Segment]:
    if not (folder / CATALOGUE_FILE).exists():
        return []
    catalogue = Catalogue(folder, writable=False)
    try:
        return catalogue.segments()
    finally:
        catalogue.close()


def _add_views(database: Any, folder: Path, segments: list[Segment], kind: Kind) -> None:
    name = kind.name.lower()
    of_kind = [segment for segment in segments if segment.kind == kind]
    rows = [str(folder / segment.file) for segment in of_kind if not segment.minutes]
    _add_view(database, name, rows, block.schema_of(kind), _absent_as_null(kind))
    if kind not in minutes.UNTIERED:
        tier = [str(folder / segment.file) for segment in of_kind if segment.minutes]
        _add_view(database, f"{name}_minutes", tier, minutes.schema_of(kind), "*")


def _absent_as_null(kind: Kind) -> str:
    absent = [
        f"nullif({point.name}, 'nan') AS {point.name}"
        for point in POINTS[kind]
        if point.may_be_absent and not point.per_cell
    ]
    return f"* REPLACE ({', '.join(absent)})" if absent else "*"


def _add_view(database: Any, name: str, paths: list[str], schema: Any, columns: str) -> None:
    """A view on Parquet files, or on nothing where there is none yet."""
    if paths:
        origin = f"read_parquet([{', '.join(map(_quoted, paths))}])"
    else:
        origin = f"nothing_{name}"
        database.register(origin, schema.empty_table())
    database.execute(
        f"CREATE VIEW {name} AS "  # noqa: S608 - names of ours, and quoted paths
        f"SELECT make_timestamp_ns(time_ns) AS time, {columns} FROM {origin}"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _distinct(names: list[str]) -> list[str]:
    """Column names, each once: JSON objects have no two alike."""
    found: list[str] = []
    for name in names:
        number, distinct = 1, name
        while distinct in found:
            number += 1
            distinct = f"{name}_{number}"
        found.append(distinct)
    return found


def _words(error: BaseException) -> str:
    """The first line of a message; the others draw the query."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
