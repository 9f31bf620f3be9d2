"""What each kind of rule measures on rows: a screen for all, and a finding for those it marks.

Values are float; to call one beyond a limit it must be so by more than rounding: a millionth of
the point's range for cells (0.3 mK, 5 µV), a millionth of the limit for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenhertz.link.points import Kind, point
from tenhertz.telemetry.rules.arrays import NEVER, Array, any_in_row, holds_any
from tenhertz.telemetry.rules.machine import NO_CELL, Finding
from tenhertz.telemetry.rules.ruleset import Rule

VOLTAGE = "voltage_v"


class WindowKey(NamedTuple):
    """Which past a rule needs."""

    point: str
    window_ns: int
    is_high: bool  # the highest values rather than the lowest


class Extremes:
    """The highest and lowest of (rows, cells), of all and of each row; NaN without any."""

    def __init__(self, values: Array) -> None:
        self._values = values
        self.highest = float(np.fmax.reduce(values, axis=None))
        self.lowest = float(np.fmin.reduce(values, axis=None))

    @cached_property
    def _turned(self) -> Array:
        """By columns: reduced so, it is several times faster than by rows."""
        return np.ascontiguousarray(self._values.T)

    @cached_property
    def high(self) -> Array:
        """Of each row, (rows,)."""
        return np.asarray(np.fmax.reduce(self._turned, axis=0))

    @cached_property
    def low(self) -> Array:
        """Of each row, (rows,)."""
        return np.asarray(np.fmin.reduce(self._turned, axis=0))


@dataclass(frozen=True, slots=True)
class Block:
    """Rows to be judged."""

    values: dict[str, Array]  # by point, (rows, cells), NaN: blank
    rises: dict[WindowKey, Array]  # how far above the window's lowest (or below its highest)
    still_ns: dict[str, NDArray[np.int64]]  # by point: how long unchanged; NEVER: not known
    # What several rules need is reduced once.
    _extremes: dict[str, Extremes] = field(default_factory=dict)
    _steepest: dict[WindowKey, float] = field(default_factory=dict)

    def extremes(self, point: str) -> Extremes:
        """Of the values of a point."""
        if point not in self._extremes:
            self._extremes[point] = Extremes(self.values[point])
        return self._extremes[point]

    def steepest(self, key: WindowKey) -> float:
        """The largest rise of all; NaN without any."""
        if key not in self._steepest:
            self._steepest[key] = float(np.fmax.reduce(self.rises[key], axis=None))
        return self._steepest[key]

    def take(self, rows: NDArray[np.intp]) -> Block:
        """Some rows."""
        return Block(
            {key: values[rows] for key, values in self.values.items()},
            {key: values[rows] for key, values in self.rises.items()},
            {key: values[rows] for key, values in self.still_ns.items()},
        )


class Measure:
    """One rule in the numbers of the rows."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        kind = rule.kind
        self._sign = -1.0 if kind == "below" else 1.0
        # The unit of the measure against that of the limit: a rise is a minute's.
        self._factor = (rule.window_s or 60.0) / 60.0 if kind == "rise" else self._sign
        limit = (rule.limit or 0.0) * self._factor
        clear = limit if rule.clear is None else rule.clear * self._factor
        slack = _slack(rule, limit)
        self._limit = limit - slack if kind == "runaway" else limit + slack
        self._clear = clear + slack
        self._drop_v = (rule.drop_v or 0.0) - 5e-6
        self.low = WindowKey(rule.point, rule.window_ns, is_high=False)
        self.high = WindowKey(VOLTAGE, rule.window_ns, is_high=True)

    @property
    def windows(self) -> tuple[WindowKey, ...]:
        """The pasts it needs."""
        return {"rise": (self.low,), "runaway": (self.low, self.high)}.get(self.rule.kind, ())

    @property
    def needs_past(self) -> bool:
        """Whether a row alone does not tell."""
        return self.rule.kind in ("rise", "runaway", "stuck")

    @property
    def ease(self) -> float:
        """Of two rules of the same family and window, the one with less is beyond first."""
        return self.rule.window_ns if self.rule.kind == "stuck" else self._limit

    @property
    def points(self) -> tuple[str, ...]:
        """The points it needs."""
        named = (self.rule.point,) if self.rule.point else ()
        return (*named, VOLTAGE) if self.rule.kind == "runaway" else named

    def screen(self, block: Block) -> NDArray[np.bool_] | None:
        """Which rows may lie beyond the limit; None: surely none. It never misses one."""
        match self.rule.kind:
            case "above":
                found = block.extremes(self.rule.point)
                return found.high > self._limit if found.highest > self._limit else None
            case "below":
                found = block.extremes(self.rule.point)
                return found.low < -self._limit if found.lowest < -self._limit else None
            case "spread":
                found = block.extremes(self.rule.point)
                if not found.highest - found.lowest > self._limit:
                    return None  # not even all rows together
                beyond = found.high - found.low > self._limit
                return beyond if holds_any(beyond) else None
            case "rise" | "runaway":
                if not block.steepest(self.low) > self._limit:
                    return None
                return any_in_row(block.rises[self.low] > self._limit)
            case "stuck":
                beyond = block.still_ns[self.rule.point] >= self.rule.window_ns
                return beyond if holds_any(beyond) else None
        return None

    def find(self, block: Block, remembered: NDArray[np.intp]) -> Finding:
        """What stands on the rows; `remembered`: the cells that were beyond before, or NO_CELL.

        A row on which the remembered cell is blank says nothing of this rule, unless another cell
        is beyond the limit.
        """
        if self.rule.kind == "stuck":
            return self._find_stuck(block)
        each = self._each(block)
        known = ~np.isnan(each)
        filled = np.where(known, each, -np.inf)
        cell = filled.argmax(axis=1)
        worst = filled[np.arange(len(filled)), cell]
        if self.rule.kind == "spread":
            worst = block.extremes(self.rule.point).high - block.extremes(self.rule.point).low
            worst = np.where(known.sum(axis=1) < 2, np.nan, worst)
        silent = np.isinf(worst) | np.isnan(worst)
        blank = ~known[np.arange(len(known)), np.minimum(remembered, known.shape[1] - 1)]
        beyond = ~silent & (worst > self._limit)
        silent |= (remembered != NO_CELL) & blank & ~beyond
        within = ~silent & ~beyond & (worst <= self._clear)
        value = np.where(silent, np.nan, worst.astype(np.float64) / self._factor)
        return Finding(value, cell, beyond, within)

    def _each(self, block: Block) -> Array:
        """The measure of each cell."""
        values = block.values[self.rule.point]
        match self.rule.kind:
            case "above":
                return values
            case "below":
                return -values
            case "rise":
                return block.rises[self.low]
            case "spread":  # the cell that lies farthest out
                middle = np.nansum(values, axis=1) / np.maximum(1, (~np.isnan(values)).sum(axis=1))
                return np.asarray(np.abs(values - middle[:, np.newaxis]))
        rises, drops = block.rises[self.low], block.rises[self.high]
        if rises.shape != drops.shape:  # fewer sensors than cells: any cell's drop counts
            drops = np.fmax.reduce(drops, axis=1)[:, np.newaxis]
        otherwise = np.where(np.isnan(drops), np.nan, 0.0)
        return np.asarray(np.where(drops >= self._drop_v, rises, otherwise + rises * 0))

    def _find_stuck(self, block: Block) -> Finding:
        still_ns = block.still_ns[self.rule.point]
        known = (still_ns != NEVER) & ~np.isnan(block.values[self.rule.point]).all(axis=1)
        beyond = known & (still_ns >= self.rule.window_ns)
        value = np.where(known, still_ns / 1e9, np.nan)
        return Finding(value, np.full(len(value), NO_CELL), beyond, known & ~beyond)


def grouped(measures: Sequence[Measure]) -> list[list[int]]:
    """Rules whose screens imply one another, by number: where the first is silent, all are."""
    groups: dict[tuple[str, int], list[int]] = {}
    for number, measure in enumerate(measures):
        window_ns = 0 if measure.rule.kind == "stuck" else measure.rule.window_ns
        groups.setdefault((measure.rule.family, window_ns), []).append(number)
    return [sorted(group, key=lambda number: measures[number].ease) for group in groups.values()]


def _slack(rule: Rule, limit: float) -> float:
    reach = max(1.0, abs(limit))
    if rule.frame_kind is Kind.CELL and rule.point:
        named = point(rule.frame_kind, rule.point)
        widest = max(abs(named.lowest), abs(named.highest))
        reach = widest if widest <= 1000 else reach
    return reach * 1e-6
