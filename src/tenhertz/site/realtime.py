"""What a process asks of the interpreter and the kernel before it keeps a beat.

Each measure has its reason in a measurement (docs/architecture.md, "The hot path").
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Literal

Scheduling = Literal["fifo", "nice", "normal"]

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


def raise_priority() -> Scheduling:
    """Ask for real-time scheduling, else for a better nice value; say what was granted."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_FIFO_PRIORITY))
    except (PermissionError, OSError):
        try:
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)
        except (PermissionError, OSError):
            return "normal"
        return "nice"
    return "fifo"
