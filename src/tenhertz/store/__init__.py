"""Where samples rest. Here: SQLite, for one site."""

from tenhertz.store.rows import EventRow, LossRow, SampleRow, TickRow
from tenhertz.store.sqlite import SiteStore, StoreTrouble, open_for_reading

__all__ = [
    "EventRow",
    "LossRow",
    "SampleRow",
    "SiteStore",
    "StoreTrouble",
    "TickRow",
    "open_for_reading",
]
