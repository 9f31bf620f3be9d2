"""The messages between a site and the fleet: schema, topics, signatures, and nothing else.

A tour: `points` lists what crosses the link; schema.proto is its form; `encode` makes batches
(without NumPy, as a site does) and `decode` takes them apart into a `frame` of columns (with NumPy,
as the fleet does); `Intervals` is how both sides know what has arrived; `signature` is why a site
obeys.
"""

from tenhertz.link.intervals import Intervals
from tenhertz.link.points import OLDEST_VERSION, POINTS, VERSION, Kind, Point, point
from tenhertz.link.topics import PARTITIONS, Topic, parse_topic, partition_of, subscription, topic

__all__ = [
    "OLDEST_VERSION",
    "PARTITIONS",
    "POINTS",
    "VERSION",
    "Intervals",
    "Kind",
    "Point",
    "Topic",
    "parse_topic",
    "partition_of",
    "point",
    "subscription",
    "topic",
]
