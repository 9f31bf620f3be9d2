"""One process of a kind, and the lock goes with its holder."""

import os
import subprocess
import sys

import pytest

from tenhertz.errors import UserError
from tenhertz.lock import held, is_held

HOLDER = """
import sys
from pathlib import Path
from tenhertz.lock import held
with held(Path(sys.argv[1]), "the other"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path):
    path = tmp_path / "lock"
    with held(path, "site 'alpha'"):
        assert is_held(path)
        with (
            pytest.raises(UserError, match=rf"alpha' is running already \(process {os.getpid()}\)"),
            held(path, "site 'alpha'"),
        ):
            pass
        assert is_held(path)
    assert not is_held(path)


def test_a_lock_that_nobody_made_is_not_held(tmp_path):
    assert not is_held(tmp_path / "none")


def test_after_its_holder_a_lock_is_free(tmp_path):
    for _ in range(2):
        with held(tmp_path / "lock", "it"):
            pass


@pytest.mark.slow
def test_a_successor_waits_for_a_predecessor_that_is_killed(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        assert is_held(path)
        holder.kill()
        with held(path, "it", wait_s=30.0):
            assert path.read_text() == str(os.getpid())
