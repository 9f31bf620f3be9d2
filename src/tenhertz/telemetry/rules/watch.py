"""The rules over one kind of rows: what they remember of its entities, and how a frame is judged.

A frame in which each entity occurs once is judged as a whole. Of one with several rows an entity,
those entities for which nothing can come of it are taken in as runs; the others row after row.
Both give the same as one row after the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tenhertz.link.frame import Column, Frame
from tenhertz.link.points import Kind
from tenhertz.telemetry.rules.arrays import NEVER, Array, ascends, grown, holds_any, where_of
from tenhertz.telemetry.rules.change import Change, sentence
from tenhertz.telemetry.rules.machine import Machine
from tenhertz.telemetry.rules.measure import Block, Measure, grouped
from tenhertz.telemetry.rules.past import Past, Rows
from tenhertz.telemetry.rules.places import Places
from tenhertz.telemetry.rules.ruleset import Rule


class Watch:
    """The rules of one kind of rows of one source."""

    def __init__(self, source: str, kind: Kind, rules: tuple[Rule, ...], places: Places) -> None:
        self._source = source
        self.rules = rules
        self.places = places
        self._type = np.float32 if kind is Kind.CELL else np.float64
        self._measures = [Measure(rule) for rule in rules]
        self._points = sorted({name for each in self._measures for name in each.points})
        keys = sorted({key for each in self._measures for key in each.windows})
        self._stuck = sorted({rule.point for rule in rules if rule.kind == "stuck"})
        self._past = Past(keys, self._stuck, self._type)
        self._groups = grouped(self._measures)
        self._machine = Machine([rule.hold_ns for rule in rules])
        self._room = 0
        self._cells = dict.fromkeys(self._points, 0)
        self._newest_ns = np.zeros(0, np.int64)  # of the rows of each entity
        self._arrived_ns = np.zeros(0, np.int64)  # by the clock of the server
        self._mark = np.zeros(0, np.intp)
        self.stale_rows = 0  # not newer than what was seen of their entity
        self.unwatched_rows = 0  # of entities beyond the bound, or without a point of the rules

    # -- rows ---------------------------------------------------------------------------------

    def look(self, frame: Frame, now_ns: int) -> list[Change]:
        """Judge the rows of a frame."""
        if any(name not in frame.columns for name in self._points):
            self.unwatched_rows += frame.rows
            return []
        places = self.places.of(frame.entity, frame.entities)
        widths = {name: _width(frame.columns[name]) for name in self._points}
        self._make_room(widths)
        values = {name: self._physical(frame.columns[name], name) for name in self._points}
        rows = Rows(places, frame.time_ns, values)
        if places.min() < 0:
            self.unwatched_rows += int((places < 0).sum())
            rows = rows.take(places >= 0)
            if not len(rows.place):
                return []
        if self._occur_once(rows.place):
            return self._step(rows, now_ns)
        return self._look_at_runs(rows, now_ns)

    def _physical(self, column: Column, name: str) -> Array:
        values = column.physical
        if values.dtype != self._type:
            values = values.astype(self._type)
        if values.ndim == 1:
            values = values[:, np.newaxis]
        missing = self._cells[name] - values.shape[1]
        if missing:  # an entity with fewer cells than others: the rest is blank
            values = np.pad(values, ((0, 0), (0, missing)), constant_values=np.nan)
        return values

    def _occur_once(self, index: NDArray[np.intp]) -> bool:
        if ascends(index):
            return True
        numbers = np.arange(len(index))
        self._mark[index] = numbers
        return bool((self._mark.take(index) == numbers).all())

    def _step(self, rows: Rows, now_ns: int) -> list[Change]:
        """Judge rows in which each entity occurs once."""
        stale = rows.time_ns <= self._newest_ns.take(rows.place)
        if holds_any(stale):
            self.stale_rows += holds_any(stale)
            rows = rows.take(~stale)
            if not len(rows.place):
                return []
        where = where_of(rows.place)
        self._newest_ns[where] = rows.time_ns
        self._arrived_ns[where] = now_ns
        block = self._past.add(where, rows)
        changes: list[Change] = []
        for number, marked in self._marked(block, rows.place):
            measure = self._measures[number]
            if measure.rule.kind == "missing":
                changes += self._back(number, rows, now_ns)
                continue
            changes += self._judge(number, rows, block, np.flatnonzero(marked), now_ns)
        return changes

    def _marked(
        self, block: Block, place: NDArray[np.intp], starts: NDArray[np.intp] | None = None
    ) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """The rules for which something may come of rows, or of runs of rows, and of which."""
        for group in self._groups:
            easiest = self._screen(group[0], block, starts)
            for number in group:
                marked = easiest
                if easiest is not None and number != group[0]:
                    marked = self._screen(number, block, starts)
                held = self._machine.held(number, place)
                if marked is not None:
                    yield number, marked if held is None else marked | held
                elif held is not None:
                    yield number, held

    def _screen(
        self, number: int, block: Block, starts: NDArray[np.intp] | None
    ) -> NDArray[np.bool_] | None:
        measure = self._measures[number]
        marked = measure.screen(block)
        if marked is None or starts is None or measure.needs_past:
            return marked
        return np.logical_or.reduceat(marked, starts)

    def _judge(
        self, number: int, rows: Rows, block: Block, marked: NDArray[np.intp], now_ns: int
    ) -> list[Change]:
        measure = self._measures[number]
        index, time_ns = rows.place[marked], rows.time_ns[marked]
        found = measure.find(block.take(marked), self._machine.cell(number, index))
        raised, cleared = self._machine.judge(number, index, time_ns, found)
        has_cells = measure.rule.kind != "stuck" and self._cells[measure.rule.point] > 1
        changes = []
        for is_raised, those in ((True, raised), (False, cleared)):
            for row in those.tolist():
                cell = int(found.cell[row]) if has_cells else None
                fact = (is_raised, float(found.value[row]), cell)
                changes.append(
                    self._change(number, int(index[row]), int(time_ns[row]), now_ns, fact)
                )
        return changes

    def _change(
        self, number: int, place: int, at_ns: int, now_ns: int, fact: tuple[bool, float, int | None]
    ) -> Change:
        rule, entity = self.rules[number], self.places.names[place]
        is_raised, value, cell = fact
        return Change(
            source=self._source,
            entity=entity,
            rule=rule.name,
            family=rule.family,
            level=rule.level,
            kind="raised" if is_raised else "cleared",
            value=value,
            cell=cell,
            at_ns=at_ns,
            seen_ns=now_ns,
            stop=rule.stop and is_raised,
            text=sentence(rule, entity, value, cell, raised=is_raised),
        )

    # -- several rows of an entity ------------------------------------------------------------

    def _look_at_runs(self, rows: Rows, now_ns: int) -> list[Change]:
        order = np.argsort(rows.place, kind="stable")
        if not ascends(order):
            rows = rows.take(order)
        starts = rows.runs()
        if not self._ascend(rows, starts):
            return self._one_after_the_other(rows, starts, now_ns)
        changes: list[Change] = []
        for part in self._past.parts(rows):
            starts = part.runs()
            doubtful = self._doubtful(part, starts)
            if doubtful is None:
                self._take_in(part, starts, now_ns)
                continue
            each = np.repeat(doubtful, np.diff(starts, append=len(part.place)))
            calm, rest = part.take(~each), part.take(each)
            if len(calm.place):
                self._take_in(calm, calm.runs(), now_ns)
            starts = rest.runs()
            changes += self._one_after_the_other(rest, starts, now_ns)
        return changes

    def _ascend(self, rows: Rows, starts: NDArray[np.intp]) -> bool:
        """Whether every row is newer than the one before of its entity."""
        before = np.empty_like(rows.time_ns)
        before[1:] = rows.time_ns[:-1]
        before[starts] = self._newest_ns.take(rows.place[starts])
        return bool((rows.time_ns > before).all())

    def _doubtful(self, rows: Rows, starts: NDArray[np.intp]) -> NDArray[np.bool_] | None:
        """For which runs something may come of it; None: for none. It never misses one."""
        index = rows.place[starts]
        block = self._past.foresee(where_of(index), rows, starts)
        found = np.zeros(len(starts), np.bool_)
        for name in self._stuck:
            found |= np.logical_or.reduceat(np.isnan(rows.values[name]).any(axis=1), starts)
        for _, marked in self._marked(block, index, starts):
            found |= marked
        return found if holds_any(found) else None

    def _take_in(self, rows: Rows, starts: NDArray[np.intp], now_ns: int) -> None:
        """Remember runs from which nothing comes, after `_doubtful`."""
        where = where_of(rows.place[starts])
        ends = np.append(starts[1:], len(rows.place)) - 1
        self._newest_ns[where] = rows.time_ns[ends]
        self._arrived_ns[where] = now_ns
        self._past.add_runs(where, rows, starts)

    def _one_after_the_other(
        self, rows: Rows, starts: NDArray[np.intp], now_ns: int
    ) -> list[Change]:
        lengths = np.diff(starts, append=len(rows.place))
        changes: list[Change] = []
        for number in range(int(lengths.max())):
            changes += self._step(rows.take(starts[lengths > number] + number), now_ns)
        return changes

    # -- without rows -------------------------------------------------------------------------

    def sweep(self, now_ns: int) -> list[Change]:
        """Raise what is missing."""
        count = len(self.places.names)
        self._make_room({})
        changes = []
        for number, rule in enumerate(self.rules):
            if rule.kind != "missing":
                continue
            arrived = self._arrived_ns[:count]
            late = (arrived != NEVER) & (now_ns - np.maximum(arrived, 0) >= rule.window_ns)
            late &= ~self._machine.is_active(number, np.arange(count))
            for place in np.flatnonzero(late).tolist():
                self._machine.set_active(number, place, active=True)
                value = (now_ns - int(arrived[place])) / 1e9
                at_ns = max(0, int(self._newest_ns[place]))
                changes.append(self._change(number, place, at_ns, now_ns, (True, value, None)))
        return changes

    def _back(self, number: int, rows: Rows, now_ns: int) -> list[Change]:
        changes = []
        active = self._machine.is_active(number, rows.place)
        for row in np.flatnonzero(active).tolist():
            place, at_ns = int(rows.place[row]), int(rows.time_ns[row])
            self._machine.set_active(number, place, active=False)
            changes.append(self._change(number, place, at_ns, now_ns, (False, 0.0, None)))
        return changes

    def expect(self, entity: str, now_ns: int) -> bool:
        """Wait for rows of an entity from now on; False: there are too many."""
        place = self.places.place(entity)
        if place is None:
            return False
        self._make_room({})
        self._arrived_ns[place] = max(now_ns, int(self._arrived_ns[place]))
        return True

    def resume(self, entity: str, number: int) -> bool:
        """Take a rule for active, as it was before a restart; False: there are too many."""
        place = self.places.place(entity)
        if place is None:
            return False
        self._make_room({})
        self._machine.set_active(number, place, active=True)
        return True

    # -- room ---------------------------------------------------------------------------------

    def _make_room(self, widths: dict[str, int]) -> None:
        count = len(self.places.names)
        wider = any(width > self._cells[name] for name, width in widths.items())
        if count <= self._room and not wider:
            return
        while self._room < count:
            self._room = max(64, 2 * self._room)
        for name, width in widths.items():
            self._cells[name] = max(width, self._cells[name])
        self._past.resize(self._room, self._cells)
        self._machine.resize(self._room)
        self._newest_ns = grown(self._newest_ns, (self._room,), NEVER)
        self._arrived_ns = grown(self._arrived_ns, (self._room,), NEVER)
        self._mark = grown(self._mark, (self._room,), 0)


def _width(column: Column) -> int:
    return 1 if column.values.ndim == 1 else int(column.values.shape[1])
