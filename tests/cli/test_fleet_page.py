"""docs/fleet.md does what it says: a real server and broker, with a site that obeys."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tenhertz.link import Kind
from tenhertz.link.signature import load_key, public_text

from .fleet_server import fill, rows
from .fleet_site import FakeSite, mosquitto, result

PAGE = Path(__file__).parents[2] / "docs" / "fleet.md"


@pytest.mark.interop
@pytest.mark.slow
def test_the_page_runs_as_it_is_written(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    script = "set -eu\n" + "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    fill(tmp_path, [rows(Kind.CELL, 20)])
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with mosquitto(tmp_path) as port:
        site = FakeSite(lambda: public_text(load_key(tmp_path / "fleet.key")), port)
        site.answer = lambda command: [result(command)]
        script = script.replace("port = 1883", f"port = {port}")
        script = script.replace("127.0.0.1:8071", "127.0.0.1:0")
        (tmp_path / "page.sh").write_text(script)
        with site.running():
            code, out, err = run(tmp_path, {**os.environ, "PATH": path})
    assert code == 0, out + err
    orders = [command.WhichOneof("order") for command in site.taken]
    assert orders == ["setpoint", "stop", "resume", "plan", "contracts"]
    assert "2027-01-15 08:00:01.900" in out
    assert out.count("1800000001500000000,") == 1
    assert "site-1/p1  3.25" in re.sub(r" +", "  ", out)
    assert "restored" in out
    assert "no open alerts" in out
    assert out.rstrip().endswith("no gaps: every row that was taken is here")


def run(folder: Path, environment: dict[str, str]) -> tuple[int, str, str]:
    """Run the script in a session of its own, so that nothing of it outlives the test."""
    out, err = folder / "page.out", folder / "page.err"
    with out.open("wb") as one, err.open("wb") as two:
        process = subprocess.Popen(
            ["bash", "page.sh"],
            cwd=folder,
            env=environment,
            stdout=one,
            stderr=two,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=50)
        except subprocess.TimeoutExpired:
            code = -1
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return code, out.read_text(), err.read_text()
