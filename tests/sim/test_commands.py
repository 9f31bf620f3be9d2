"""The verbs, as a person meets them."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tenhertz.cli import app

PYMODBUS_UNLOADED = "import sys, tenhertz.cli; sys.exit('pymodbus' in sys.modules)"


@pytest.mark.slow
def test_the_command_line_loads_no_modbus_library_before_it_needs_one() -> None:
    assert subprocess.run([sys.executable, "-c", PYMODBUS_UNLOADED], timeout=20).returncode == 0


@pytest.mark.parametrize("verb", ["site", "fault", "state"])
def test_every_verb_helps_with_an_example(verb: str) -> None:
    shown = CliRunner().invoke(app, ["sim", verb, "--help"])
    assert shown.exit_code == 0
    assert f"Example: tenhertz sim {verb}" in shown.output


def test_an_unknown_fault_names_those_there_are() -> None:
    shown = CliRunner().invoke(app, ["sim", "fault", "explode", "--port", "1"])
    assert shown.exit_code == 2
    assert "wrong-unit" in shown.output
