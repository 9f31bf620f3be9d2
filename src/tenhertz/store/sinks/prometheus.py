"""The newest value of every point, for Prometheus to fetch.

Not a way to get every sample out: Prometheus takes what it finds when it looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

from tenhertz.errors import UserError
from tenhertz.link.frame import Frame
from tenhertz.link.points import Kind
from tenhertz.store.sinks.flat import flat_columns

LIMIT_SERIES = 50_000
_LABELS = ("source", "entity")
_NEVER = np.iinfo(np.int64).min


class Newest:
    """The newest row of each entity of one source and kind."""

    def __init__(self) -> None:
        self.names: list[str] = []  # of the entities, by slot
        self.time_ns = np.empty(0, np.int64)  # (slots,)
        self.values: dict[str, NDArray[np.float64]] = {}  # by point, each (slots,)
        self._slots: dict[str, int] = {}
        self._entities: tuple[str, ...] = ()
        self._slot_of_entity = np.empty(0, np.int64)  # -1: not seen, or no room

    def note(self, frame: Frame, room: int) -> int:
        """Keep the newest rows; open up to `room` series. How many rows found none."""
        points = {flat.name: flat.values for flat in flat_columns(frame) if flat.type != "text"}
        chosen = _last_of_each(frame)
        if frame.entities != self._entities:
            self._entities = frame.entities
            self._slot_of_entity = np.array(
                [self._slots.get(name, -1) for name in frame.entities], np.int64
            )
        entities = frame.entity[chosen]
        for entity in entities[self._slot_of_entity[entities] < 0].tolist():
            room -= self._open(entity, points, room)
        slots = self._slot_of_entity[frame.entity]
        missed = int((slots < 0).sum())
        slots = slots[chosen]
        newer = slots >= 0
        newer &= frame.time_ns[chosen] >= self.time_ns[slots] if len(self.names) else False
        chosen, slots = chosen[newer], slots[newer]
        self.time_ns[slots] = frame.time_ns[chosen]
        for name, held in self.values.items():
            held[slots] = points[name][chosen] if name in points else np.nan
        return missed

    @property
    def series(self) -> int:
        """How many series these are, with the one for the time."""
        return len(self.names) * (len(self.values) + 1)

    def _open(self, entity: int, points: dict[str, Any], room: int) -> int:
        new_points = [name for name in points if name not in self.values]
        cost = len(self.values) + 1 + len(new_points) * (len(self.names) + 1)
        if cost > room:
            return 0
        name = self._entities[entity]
        slot = self._slots[name] = self._slot_of_entity[entity] = len(self.names)
        for point in new_points:
            self.values[point] = np.full(slot, np.nan)
        self.names.append(name)
        self.time_ns = np.append(self.time_ns, _NEVER)
        self.values = {point: np.append(held, np.nan) for point, held in self.values.items()}
        return cost

    def copy(self) -> tuple[list[str], NDArray[np.int64], dict[str, NDArray[np.float64]]]:
        """Names, times and values as they are now."""
        values = {name: held.copy() for name, held in self.values.items()}
        return self.names.copy(), self.time_ns.copy(), values


def _last_of_each(frame: Frame) -> NDArray[np.int64]:
    """The index of the newest row of each entity that is in the frame."""
    order = np.lexsort((frame.time_ns, frame.entity))
    entity = frame.entity[order]
    last = np.append(entity[1:] != entity[:-1], [True])
    return np.asarray(order[last], np.int64)


class NewestValues:
    """All that is shown, and the counters of what is not."""

    def __init__(self, limit_series: int = LIMIT_SERIES) -> None:
        self._limit_series = limit_series
        self._lock = Lock()
        self._newest: dict[tuple[Kind, str], Newest] = {}
        self._series = 0
        self._rows = 0
        self._missed = 0

    def offer(self, frames: Sequence[Frame]) -> None:
        """Keep the newest row of each entity."""
        with self._lock:
            for frame in frames:
                if not frame.rows:
                    continue
                newest = self._newest.setdefault((frame.kind, frame.source), Newest())
                before = newest.series
                missed = newest.note(frame, self._limit_series - self._series)
                self._series += newest.series - before
                self._rows += frame.rows - missed
                self._missed += missed

    def counts(self) -> dict[str, int]:
        """Rows by fate: "sent" are those that were shown until a newer one came."""
        with self._lock:
            return {
                "sent_rows": self._rows,
                "dropped_rows": self._missed,
                "refused_rows": 0,
                "waiting_rows": 0,
                "failures": 0,
            }

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now; prometheus_client calls this for each request."""
        with self._lock:
            held = [(key, newest.copy()) for key, newest in self._newest.items()]
            missed, series = self._missed, self._series
        families: dict[str, Metric] = {}
        for (kind, source), (names, time_ns, values) in held:
            shown = {"time_seconds": time_ns / 1e9, **values}
            for point, numbers in shown.items():
                name = f"tenhertz_{kind.name.lower()}_{point}"
                family = families.setdefault(name, _gauge(name, kind, point))
                for entity, number in zip(names, numbers.tolist(), strict=True):
                    if not math.isnan(number):  # absent: a sum over all must not become NaN
                        family.add_sample(name, {"source": source, "entity": entity}, number)
        yield from families.values()
        yield GaugeMetricFamily("tenhertz_sink_series", "Series shown here", series)
        yield CounterMetricFamily(
            "tenhertz_sink_dropped_rows", "Rows of entities beyond the most series", missed
        )


def _gauge(name: str, kind: Kind, point: str) -> GaugeMetricFamily:
    text = "UTC instant of the newest row" if point == "time_seconds" else f"Newest {point}"
    return GaugeMetricFamily(name, f"{text}, of rows of kind {kind.name.lower()}", labels=_LABELS)


class PrometheusSink:
    """An HTTP server beside the newest values."""

    def __init__(self, listen: str, limit_series: int = LIMIT_SERIES) -> None:
        """Begin to listen on host:port.

        Raises:
            UserError: it is no address, or cannot be had.
        """
        host, _, port = listen.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise UserError(f"sink: listen '{listen}' must be host:port, such as 127.0.0.1:9464")
        self._values = NewestValues(limit_series)
        registry = CollectorRegistry()
        registry.register(self._values)
        try:
            self._server, self._thread = start_http_server(int(port), host.strip("[]"), registry)
        except OSError as error:
            raise UserError(
                f"sink: cannot listen on {listen}: {error.strerror}; name a free address"
            ) from error

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def offer(self, frames: Sequence[Frame]) -> None:
        """Keep the newest row of each entity."""
        self._values.offer(frames)

    def counts(self) -> dict[str, int]:
        """Rows shown, and rows of entities for which there was no room."""
        return self._values.counts()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
