"""What the engine says in words, at the limits, after a restart, and beyond its bounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenhertz.link import Kind
from tenhertz.link.frame import Column, Frame
from tenhertz.telemetry.rules import Change, Rule, RuleEngine, RuleSet, load_rules

NOW_NS = 1_800_000_000_000_000_000
S = 1_000_000_000


def rule(**settings: Any) -> Rule:
    usual: dict[str, Any] = {"name": "r", "rows": "cell", "level": "critical"}
    return Rule(**(usual | settings))


def engine(*rules: Rule, most_entities: int = 1000) -> RuleEngine:
    return RuleEngine(RuleSet(rules), "gate", most_entities=most_entities)


def frame(
    voltage_mv: Any, temperature_dc: Any = None, *, at_s: float = 0.0, entity: Any = None
) -> Frame:
    """One row for each list of cells; packs p0, p1, ..."""
    voltage = np.array(voltage_mv, np.int16)
    temperature = np.full_like(voltage, 250) if temperature_dc is None else temperature_dc
    rows = len(voltage)
    return Frame(
        "gate",
        1,
        Kind.CELL,
        np.arange(rows),
        np.full(rows, NOW_NS + round(at_s * S)),
        np.array(range(rows) if entity is None else entity, np.uint32),
        tuple(f"p{number}" for number in range(10)),
        {
            "voltage_v": Column(voltage, 0.001),
            "temperature_c": Column(np.array(temperature, np.int16), 0.1),
            "current_a": Column(np.zeros(rows, np.int16), 0.1),
        },
    )


def brief(changes: list[Change]) -> list[tuple[str, str, int | None]]:
    return [(change.kind, change.entity, change.cell) for change in changes]


def test_a_value_at_the_limit_is_not_beyond_it_at_any_resolution() -> None:
    wrong = []
    for limit_mv in range(1, 5000, 7):
        above = rule(kind="above", point="voltage_v", limit=limit_mv / 1000)
        below = rule(name="b", kind="below", point="voltage_v", limit=limit_mv / 1000)
        found = engine(above, below).look(
            frame([[limit_mv], [limit_mv + 1], [limit_mv - 1]]), NOW_NS
        )
        if sorted((change.rule, change.entity) for change in found) != [("b", "p2"), ("r", "p1")]:
            wrong.append(limit_mv)
    assert wrong == []


def test_the_sentence_names_cell_value_and_limit() -> None:
    over = rule(kind="above", point="voltage_v", limit=3.65, clear=3.6)
    engine_ = engine(over)
    (raised,) = engine_.look(frame([[3300, 3720]]), NOW_NS + 5)
    assert raised.text == "cell 1 of p0: 3.72 V is above 3.65 V"
    assert (raised.family, raised.at_ns, raised.seen_ns) == (
        "cell/voltage_v/above",
        NOW_NS,
        NOW_NS + 5,
    )
    assert engine_.look(frame([[3300, 3610]], at_s=1), NOW_NS) == []
    (cleared,) = engine_.look(frame([[3300, 3600]], at_s=2), NOW_NS)
    assert cleared.text == "cell 1 of p0: 'r' is over, voltage is 3.6 V"


def test_only_a_rule_that_stops_orders_a_stop_and_only_when_raised() -> None:
    stop = rule(kind="above", point="voltage_v", limit=3.8, level="emergency", stop=True)
    engine_ = engine(stop, rule(name="no", kind="above", point="voltage_v", limit=3.8))
    raised = engine_.look(frame([[3900]]), NOW_NS)
    assert {change.rule: change.stop for change in raised} == {"r": True, "no": False}
    cleared = engine_.look(frame([[3700]], at_s=1), NOW_NS)
    assert [change.stop for change in cleared] == [False, False]


def test_thermal_runaway_is_told_by_the_built_in_rules(tmp_path: Path) -> None:
    engine_ = RuleEngine(load_rules(("lfp",), tmp_path), "gate")
    told: list[str] = []
    for second in range(20):
        voltage = [[3300, 3300 - 20 * second]]
        temperature = [[250, 250 + 7 * second]]
        changes = engine_.look(frame(voltage, temperature, at_s=second), NOW_NS)
        told += [change.rule for change in changes if change.stop]
    assert told == ["thermal runaway"]


def test_a_backlog_changes_nothing() -> None:
    over = rule(kind="above", point="voltage_v", limit=3.65)
    engine_ = engine(over)
    engine_.look(frame([[3300]], at_s=10), NOW_NS)
    assert engine_.look(frame([[4000]], at_s=9), NOW_NS) == []
    assert engine_.look(frame([[4000]], at_s=10), NOW_NS) == []
    assert engine_.counts()["stale_rows"] == 2


def test_rows_of_the_unit_count_too() -> None:
    empty = rule(rows="sample", kind="below", point="soc", limit=0.03)
    cells = frame([[1]])
    columns = {"soc": Column(np.array([0.02, np.nan, 0.5], np.float32))}
    sample = replace(
        frame([[1], [1], [1]]), kind=Kind.SAMPLE, columns=columns, entities=("u0", "u1", "u2")
    )
    engine_ = engine(empty)
    assert engine_.look(cells, NOW_NS) == []
    (raised,) = engine_.look(sample, NOW_NS)
    assert raised.text == "u0: 0.02 is below 0.03 (soc)"
    assert raised.cell is None


def test_missing_rows_are_raised_by_the_clock_and_clear_with_the_next_row() -> None:
    engine_ = engine(rule(kind="missing", window_s=30.0))
    engine_.look(frame([[3300]]), NOW_NS)
    assert engine_.sweep(NOW_NS + 30 * S - 1) == []
    (raised,) = engine_.sweep(NOW_NS + 30 * S)
    assert raised.text == "p0: no cell rows for 30 s"
    assert engine_.sweep(NOW_NS + 40 * S) == []
    (cleared,) = engine_.look(frame([[3300]], at_s=1), NOW_NS + 50 * S)
    assert cleared.kind == "cleared"


def test_entities_known_before_a_restart_are_waited_for() -> None:
    engine_ = engine(rule(kind="missing", window_s=30.0))
    engine_.expect(Kind.CELL, ["p7"], NOW_NS)
    engine_.expect(Kind.TICK, ["site"], NOW_NS)
    assert brief(engine_.sweep(NOW_NS + 30 * S)) == [("raised", "p7", None)]


def test_a_restart_goes_on_with_what_was_active() -> None:
    over = rule(kind="above", point="voltage_v", limit=3.65)
    engine_ = engine(over)
    gone = engine_.resume(
        [
            ("p0", "r", over.family, "critical"),
            ("p1", "r", over.family, "warning"),
            ("p1", "old", "cell/voltage_v/above", "critical"),
        ],
        NOW_NS,
    )
    assert [(change.entity, change.rule, change.kind) for change in gone] == [
        ("p1", "r", "cleared"),
        ("p1", "old", "cleared"),
    ]
    assert engine_.look(frame([[4000]]), NOW_NS) == []
    assert brief(engine_.look(frame([[3300]], at_s=1), NOW_NS)) == [("cleared", "p0", None)]


def test_entities_beyond_the_bound_are_counted_and_not_watched() -> None:
    over = rule(kind="above", point="voltage_v", limit=3.65)
    engine_ = engine(over, most_entities=2)
    changes = engine_.look(frame([[4000]] * 4), NOW_NS)
    assert [change.entity for change in changes] == ["p0", "p1"]
    assert engine_.counts() == {"stale_rows": 0, "unwatched_rows": 2, "entities": 2}
    assert engine_.look(frame([[4000]], entity=[3], at_s=1), NOW_NS) == []


def test_frames_without_a_point_of_the_rules_are_counted() -> None:
    engine_ = engine(rule(kind="above", point="voltage_v", limit=3.65))
    bare = replace(frame([[4000]]), columns={})
    assert engine_.look(bare, NOW_NS) == []
    assert engine_.counts()["unwatched_rows"] == 1


def test_packs_of_different_sizes_share_an_engine() -> None:
    over = rule(kind="above", point="voltage_v", limit=3.65)
    apart = rule(name="s", kind="spread", point="voltage_v", limit=0.3)
    heats = rule(name="h", kind="rise", point="temperature_c", limit=1, window_s=60)
    engine_ = engine(over, apart, heats)
    assert engine_.look(frame([[3300, 3300]]), NOW_NS) == []
    assert engine_.look(frame([[3300] * 5], entity=[1]), NOW_NS) == []
    changes = engine_.look(frame([[3300, 3900]], [[250, 290]], at_s=1), NOW_NS)
    assert sorted(change.rule for change in changes) == ["h", "r", "s"]


@pytest.mark.parametrize("packs", [3, 200])
def test_the_order_of_packs_in_a_frame_is_of_no_account(packs: int) -> None:
    over = rule(kind="above", point="voltage_v", limit=3.65)
    engine_ = engine(over)
    voltage = np.full((packs, 4), 3300)
    voltage[1, 2] = 3700
    entities = tuple(f"p{number}" for number in range(packs))
    whole = replace(frame(voltage, entity=np.arange(packs)[::-1]), entities=entities)
    assert brief(engine_.look(whole, NOW_NS)) == [("raised", f"p{packs - 2}", 2)]


def test_a_pack_that_stands_still_from_its_first_frame_on_is_stuck() -> None:
    frozen = rule(kind="stuck", point="voltage_v", window_s=1.0)
    rows = frame([[3300, 3300]] * 3, entity=[0, 0, 0])
    rows = replace(rows, time_ns=NOW_NS + np.array([0, S // 2, S]))
    (raised,) = engine(frozen).look(rows, NOW_NS)
    assert (raised.value, raised.at_ns) == (1.0, NOW_NS + S)
