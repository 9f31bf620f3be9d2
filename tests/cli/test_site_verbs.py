"""The verbs of `tenhertz site`, as a user calls them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tenhertz.site.mailbox import Mailbox

CONFIG = """
[site]
name = "verbs"
runtime_dir = "{runtime}"
[frequency]
source = "recording"
recording = "nordic-2024-04-08"
[[unit]]
name = "c01"
host = "127.0.0.1"
port = 1
power_kw = 200
energy_kwh = 400
"""


def call(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tenhertz", *map(str, words)], capture_output=True, text=True
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(CONFIG.format(runtime=tmp_path / "run"))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("status",), ("resume",), ("set-power", "--power-kw", "10")], ids=lambda w: w[0]
)
def test_a_site_that_does_not_run_is_told_in_one_line(config: Path, words: tuple[str, ...]) -> None:
    done = call("site", words[0], config, *words[1:])

    assert done.returncode == 2
    assert done.stderr.startswith("tenhertz: site 'verbs' is not running here")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_stop_passes_although_the_file_has_a_mistake(config: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    mailbox = Mailbox(tmp_path / "run" / "mailbox", create=True)
    config.write_text(config.read_text() + "nonsense = 1\n")

    done = call("site", "stop", config)

    assert done.returncode == 0, done.stderr
    assert mailbox.stopped


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("power_kw", "power_kv", "did you mean 'power_kw'?"),
        ("port = 1", 'port = "x"', "port"),
        ("power_kw = 200", "power_kw = -1", "power_kw"),
        ("nordic-2024-04-08", "nowhere", "nowhere"),
        ("[site]", "[site", "not valid TOML"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_and_exit_code_2(
    config: Path, old: str, new: str, expected: str
) -> None:
    config.write_text(config.read_text().replace(old, new))

    done = call("site", "run", config)

    assert done.returncode == 2
    assert done.stderr.startswith("tenhertz: ")
    assert done.stderr.count("\n") == 1
    assert "site.toml" in done.stderr
    assert expected in done.stderr
