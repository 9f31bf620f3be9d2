"""The safety rules one row after the other, in whole numbers: slow, plain, and independent.

Written from docs/safety-rules.md and not from the engine: nothing of it is used here.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from tenhertz.telemetry.rules import Rule

Cells = list[Fraction | None]


class Row(NamedTuple):
    """A row with exact values by point; None is a blank."""

    entity: str
    time_ns: int
    values: dict[str, Cells]


class Told(NamedTuple):
    """A change, in the form in which both sides are compared."""

    at_ns: int
    entity: str
    rule: str
    kind: str
    value: Fraction
    cell: int | None


class _State:
    def __init__(self) -> None:
        self.is_active = False
        self.since_ns: int | None = None
        self.cell: int | None = None


class Reference:
    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self.rows: dict[str, list[Row]] = {}
        self.arrived_ns: dict[str, int] = {}
        self.states: dict[tuple[str, str], _State] = {}

    def look(self, row: Row, now_ns: int) -> Iterator[Told]:
        rows = self.rows.setdefault(row.entity, [])
        if rows and row.time_ns <= rows[-1].time_ns:
            return
        rows.append(row)
        self.arrived_ns[row.entity] = now_ns
        for rule in self.rules:
            state = self.states.setdefault((rule.name, row.entity), _State())
            if rule.kind == "missing":
                if state.is_active:
                    state.is_active = False
                    yield Told(row.time_ns, row.entity, rule.name, "cleared", Fraction(0), None)
                continue
            yield from self._judge(rule, state, rows)

    def sweep(self, now_ns: int) -> Iterator[Told]:
        for rule in self.rules:
            for entity, arrived_ns in self.arrived_ns.items():
                state = self.states[(rule.name, entity)]
                late = now_ns - arrived_ns >= rule.window_ns
                if rule.kind == "missing" and late and not state.is_active:
                    state.is_active = True
                    value = Fraction(now_ns - arrived_ns, 10**9)
                    at_ns = self.rows[entity][-1].time_ns
                    yield Told(at_ns, entity, rule.name, "raised", value, None)

    def _judge(self, rule: Rule, state: _State, rows: list[Row]) -> Iterator[Told]:
        row = rows[-1]
        measured = self._stuck(rule, rows) if rule.kind == "stuck" else self._measure(rule, rows)
        if measured is None:
            return
        value, cell, each = measured
        limit = Fraction(rule.window_s or 0) if rule.kind == "stuck" else Fraction(rule.limit or 0)
        clear = limit if rule.clear is None else Fraction(rule.clear)
        if rule.kind == "below":
            beyond, within = value < limit, value >= clear
        elif rule.kind in ("runaway", "stuck"):
            beyond, within = value >= limit, value <= clear and value < limit
        else:
            beyond, within = value > limit, value <= clear
        if not beyond and state.cell is not None and each[state.cell] is None:
            return
        if beyond:
            state.cell = cell
        if state.is_active:
            if within:
                state.is_active, state.since_ns = False, None
                yield Told(row.time_ns, row.entity, rule.name, "cleared", value, cell)
        elif not beyond:
            state.since_ns = None
        else:
            state.since_ns = row.time_ns if state.since_ns is None else state.since_ns
            if row.time_ns - state.since_ns >= rule.hold_ns:
                state.is_active = True
                yield Told(row.time_ns, row.entity, rule.name, "raised", value, cell)

    def _measure(self, rule: Rule, rows: list[Row]) -> tuple[Fraction, int | None, Cells] | None:
        values = rows[-1].values[rule.point]
        known = [value for value in values if value is not None]
        match rule.kind:
            case "above":
                each = values
            case "below":
                each = [None if value is None else -value for value in values]
            case "spread":
                if len(known) < 2:
                    return None
                middle = sum(known, Fraction(0)) / len(known)
                each = [None if value is None else abs(value - middle) for value in values]
            case "rise":
                each = [
                    None if rise is None else rise * 60 / Fraction(rule.window_s or 0)
                    for rise in _rises(rule, rows, rule.point, 1)
                ]
            case _:
                each = _runaway(rule, rows)
        numbers = [(value, -cell) for cell, value in enumerate(each) if value is not None]
        if not numbers:
            return None
        worst, negative = max(numbers)
        value = -worst if rule.kind == "below" else worst
        if rule.kind == "spread":
            value = max(known) - min(known)
        return value, -negative if len(values) > 1 else 0, each

    def _stuck(self, rule: Rule, rows: list[Row]) -> tuple[Fraction, int | None, Cells] | None:
        if all(value is None for value in rows[-1].values[rule.point]):
            return None
        last: Cells = [None] * len(rows[-1].values[rule.point])
        since_ns = 0
        for row in rows:
            for cell, value in enumerate(row.values[rule.point]):
                if value is not None and value != last[cell]:
                    last[cell] = value
                    since_ns = row.time_ns
        return Fraction(rows[-1].time_ns - since_ns, 10**9), None, last


def _runaway(rule: Rule, rows: list[Row]) -> Cells:
    rises = _rises(rule, rows, rule.point, 1)
    drops = _rises(rule, rows, "voltage_v", -1)
    if len(rises) != len(drops):
        drops = [max((drop for drop in drops if drop is not None), default=None)] * len(rises)
    return [
        None
        if rise is None or drop is None
        else (rise if drop >= Fraction(rule.drop_v or 0) else Fraction(0))
        for rise, drop in zip(rises, drops, strict=True)
    ]


def _rises(rule: Rule, rows: list[Row], point: str, sign: int) -> Cells:
    """How far each cell lies above its lowest of the window, or below its highest."""
    bucket_ns = -(-rule.window_ns // 8)
    begin_ns = (rows[-1].time_ns // bucket_ns - 8) * bucket_ns
    rises: Cells = []
    for cell, now in enumerate(rows[-1].values[point]):
        past = [row.values[point][cell] for row in rows if row.time_ns >= begin_ns]
        known = [sign * value for value in past if value is not None]
        rises.append(None if now is None else sign * now - min(known))
    return rises
