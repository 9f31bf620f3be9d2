"""What a supervised process does on its own side."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from tenhertz.supervise import Exit, die_with_parent, process_child, say_ready

CHILD = (
    "from tenhertz.supervise import die_with_parent, say_ready; import os, time;"
    "die_with_parent(); say_ready(); say_ready();"
    "assert not [name for name in os.environ if name.startswith('TENHERTZ_')];"
    "time.sleep(1000)"
)
PARENT = f"""
import asyncio, sys
from tenhertz.supervise import process_child
async def main():
    child = await process_child([sys.executable, "-c", {CHILD!r}], says_ready=True)()
    print(child.pid, flush=True)
    await child.wait()
asyncio.run(main())
"""


@pytest.mark.slow
def test_a_process_dies_with_its_parent():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert int(parent.stdout.readline())  # the child is ready: it has asked
    parent.kill()
    parent.wait()
    # The child inherited our pipe: its end closes when the child is gone.
    assert parent.stdout.read() == b""
    parent.stdout.close()


@pytest.mark.slow
def test_a_process_whose_parent_died_before_it_asked_ends_itself():
    async def main():
        # No process here has the parent 0: it is as if the parent had changed meanwhile.
        script = "from tenhertz.supervise import die_with_parent; die_with_parent(0)"
        child = await process_child([sys.executable, "-c", script])()
        assert await child.wait() == Exit.killed(signal.SIGTERM)

    asyncio.run(main())


def test_without_a_supervisor_nothing_happens(monkeypatch):
    monkeypatch.delenv("TENHERTZ_PARENT_PID", raising=False)
    monkeypatch.delenv("TENHERTZ_READY_FD", raising=False)
    die_with_parent()
    say_ready()


def test_saying_ready_to_a_supervisor_that_is_gone_is_no_error(monkeypatch):
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    monkeypatch.setenv("TENHERTZ_READY_FD", str(write_fd))
    say_ready()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(write_fd)
