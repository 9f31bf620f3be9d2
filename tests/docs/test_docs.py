"""The pages say what is: generated ones are fresh, tutorials run, links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def free_range(count: int) -> int:
    for first in range(21_000 + os.getpid() % 500 * 20, 32_000, 20):
        try:
            for port in range(first, first + count):
                for door in (0, 1000):
                    with socket.socket() as probe:
                        probe.bind(("127.0.0.1", port + door))
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


def test_the_configuration_page_is_fresh() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts/docs", "--check"])

    assert done.returncode == 0, "run `make docs` and commit the page"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))

    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.slow
def test_the_first_tutorial_runs_as_it_is_written(tmp_path: Path) -> None:
    text = (ROOT / "docs/tutorials/first-site.md").read_text(encoding="utf-8")
    script = "set -eu\n" + "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    base = free_range(4)
    name = f"tutorial-{os.getpid()}"
    # Names and ports of its own, so that it runs beside other sites.
    script = re.sub(r"155(0\d)", lambda found: str(base + int(found[1])), script)
    script = script.replace('name = "first"', f'name = "{name}"').replace(
        "site.toml", f"{name}.toml"
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    (tmp_path / "tutorial.sh").write_text(script)  # not `bash -c`: its pkill would find itself
    try:
        done = subprocess.run(
            ["bash", "tutorial.sh"],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=50,
        )
    finally:
        for pattern in (f"tenhertz site run {name}.toml", f"base-port {base} "):
            subprocess.run(["pkill", "-KILL", "-f", pattern])
        shutil.rmtree(f"/dev/shm/tenhertz-{os.getuid()}-{name}", ignore_errors=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "no hole" in done.stdout
    assert "units de-energised" in done.stdout
