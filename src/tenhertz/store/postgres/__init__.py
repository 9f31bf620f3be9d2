"""Samples in PostgreSQL 15 or newer: for fleets that have a database server.

A tour: `database` is the connection, `schema` the tables and days, `records` the binary rows,
`minutes` the sums of the minute tier; `store` writes, `reader` reads. `timescale` is used where the
extension is there. Needs asyncpg and NumPy.
"""

from tenhertz.store.postgres.reader import PostgresReader
from tenhertz.store.postgres.store import PostgresStore

__all__ = ["PostgresReader", "PostgresStore"]
