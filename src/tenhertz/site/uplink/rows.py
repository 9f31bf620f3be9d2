"""Rows of the site's database as messages for the fleet."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tenhertz.link import VERSION, Kind
from tenhertz.link.encode import Origin, Rows, encode_batch
from tenhertz.link.points import POINTS
from tenhertz.link.schema_pb2 import Birth, Death, Gone, Head, Uplink
from tenhertz.store import StoreTrouble
from tenhertz.store.site_schema import SCHEMA_VERSION, TABLES

NOT_THERE = "not in the site's database"

# Number, instant, unit, then the points as POINTS has them.
_SELECT = {
    Kind.SAMPLE: "id, measured_at_ns, unit, number, tick, round_trip_us, condition, power_w, "
    "setpoint_w, soc, charge_limit_w, discharge_limit_w, temperature_c, faults FROM sample",
    Kind.TICK: "id, at_ns, NULL, tick, late_us, reason, units, frequency_hz, target_w, "
    "baseline_w, power_w FROM tick",
    Kind.EVENT: "id, at_ns, unit, severity, text FROM event",
    # What was deleted after it had been numbered is told by its numbers, not a second time here.
    Kind.LOSS: "id, noticed_at_ns, NULL, iif(epoch = 0, 0, samples), cause FROM loss",
}


class Found(NamedTuple):
    """What is to be said about some rows."""

    message: bytes
    end: int  # the first row that it says nothing about
    gone: bool = False


class Names(NamedTuple):
    """What the indices in this site's batches mean."""

    entities: tuple[str, ...]  # the units, and last the site itself
    points: tuple[str, ...]

    @property
    def number(self) -> int:
        """Names the two lists; both sides see by it whether they mean the same."""
        return zlib.crc32("\0".join((*self.entities, "", *self.points)).encode())


class SiteRows:
    """Reads one site's database, which another process writes."""

    def __init__(self, path: Path, source: str) -> None:
        """Open it.

        Raises:
            StoreTrouble: it is not there yet, is of another version, or cannot be read.
        """
        self._path = path
        self._source = source
        try:
            self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2.0)
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version != SCHEMA_VERSION:
                self._db.close()
                raise StoreTrouble(f"{path} has schema {version}; this is {SCHEMA_VERSION}")
            self.stream = self._meta("stream")
            units = [row[0] for row in self._db.execute("SELECT name FROM unit ORDER BY unit")]
        except sqlite3.Error as error:
            raise StoreTrouble(f"{path}: {error}") from error
        here = source if source not in units else f"({source})"
        points = dict.fromkeys(point.name for kind in TABLES for point in POINTS[kind])
        self.names = Names((*units, here), tuple(points))
        self._places = {name: place for place, name in enumerate(self.names.points)}
        self._newest_ns: dict[tuple[Kind, int], int] = {}

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _meta(self, key: str) -> int:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return int(row[0])

    def heads(self) -> dict[Kind, int]:
        """The number of the next row of each kind.

        Raises:
            StoreTrouble: the database cannot be read now.
        """
        try:
            found = dict(self._db.execute("SELECT key, value FROM meta WHERE key LIKE 'head/%'"))
        except sqlite3.Error as error:
            raise StoreTrouble(f"{self._path}: {error}") from error
        return {kind: int(found[f"head/{table}"]) for kind, table in TABLES.items()}

    # -- messages -----------------------------------------------------------------------------

    def birth(self, session: int, at_ns: int, software: str) -> bytes:
        """Who speaks. It is written as the first version was, so that every fleet can read it.

        Raises:
            StoreTrouble: the database cannot be read now.
        """
        self._newest_ns.clear()
        birth = Birth(
            version=1,
            source=self._source,
            stream=self.stream,
            session=session,
            at_ns=at_ns,
            entities=self.names.entities,
            points=self.names.points,
            dictionary=self.names.number,
            heads=[Head(kind=int(kind), next=head) for kind, head in self.heads().items()],  # type: ignore[arg-type]
            software=software,
        )
        return Uplink(birth=birth).SerializeToString()

    def death(self, session: int) -> bytes:
        """What the broker says when this site is gone."""
        death = Death(version=1, source=self._source, stream=self.stream, session=session)
        return Uplink(death=death).SerializeToString()

    def message(
        self, kind: Kind, first: int, end: int, head: int, version: int, *, live: bool
    ) -> Found | None:
        """Say what is known of the rows from `first` on: the rows, or that they are gone.

        None where the clock was set back before the first row: a new birth comes first.

        Raises:
            StoreTrouble: the database cannot be read now.
        """
        try:
            found = self._db.execute(
                f"SELECT {_SELECT[kind]} WHERE id >= ? AND id < ? ORDER BY id",
                (first, end),
            ).fetchall()
            if not found or found[0][0] != first:
                until = found[0][0] if found else end
                return self._gone(kind, first, until, version)
        except sqlite3.Error as error:
            raise StoreTrouble(f"{self._path}: {error}") from error
        rows = self._whole(kind, found, live=live)
        if not rows:
            return None
        columns = list(zip(*rows, strict=True))
        site = len(self.names.entities) - 1
        points = [
            (self._places[point.name], point.type, values)
            for point, values in zip(POINTS[kind], columns[3:], strict=True)
        ]
        message = encode_batch(
            Origin(self._source, self.stream, self.names.number, min(version, VERSION)),
            Rows(
                kind,
                first,
                max(head, rows[-1][0] + 1),
                columns[1],
                [site if unit is None else min(unit, site) for unit in columns[2]],
                points,
            ),
        )
        return Found(message, rows[-1][0] + 1)

    def _whole(
        self, kind: Kind, found: Sequence[tuple[Any, ...]], *, live: bool
    ) -> Sequence[tuple[Any, ...]]:
        """The first rows whose numbers have no hole, and whose instants do not go back.

        The fleet refuses rows that are older than one before; where the clock was set back, a new
        message begins, and for live rows a new birth.
        """
        newest_ns = self._newest_ns if live else {}
        strict = kind in (Kind.SAMPLE, Kind.TICK)
        for place, row in enumerate(found):
            entity = (kind, -1 if row[2] is None else row[2])
            back = strict and row[1] < newest_ns.get(entity, 0)
            if back or row[0] != found[0][0] + place:
                return found[:place]
            newest_ns[entity] = row[1]
        return found

    def _gone(self, kind: Kind, first: int, end: int, version: int) -> Found:
        spans: Iterable[tuple[int, int, str]] = self._db.execute(
            "SELECT first, end, cause FROM gone WHERE kind = ? AND end > ? AND first < ? "
            "ORDER BY first LIMIT 1",
            (int(kind), first, end),
        )
        cause, until = NOT_THERE, end
        for span_first, span_end, span_cause in spans:
            if span_first <= first:
                cause, until = span_cause, span_end  # it may reach further than was asked
            else:
                until = min(end, span_first)
        gone = Gone(
            version=min(version, VERSION),
            source=self._source,
            stream=self.stream,
            kind=int(kind),  # type: ignore[arg-type]
            first=first,
            end=until,
            cause=cause,
        )
        return Found(Uplink(gone=gone).SerializeToString(), until, gone=True)
