"""Watches over what comes in: rules on every row at once, alerts kept by a thread beside.

Five facts of its queue of changes. Full: changes are dropped, counted and logged. Threads: ingest
puts, one keeps. Order: as they came. Loss: a change that was dropped is not kept, but a stop that
it ordered has been sent before. Waiting: putting never waits.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import structlog

from tenhertz.link import Kind
from tenhertz.link.frame import Frame
from tenhertz.telemetry.alerts import ActiveRule, AlertBook
from tenhertz.telemetry.config import FleetConfig, data_dir
from tenhertz.telemetry.lag import LagHistogram
from tenhertz.telemetry.notices import names_of
from tenhertz.telemetry.rules import Change, RuleEngine, RuleSet, load_rules

_MOST_WAITING = 10_000
_RETRY_S = 1.0
ALERT_FILE = "alerts.sqlite"

OrderStop = Callable[[str, str], None]  # source, reason


class Watch:
    """The rules and alerts of one server."""

    def __init__(self, config: FleetConfig, path: Path, order_stop: OrderStop) -> None:
        """Read the rules.

        Raises:
            UserError: a rule file cannot be used.
        """
        self._config = config
        self._order_stop = order_stop
        self._file = data_dir(config, path) / ALERT_FILE
        self._rules: dict[str, RuleSet] = {
            source.match: load_rules(source.rules, path.parent)
            for source in config.source
            if source.rules
        }
        self._engines: dict[str, RuleEngine | None] = {}
        # What was raised before this process began, until its source is heard again.
        self._raised: dict[str, list[ActiveRule]] = {}
        # The packs that each gateway has named: one that never sends is missing, too.
        self._expected: dict[str, tuple[str, ...]] = {}
        self._waiting: queue.Queue[tuple[list[Change], int] | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._keep, name="alerts", daemon=True)
        self._log = structlog.get_logger("alerts")
        self.lag = LagHistogram()  # from the instant of a sample to its alert
        self.changes: Counter[str] = Counter()  # by level
        self.dropped = 0  # changes that were not kept
        self.trouble = ""

    def start(self) -> None:
        """Start keeping; goes on from the alerts that are open."""
        try:
            book = AlertBook(self._file)
            book.outbox.enlist(names_of(self._config))
            for active in book.active():
                self._raised.setdefault(active.source, []).append(active)
            book.close()
        except (sqlite3.Error, OSError) as error:
            self._note(str(error))
        self._thread.start()

    def close(self) -> None:
        """Keep what waits, then end."""
        self._waiting.put(None)
        self._thread.join(timeout=5.0)

    def look(self, frame: Frame, now_ns: int) -> None:
        """Look at live rows; never waits."""
        engine = self._engine(frame.source, now_ns)
        if engine is not None:
            if frame.kind is Kind.CELL and self._expected.get(frame.source) is not frame.entities:
                self._expected[frame.source] = frame.entities
                engine.expect(frame.kind, frame.entities, now_ns)
            changes = engine.look(frame, now_ns)
            if changes:
                self._take(changes, now_ns)

    def sweep(self, now_ns: int) -> None:
        """Look for what is missing."""
        for engine in self._engines.values():
            if engine is not None:
                self._take(engine.sweep(now_ns), now_ns, swept=True)

    def _engine(self, source: str, now_ns: int) -> RuleEngine | None:
        if source not in self._engines:
            found = self._config.source_of(source)
            rules = self._rules.get(found.match) if found else None
            engine = RuleEngine(rules, source) if rules is not None else None
            self._engines[source] = engine
            before = self._raised.pop(source, [])
            if engine is not None and before:
                # What still holds is not raised, nor its stop ordered, a second time.
                active = ((a.entity, a.rule, a.family, a.level) for a in before)
                self._take(engine.resume(active, now_ns), now_ns)
        return self._engines[source]

    def _take(self, changes: list[Change], now_ns: int, *, swept: bool = False) -> None:
        if not changes:
            return
        for change in changes:
            raised = change.kind == "raised"
            if raised and change.stop:
                self._order_stop(change.source, f"{change.rule}: {change.text}")
            if raised:
                self.changes[change.level] += 1
        seen_ns = time.time_ns()  # after the rules, not when the rows came
        delays = [
            (seen_ns - change.at_ns) / 1e6
            for change in changes
            if change.kind == "raised" and not swept
        ]
        if delays:
            self.lag.add(np.array(delays))
        try:
            self._waiting.put_nowait((changes, now_ns))
        except queue.Full:
            self.dropped += len(changes)
            self._log.error("changes of alerts dropped: their file is too slow", all=self.dropped)

    # -- the thread ---------------------------------------------------------------------------

    def _keep(self) -> None:
        book: AlertBook | None = None
        while (item := self._waiting.get()) is not None:
            changes, now_ns = item
            while True:
                try:
                    if book is None:
                        book = AlertBook(self._file)
                    book.apply(changes, now_ns)
                except (sqlite3.Error, OSError) as error:
                    self._note(str(error))
                    book = None
                    if threading.Event().wait(_RETRY_S):
                        break
                else:
                    self._note("")
                    break
            for change in changes:
                self._log.warning(
                    change.text, source=change.source, level=change.level, what=change.kind
                )

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            self._log.error("alerts cannot be kept; they wait", cause=trouble)
        self.trouble = trouble

    def open_alerts(self) -> dict[str, int]:
        """How many alerts are open, by level; asks the file."""
        found: Counter[str] = Counter()
        try:
            book = AlertBook(self._file)
            for alert in book.open_alerts():
                found[alert.level] += 1
            book.close()
        except (sqlite3.Error, OSError):
            return {}
        return dict(found)
