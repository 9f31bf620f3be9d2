"""The parent's last resort: de-energise the units when the control process cannot.

It uses connections of its own, asks every unit at once, and gives each the same short time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from tenhertz.devices import Demand, Line, Session, wiring_for
from tenhertz.site.config import SiteConfig

LIMIT_S = 1.0


async def de_energise(
    config: SiteConfig, clock_ns: Callable[[], int], limit_s: float = LIMIT_S
) -> list[str]:
    """Send every unit its stop sequence; returns the names of those that did not acknowledge."""
    connecting = asyncio.Semaphore(100)
    lines = []
    for unit in config.unit:
        wiring = wiring_for(unit.map, unit.unit_id)
        session = Session(unit.name, wiring, unit.power_kw * 1000)
        session.demand(Demand.STOP, clock_ns())
        lines.append(
            Line(
                session,
                unit.host,
                unit.port or wiring.timing.port,
                clock_ns=clock_ns,
                random=random.random,
                connecting=connecting,
                changed=lambda _line, _reason: None,
            )
        )
    tasks = [asyncio.create_task(line.run()) for line in lines]
    until_ns = clock_ns() + round(limit_s * 1e9)
    while clock_ns() < until_ns and not all(line.session.settled for line in lines):
        await asyncio.sleep(0.005)
        for line in lines:
            line.check(clock_ns())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return [line.session.name for line in lines if not line.session.settled]
