"""What a supervised process does on its own side: die with its parent, and say it is ready.

Both hold for the process itself and are not handed on to the processes it starts: they take
their variable out of the environment.
"""

from __future__ import annotations

import ctypes
import os
import signal

PARENT_PID_VARIABLE = "TENHERTZ_PARENT_PID"
READY_FD_VARIABLE = "TENHERTZ_READY_FD"
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(expected_ppid: int | None = None, signal_number: int = signal.SIGTERM) -> None:
    """Have the kernel send this process `signal_number` when its parent dies.

    Call it first thing, after installing the handler of that signal. `expected_ppid` is the
    process that started this one; by default the one that `process_child` named in the
    environment, and without one nothing happens (the program was started by hand). A parent that
    died before the call would never be noticed, so the signal is then sent from here.

    The kernel watches the parent's *thread* that started this process: supervise from a thread
    that lives as long as its process, best the main thread. Raises OSError when the kernel
    refuses.
    """
    named = os.environ.pop(PARENT_PID_VARIABLE, None)
    if expected_ppid is None:
        if named is None:
            return
        expected_ppid = int(named)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal_number), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl(PR_SET_PDEATHSIG): {os.strerror(error)}")
    if os.getppid() != expected_ppid:
        os.kill(os.getpid(), signal_number)


def say_ready() -> None:
    """Tell the supervisor that this process can do its work now; once, later calls do nothing.

    Nothing happens when nobody asked (`process_child` without `says_ready`).
    """
    named = os.environ.pop(READY_FD_VARIABLE, None)
    if named is None:
        return
    ready_fd = int(named)
    try:
        os.write(ready_fd, b"\n")
    except BrokenPipeError:
        pass  # the supervisor is gone, and die_with_parent deals with that
    finally:
        os.close(ready_fd)
