"""The tables: migrations, the day's partitions, and what is let go of after its time.

A migration is a numbered file beside this one. It is applied once, in a transaction of its own,
while no other server does the same.
"""

# Queries are put together from our own names and numbers; text of others is an argument.
# ruff: noqa: S608

from __future__ import annotations

from datetime import date, timedelta
from importlib import resources

from tenhertz.link.points import POINTS, Kind
from tenhertz.store.postgres import timescale
from tenhertz.store.postgres.database import Connection
from tenhertz.store.postgres.rows import DAY_NS
from tenhertz.store.sqlite import StoreTrouble

# Of all advisory locks in a database: any number that nobody else uses.
MIGRATING = 0x74656E68  # "tenh"
DIVIDING = 0x74656E69

_PIECE_ROWS = 20_000
_DAY_NS = int(DAY_NS)

_DAYS = """
SELECT parent.relname AS kind, child.relname AS name
FROM pg_inherits
JOIN pg_class AS parent ON parent.oid = inhparent
JOIN pg_class AS child ON child.oid = inhrelid
WHERE parent.relkind = 'p' AND inhparent = ANY($1::regclass[])
ORDER BY child.relname
"""


def table(kind: Kind) -> str:
    """The table of a kind's rows."""
    return kind.name.lower()


def migrations() -> list[tuple[int, str]]:
    """Number and statements of each, ascending."""
    folder = resources.files(__package__ or "") / "migrations"
    files = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return [(int(name[:4]), (folder / name).read_text(encoding="utf-8")) for name in files]


async def version_of(connection: Connection) -> int:
    """The version of the tables; 0: there are none.

    Raises:
        StoreTrouble: a newer program made them.
    """
    if await connection.fetchval("SELECT to_regclass('tenhertz_schema')") is None:
        return 0
    found = int(await connection.fetchval("SELECT coalesce(max(version), 0) FROM tenhertz_schema"))
    newest = migrations()[-1][0]
    if found > newest:
        raise StoreTrouble(
            f"the tables in PostgreSQL are of a newer version ({found}; this program knows "
            f"{newest}); use the newer program or another database"
        )
    return found


async def migrate(connection: Connection, *, with_timescale: bool) -> None:
    """Make the tables, or bring them to this program's version.

    Raises:
        StoreTrouble: a newer program made them.
    """
    if await version_of(connection) == migrations()[-1][0]:
        return
    await connection.execute("SELECT pg_advisory_lock($1)", MIGRATING)
    try:
        done = await version_of(connection)
        for number, statements in migrations():
            if number > done:
                async with connection.transaction():
                    if number == 1:
                        await _begin(connection, statements, with_timescale=with_timescale)
                    else:
                        await connection.execute(statements)
                    await connection.execute("INSERT INTO tenhertz_schema VALUES ($1)", number)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", MIGRATING)


async def _begin(connection: Connection, statements: str, *, with_timescale: bool) -> None:
    await connection.execute(
        "CREATE TABLE tenhertz_schema (version integer PRIMARY KEY,"
        " applied timestamptz NOT NULL DEFAULT now())"
    )
    if with_timescale and await timescale.is_there(connection):
        await connection.execute(timescale.without_partitions(statements))
        await timescale.divide(connection, [table(kind) for kind in Kind])
    else:
        await connection.execute(statements)


async def is_divided_here(connection: Connection) -> bool:
    """Whether the days are partitions of ours, not chunks of TimescaleDB."""
    kind = "SELECT relkind = 'p' FROM pg_class WHERE oid = 'cell'::regclass"
    return bool(await connection.fetchval(kind))


def day_name(kind: Kind, day: int) -> str:
    """The partition of a UTC day, counted from 1970."""
    when = date(1970, 1, 1) + timedelta(days=day)
    return f"{table(kind)}_{when.year:04}_{when.month:02}_{when.day:02}"


def day_of(name: str) -> int:
    """The day of a partition, from its name."""
    year, month, day = name.rsplit("_", 3)[1:]
    return (date(int(year), int(month), int(day)) - date(1970, 1, 1)).days


async def add_day(connection: Connection, kind: Kind, day: int) -> None:
    """Make the partition of a day, unless it is there.

    Attaching waits for no reader and no writer, as creating in place would.
    """
    name = day_name(kind, day)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", DIVIDING)
        if await connection.fetchval("SELECT to_regclass($1)", name) is not None:
            return
        await connection.execute(
            f"CREATE TABLE {name} (LIKE {table(kind)} INCLUDING DEFAULTS INCLUDING STORAGE);"
            f"ALTER TABLE {table(kind)} ATTACH PARTITION {name}"
            f" FOR VALUES FROM ({day * _DAY_NS}) TO ({(day + 1) * _DAY_NS})"
        )


async def drop_a_day(connection: Connection, before_ns: int) -> tuple[Kind, int] | None:
    """Drop the oldest partition that ended before an instant; which it was."""
    found = await connection.fetch(_DAYS, [table(kind) for kind in Kind])
    old = [
        (day_of(row["name"]), row["kind"], row["name"])
        for row in found
        if (day_of(row["name"]) + 1) * _DAY_NS <= before_ns
    ]
    if not old:
        return None
    day, kind, name = min(old)
    await connection.execute(f"DROP TABLE IF EXISTS {name}")  # another server may be first
    return Kind[kind.upper()], day


async def drop_minutes(connection: Connection, before_ns: int) -> bool:
    """Delete some rows of the minute tier that are older; whether there were any."""
    for kind in POINTS:
        name = f"{table(kind)}_minute"
        done = await connection.execute(
            f"DELETE FROM {name} WHERE ctid = ANY(ARRAY("
            f"SELECT ctid FROM {name} WHERE minute_ns < $1 LIMIT {_PIECE_ROWS}))",
            before_ns,
        )
        if done != "DELETE 0":
            return True
    return False
