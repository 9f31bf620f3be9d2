"""The chart of the live screen."""

from __future__ import annotations

from tenhertz.cli.chart import line_chart


def test_a_chart_has_the_size_that_was_asked_for() -> None:
    rows = line_chart([1.0, 2.0, 3.0], width=10, height=4, low=1.0, high=3.0)

    assert [len(row) for row in rows] == [10] * 4


def test_the_highest_value_is_at_the_top_and_the_lowest_at_the_bottom() -> None:
    rising = line_chart([0.0] * 4 + [1.0] * 4, width=4, height=2, low=0.0, high=1.0)

    assert rising[0][0] == "\u2800"
    assert rising[0][3] == "\u2809"
    assert rising[1][0] == "\u28c0"


def test_only_the_newest_values_are_shown() -> None:
    assert line_chart([9.0] * 50 + [1.0] * 8, 4, 1, 1.0, 9.0) == ["\u28c0" * 4]


def test_nothing_to_show_is_blank() -> None:
    assert line_chart([], 3, 1, 0.0, 1.0) == ["\u2800" * 3]
