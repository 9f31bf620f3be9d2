"""Where messages stand on the broker: `tenhertz/1/<fleet>/<partition>/<source>/<what>`.

The partition is a hash of the source, so that a server can take a fixed share of the sources, and a
share can move to another server by its subscription alone.
"""

from __future__ import annotations

import zlib
from typing import Literal, NamedTuple

PARTITIONS = 64
_ROOT = "tenhertz/1"

What = Literal["up", "down"]


class Topic(NamedTuple):
    """A topic taken apart."""

    fleet: str
    partition: int
    source: str
    what: str


def partition_of(source: str, partitions: int = PARTITIONS) -> int:
    """The partition of a source: CRC-32 of its name, so that every side and version agrees."""
    return zlib.crc32(source.encode()) % partitions


def topic(fleet: str, source: str, what: What) -> str:
    """The topic of one source: `up` to the fleet or `down` to the source."""
    return f"{_ROOT}/{fleet}/{partition_of(source)}/{source}/{what}"


def subscription(fleet: str, what: What, partition: int | None = None, group: str = "") -> str:
    """The filter for all sources, or those of one partition; shared among a group of servers."""
    place = "+" if partition is None else str(partition)
    shared = f"$share/{group}/" if group else ""
    return f"{shared}{_ROOT}/{fleet}/{place}/+/{what}"


def parse_topic(text: str) -> Topic:
    """A topic taken apart.

    Raises:
        ValueError: it is none of ours.
    """
    parts = text.split("/")
    if len(parts) != 6 or "/".join(parts[:2]) != _ROOT or not parts[3].isdecimal():
        raise ValueError(f"'{text[:80]}' is not a topic of this program")
    return Topic(parts[2], int(parts[3]), parts[4], parts[5])
