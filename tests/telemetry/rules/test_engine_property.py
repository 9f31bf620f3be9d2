"""The engine tells what one row after the other tells, however the rows come in frames."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenhertz.link import Kind
from tenhertz.link.frame import Column, Frame
from tenhertz.telemetry.rules import Change, Rule, RuleEngine, RuleSet

from .reference import Reference, Row, Told

NOW_NS = 1_800_000_000_000_000_000
S = 1_000_000_000
ENTITIES = ("a", "b", "c", "d")
# Powers of two: every number is exact in float32, so ties and limits are the same on both sides.
STEP = {"voltage_v": 2.0**-5, "temperature_c": 0.5, "current_a": 1.0}
BLANK = -99


class Batch(NamedTuple):
    entity: list[int]
    time_ns: list[int]
    voltage: list[list[int]]
    temperature: list[list[int]]
    as_float: bool
    after_s: int  # how much later than the one before it arrives


def rules_of(draw: st.DrawFn) -> tuple[Rule, ...]:
    rules = []
    for number in range(draw(st.integers(1, 6))):
        kinds = ["above", "below", "rise", "runaway", "spread", "missing", "stuck"]
        kind: Any = draw(st.sampled_from(kinds))
        point = draw(st.sampled_from(["voltage_v", "temperature_c"]))
        if kind == "runaway":
            point = "temperature_c"
        step = STEP[point]
        window_s = draw(st.sampled_from([1.0, 4.0, 8.0, 20.0]))
        level = draw(st.integers(1, 12))
        gap = draw(st.integers(0, 3))
        limit: float | None = level * step
        clear: float | None = (level - gap) * step
        if kind == "below":
            clear = (level + gap) * step
        if kind == "rise":
            limit, clear = level * step * 60 / window_s, (level - gap) * step * 60 / window_s
        if kind in ("missing", "stuck"):
            limit = clear = None
        rules.append(
            Rule(
                name=f"rule {number}",
                kind=kind,
                rows="cell",
                level="warning",
                point="" if kind == "missing" else point,
                limit=limit,
                clear=draw(st.sampled_from([None, clear])),
                hold_s=0.0 if kind == "missing" else draw(st.sampled_from([0.0, 1.0, 2.5])),
                window_s=window_s if kind in ("rise", "runaway", "missing", "stuck") else None,
                drop_v=2 * STEP["voltage_v"] if kind == "runaway" else None,
            )
        )
    return tuple(rules)


@st.composite
def stories(draw: st.DrawFn) -> tuple[tuple[Rule, ...], list[Batch]]:
    rules = rules_of(draw)
    sensors = draw(st.sampled_from([3, 2, 1]))
    clock = dict.fromkeys(range(len(ENTITIES)), NOW_NS)
    batches = []
    for _ in range(draw(st.integers(1, 8))):
        rows = draw(st.integers(1, 12))
        once = draw(st.booleans())
        entity = (
            draw(st.permutations(range(len(ENTITIES))))[:rows]
            if once
            else draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows))
        )
        as_float = draw(st.booleans())
        lively = draw(st.booleans())
        numbers = st.integers(0, 14) if lively else st.sampled_from([4, 4, 4, 5])
        if as_float:
            numbers = st.one_of(numbers, numbers, st.just(BLANK))
        times = []
        for each in entity:
            dt = draw(st.sampled_from([1, 1, 1, 2, 3, 12, 40, 0, -4])) * S // 2
            times.append(clock[each] + dt)
            clock[each] = max(times[-1], clock[each])
        voltage = [[draw(numbers) for _ in range(3)] for _ in entity]
        temperature = [[draw(numbers) for _ in range(sensors)] for _ in entity]
        after_s = draw(st.integers(0, 9))
        batches.append(Batch(list(entity), times, voltage, temperature, as_float, after_s))
    return rules, batches


def column(values: list[list[int]], point: str, *, as_float: bool) -> Column:
    whole = np.array(values, np.int16)
    if not as_float:
        return Column(whole, STEP[point])
    physical = whole.astype(np.float32) * np.float32(STEP[point])
    return Column(np.where(whole == BLANK, np.float32(np.nan), physical))


def frame_of(batch: Batch) -> Frame:
    rows = len(batch.entity)
    return Frame(
        "gate",
        1,
        Kind.CELL,
        np.arange(rows),
        np.array(batch.time_ns, np.int64),
        np.array(batch.entity, np.uint32),
        ENTITIES,
        {
            "voltage_v": column(batch.voltage, "voltage_v", as_float=batch.as_float),
            "temperature_c": column(batch.temperature, "temperature_c", as_float=batch.as_float),
            "current_a": Column(np.zeros(rows, np.int16)),
        },
    )


def rows_of(batch: Batch) -> Iterable[Row]:
    for number, entity in enumerate(batch.entity):
        values = {"voltage_v": batch.voltage[number], "temperature_c": batch.temperature[number]}
        exact = {
            point: [None if cell == BLANK else cell * Fraction(STEP[point]) for cell in cells]
            for point, cells in values.items()
        }
        yield Row(ENTITIES[entity], batch.time_ns[number], exact)


def told_by(changes: Iterable[Change]) -> list[Told]:
    return sorted(
        Told(
            change.at_ns,
            change.entity,
            change.rule,
            change.kind,
            Fraction(round(change.value * 1000), 1000),
            change.cell,
        )
        for change in changes
    )


def rounded(told: Iterable[Told], widths: dict[str, int]) -> list[Told]:
    return sorted(
        each._replace(
            value=Fraction(round(float(each.value) * 1000), 1000),
            cell=each.cell if widths[each.rule] > 1 else None,
        )
        for each in told
    )


@pytest.mark.slow
@settings(max_examples=300)
@given(stories())
def test_engine_agrees_with_one_row_after_the_other(
    story: tuple[tuple[Rule, ...], list[Batch]],
) -> None:
    rules, batches = story
    engine = RuleEngine(RuleSet(rules), "gate")
    reference = Reference(rules)
    now_ns = NOW_NS
    for batch in batches:
        widths = {
            rule.name: len(batch.voltage[0] if rule.point == "voltage_v" else batch.temperature[0])
            for rule in rules
        }
        now_ns += batch.after_s * S
        expected = rounded(reference.sweep(now_ns), widths)
        assert told_by(engine.sweep(now_ns)) == expected
        found = engine.look(frame_of(batch), now_ns)
        each = [told for row in rows_of(batch) for told in reference.look(row, now_ns)]
        assert told_by(found) == rounded(each, widths)
