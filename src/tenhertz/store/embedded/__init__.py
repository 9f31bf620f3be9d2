"""The fleet's store without a server: Parquet segments, a SQLite catalogue, nothing else.

A segment is written whole, synced, and never changed; the catalogue says which segments count, in
the transaction that also moves the position. What a crash leaves beside it is swept up.
"""

from tenhertz.store.embedded.reader import EmbeddedReader
from tenhertz.store.embedded.writer import EmbeddedStore

__all__ = ["EmbeddedReader", "EmbeddedStore"]
