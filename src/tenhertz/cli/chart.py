"""Lines on a terminal, drawn with braille dots: two across and four down in each character."""

from __future__ import annotations

from collections.abc import Sequence

_BLANK = 0x2800
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def line_chart(
    values: Sequence[float], width: int, height: int, low: float, high: float
) -> list[str]:
    """Draw the newest `2 * width` values between `low` and `high`, newest at the right.

    Returns `height` strings of `width` characters, the highest first. A step is drawn as a
    connected line.
    """
    cells = [[_BLANK] * width for _ in range(height)]
    shown = list(values)[-2 * width :]
    shift = 2 * width - len(shown)
    top = 4 * height - 1
    span = (high - low) or 1.0
    previous: int | None = None
    for index, value in enumerate(shown):
        level = round(min(max((value - low) / span, 0.0), 1.0) * top)
        begin = level if previous is None else previous
        for dot in range(min(begin, level), max(begin, level) + 1):
            column, row = index + shift, top - dot
            cells[row // 4][column // 2] |= _DOTS[column % 2][row % 4]
        previous = level
    return ["".join(map(chr, row)) for row in cells]
