"""What the reading end asks, and how an answer becomes columns.

Answers come as binary COPY and are read by NumPy; those with text come row by row.
"""

# Queries are put together from our own names and numbers; text of others is an argument.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tenhertz.link.points import POINTS, Kind, Point
from tenhertz.store.contract import Columns
from tenhertz.store.postgres.database import Connection
from tenhertz.store.postgres.minutes import MINUTE_NS
from tenhertz.store.postgres.records import HEADER, NUMPY, TRAILER, decode
from tenhertz.store.postgres.schema import table


class Wanted(NamedTuple):
    """One column of an answer."""

    name: str
    type: str  # of points.py, or `cells`
    expression: str


def row_columns(kind: Kind) -> list[Wanted]:
    """Every point of a row; NULL becomes NaN."""
    return [_wanted(point) for point in POINTS[kind]]


def _wanted(point: Point) -> Wanted:
    if point.per_cell:
        return Wanted(point.name, "cells", point.name)
    if point.may_be_absent:
        return Wanted(point.name, point.type, f"coalesce({point.name}, 'NaN')")
    return Wanted(point.name, point.type, point.name)


async def ask(connection: Connection, wanted: Sequence[Wanted], rest: str) -> Columns:
    """The columns of a query; `rest` begins at FROM and holds no text of anybody else."""
    query = f"SELECT {', '.join(one.expression for one in wanted)} {rest}"
    names = [one.name for one in wanted]
    if any(one.type == "text" for one in wanted):
        found = await connection.fetch(query)
        return {
            one.name: np.array(
                [row[at] for row in found],
                object if one.type == "text" else np.dtype(NUMPY[one.type]).newbyteorder("="),
            )
            for at, one in enumerate(wanted)
        }
    body: list[bytes] = []

    async def take(part: bytes) -> None:
        body.append(part)

    await connection.copy_from_query(query, output=take, format="binary")
    columns = decode(b"".join(body), [one.type for one in wanted])
    return dict(zip(names, columns, strict=True))


def empty(wanted: Sequence[Wanted]) -> Columns:
    """The answer that has no rows."""
    texts = np.empty(0, object)
    columns = [texts if w.type == "text" else decode(HEADER + TRAILER, [w.type])[0] for w in wanted]
    return {one.name: column for one, column in zip(wanted, columns, strict=True)}


def step_query(
    kind: Kind, key: int, start_ns: int, end_ns: int, every_ns: int
) -> tuple[list[Wanted], str]:
    """One row a step that has any. Steps of whole minutes come from the minute tier."""
    points = [point for point in POINTS[kind] if point.type != "text"]
    wanted = [
        Wanted("time_ns", "i8", f"div(minute_ns, {every_ns})::bigint * {every_ns}"),
        Wanted("rows", "i8", "sum(rows)::bigint"),
    ]
    for point in points:
        name = point.name
        total = f"sum({name}_sum) / nullif(sum({name}_count), 0)"
        wanted.append(Wanted(f"{name}_mean", "f8", f"coalesce({total}, 'NaN')"))
        for part in ("min", "max"):
            value = f"coalesce({part}({name}_{part})::float8, 'NaN')"
            wanted.append(Wanted(f"{name}_{part}", "f8", value))
    rest = f"FROM ({_parts(kind, points, key, start_ns, end_ns, every_ns)}) AS part"
    return wanted, f"{rest} GROUP BY 1 ORDER BY 1"


def _parts(
    kind: Kind, points: Sequence[Point], key: int, start_ns: int, end_ns: int, every_ns: int
) -> str:
    """What is added up: minutes, and rows as if each were a minute of its own."""
    whole_from = -(-start_ns // MINUTE_NS) * MINUTE_NS
    whole_until = end_ns // MINUTE_NS * MINUTE_NS
    if every_ns % MINUTE_NS or whole_from >= whole_until:
        return _rows(kind, points, key, start_ns, end_ns)
    minutes = (
        f"SELECT * FROM {table(kind)}_minute WHERE entity = {key}"
        f" AND minute_ns >= {whole_from} AND minute_ns < {whole_until}"
    )
    parts = [minutes]
    for begin, end in ((start_ns, whole_from), (whole_until, end_ns)):
        if begin < end:
            parts.append(_rows(kind, points, key, begin, end))
    return " UNION ALL ".join(parts)


def _rows(kind: Kind, points: Sequence[Point], key: int, start_ns: int, end_ns: int) -> str:
    columns = ["entity", "time_ns AS minute_ns", "1::bigint AS rows"]
    joins = []
    for point in points:
        name = point.name
        four = [f"{name}_{part}" for part in ("sum", "count", "min", "max")]
        if point.per_cell:
            columns += four
            joins.append(
                "CROSS JOIN LATERAL (SELECT coalesce(sum(x::float8), 0), count(x), min(x), max(x)"
                f" FROM unnest({name}) AS x WHERE x <> 'NaN')"
                f" AS of_{name} ({', '.join(four)})"
            )
        else:
            values = (f"coalesce({name}, 0)::float8", f"num_nonnulls({name})::bigint", name, name)
            columns += [f"{value} AS {part}" for value, part in zip(values, four, strict=True)]
    return (
        f"SELECT {', '.join(columns)} FROM {table(kind)} {' '.join(joins)}"
        f" WHERE entity = {key} AND time_ns >= {start_ns} AND time_ns < {end_ns}"
    )
