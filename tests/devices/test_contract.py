"""What the rooms above rely on."""

from __future__ import annotations

import asyncio

from tenhertz.devices import Battery, Line, Session, wiring_for


def test_a_line_is_a_battery() -> None:
    session = Session("c01", wiring_for("generic-container"), 200_000)
    line: Battery = Line(
        session,
        "localhost",
        502,
        clock_ns=lambda: 0,
        random=lambda: 0.5,
        connecting=asyncio.Semaphore(1),
        changed=lambda _line, _reason: None,
    )

    assert (line.name, line.rated_power_w, line.connected) == ("c01", 200_000, False)
    assert line.reading is None
    assert line.condition(0) == 0
