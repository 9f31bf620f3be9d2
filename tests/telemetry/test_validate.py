"""What cannot be true is rejected with its reason; what can be true passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.link.frame import Column, Frame
from tenhertz.telemetry.validate import (
    DUPLICATE,
    FUTURE,
    NOT_FINITE,
    OUT_OF_ORDER,
    OUT_OF_RANGE,
    TOO_OLD,
    TimeLimits,
    Verdict,
    blanked,
    check_order,
    check_values,
)

from .frames import NOW_NS, cells

LIMITS = TimeLimits(future_ns=1_000, too_old_ns=10_000)


def told(verdict: Verdict) -> dict[str, list[int]]:
    return {reason: np.flatnonzero(mask).tolist() for reason, mask in verdict.reasons.items()}


def with_values(frame: Frame, point: str, values: object) -> Frame:
    return replace(frame, columns={**frame.columns, point: Column(np.asarray(values))})


def test_good_rows_pass() -> None:
    verdict = check_values(cells(), LIMITS)
    assert verdict.passed is None
    assert verdict.rejected == 0


def test_instants_are_held_against_the_clock_of_the_server() -> None:
    at_ns = NOW_NS + np.array([0, 1_000, 1_001, -10_001])
    verdict = check_values(cells(at_ns=at_ns), LIMITS)
    assert told(verdict) == {FUTURE: [2], TOO_OLD: [3]}
    assert verdict.passed is not None
    assert verdict.passed.tolist() == [True, True, False, False]


def test_a_single_wrong_cell_is_blanked_and_its_neighbours_stay() -> None:
    voltage = np.full((4, 3), 3300)
    voltage[1, 2] = 32767
    frame = cells(voltage_mv=voltage)
    verdict = check_values(frame, LIMITS)
    assert verdict.passed is None
    (blank,) = verdict.blanks
    assert (blank.point, blank.reason) == ("voltage_v", OUT_OF_RANGE)
    assert np.argwhere(blank.cells).tolist() == [[1, 2]]
    mended = blanked(frame, verdict.blanks).columns["voltage_v"].physical
    assert np.isnan(mended[1, 2])
    assert mended[1, :2] == pytest.approx([3.3, 3.3])


def test_a_row_without_a_cell_left_is_rejected() -> None:
    voltage = np.full((4, 3), 3.3, np.float32)
    voltage[2] = np.nan
    voltage[3] = np.inf
    verdict = check_values(with_values(cells(), "voltage_v", voltage), LIMITS)
    assert told(verdict) == {NOT_FINITE: [2, 3]}
    assert verdict.blanks == ()


def test_a_point_that_may_be_absent_may_be_nan_but_not_infinite() -> None:
    current = np.array([1.0, np.nan, np.inf, 1e9], np.float32)
    verdict = check_values(with_values(cells(), "current_a", current), LIMITS)
    assert told(verdict) == {NOT_FINITE: [2], OUT_OF_RANGE: [3]}


def test_limits_hold_for_scaled_columns_of_either_sign() -> None:
    frame = cells()
    turned = Column(np.array([[-3300] * 3, [-5001] * 3, [1] * 3, [0] * 3], np.int16), -0.001)
    frame = replace(frame, columns={**frame.columns, "voltage_v": turned})
    assert told(check_values(frame, LIMITS)) == {OUT_OF_RANGE: [1, 2]}


def test_an_entity_once_in_a_frame_is_held_against_its_newest() -> None:
    newest = np.array([NOW_NS - 1, NOW_NS, NOW_NS + 1, 0])
    assert told(check_order(cells(), newest)) == {DUPLICATE: [1], OUT_OF_ORDER: [2]}
    assert check_order(cells(), None).passed is None


def test_several_instants_of_an_entity_must_rise() -> None:
    frame = cells(
        entity=[0, 1, 0, 1, 0, 1],
        at_ns=NOW_NS + np.array([10, 10, 20, 10, 15, 30]),
    )
    newest = np.full(4, NOW_NS)
    assert told(check_order(frame, newest)) == {DUPLICATE: [3], OUT_OF_ORDER: [4]}


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=40),
    st.lists(st.integers(0, 12), min_size=4, max_size=4),
    st.booleans(),
)
def test_order_agrees_with_one_row_after_the_other(
    rows: list[tuple[int, int]], newest: list[int], backlog: bool
) -> None:
    at_ns = np.array([at for _, at in rows]) + NOW_NS
    frame = cells(entity=[entity for entity, _ in rows], at_ns=at_ns)
    before = np.array(newest) + NOW_NS
    seen = {} if backlog else dict(enumerate(before.tolist()))
    expected: dict[str, list[int]] = {}
    for row, (entity, _) in enumerate(rows):
        now = int(at_ns[row])
        if now <= seen.get(entity, 0):
            reason = DUPLICATE if now == seen[entity] else OUT_OF_ORDER
            expected.setdefault(reason, []).append(row)
        seen[entity] = max(now, seen.get(entity, 0))
    verdict = check_order(frame, None if backlog else before)
    assert told(verdict) == expected
    assert verdict.rejected == sum(map(len, expected.values()))
