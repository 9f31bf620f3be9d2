"""What a process asks of the interpreter and the kernel before it keeps a beat.

Each measure has its reason in a measurement (docs/architecture.md, "The hot path").
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Literal

Scheduling = Literal["fifo", "nice", "normal"]
Wanted = Literal["auto", "fifo", "nice", "normal"]

# 2,000 devices on one core: p99.9 of the sample spacing 210 ms under SCHED_FIFO, 110 ms with nice.
FIFO_UNITS_MOST = 500

# The default of 5 ms lets one busy thread miss nine of ten deadlines of a 200-device loop.
SWITCH_INTERVAL_S = 50e-6
_FIFO_PRIORITY = 10
_NICE = -15


def freeze_collector() -> None:
    """Take what lives now out of the garbage collector's sight, and stop it from running by itself.

    A full collection over a large heap stops the process for a third of a second. The hot path
    makes no reference cycles; `collect_young` is called in its idle time for what asyncio makes.
    """
    gc.collect()
    gc.freeze()
    gc.disable()


def collect_young() -> int:
    """Collect what was made since the start; cheap, because the rest is frozen."""
    return gc.collect()


def shorten_switches() -> None:
    """Let the loop take the interpreter back from a busy thread within 50 µs."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def raise_priority(wanted: Wanted, units: int) -> Scheduling:
    """Ask the kernel for the processor when it is needed; say what was granted.

    `auto` asks for SCHED_FIFO on sites of up to `FIFO_UNITS_MOST` units and for a better nice value
    above: a process that keeps a core busy under SCHED_FIFO starves the kernel's own network
    threads on it, and is stopped for 50 ms a second by the real-time throttle. What is refused
    falls back to the next: fifo, nice, normal.
    """
    if wanted == "auto":
        wanted = "fifo" if units <= FIFO_UNITS_MOST else "nice"
    if wanted == "fifo":
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_FIFO_PRIORITY))
        except OSError:
            wanted = "nice"
        else:
            return "fifo"
    if wanted == "nice":
        try:
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)
        except OSError:
            return "normal"
        return "nice"
    return "normal"
