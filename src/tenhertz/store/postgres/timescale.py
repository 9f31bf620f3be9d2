"""TimescaleDB, where a database has the extension: its chunks instead of partitions of ours.

Chunks are compressed after a time and dropped after another by the extension's own jobs. The
minute tier stays the ordinary tables that every commit adds to: it is exact at once and holds late
rows, so that continuous aggregates would only repeat it.

The extension is in no package registry and was not at hand: nothing here has been run against it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tenhertz.store.contract import Retention
from tenhertz.store.postgres.database import Connection
from tenhertz.store.postgres.rows import DAY_NS


async def is_there(connection: Connection) -> bool:
    """Whether the extension was created in this database (`CREATE EXTENSION timescaledb`)."""
    found = "SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"
    return bool(await connection.fetchval(found))


def without_partitions(statements: str) -> str:
    """The first migration, with tables that can become hypertables."""
    return re.sub(r"\)\s*PARTITION BY RANGE \(time_ns\);", ");", statements)


async def divide(connection: Connection, tables: Sequence[str]) -> None:
    """Make hypertables of a day a chunk, compressed by entity."""
    await connection.execute(
        "CREATE FUNCTION tenhertz_now_ns() RETURNS bigint LANGUAGE sql STABLE AS"
        " $$SELECT (extract(epoch FROM now()) * 1000000000)::bigint$$"
    )
    for table in tables:
        await connection.execute(
            f"SELECT create_hypertable('{table}', 'time_ns',"
            f" chunk_time_interval => {DAY_NS}::bigint);"
            f"SELECT set_integer_now_func('{table}', 'tenhertz_now_ns');"
            f"ALTER TABLE {table} SET (timescaledb.compress,"
            " timescaledb.compress_segmentby = 'entity', timescaledb.compress_orderby = 'time_ns')"
        )


async def set_retention(
    connection: Connection, tables: Sequence[str], retention: Retention
) -> None:
    """Replace the jobs that compress and drop chunks."""
    compress_ns = int(retention.compress_after_days * DAY_NS)
    for table in tables:
        statements = [
            f"SELECT remove_compression_policy('{table}', if_exists => true)",
            f"SELECT remove_retention_policy('{table}', if_exists => true)",
            f"SELECT add_compression_policy('{table}', {compress_ns}::bigint)",
        ]
        if retention.full_days is not None:
            drop_ns = int(retention.full_days * DAY_NS)
            statements.append(f"SELECT add_retention_policy('{table}', {drop_ns}::bigint)")
        await connection.execute(";".join(statements))
