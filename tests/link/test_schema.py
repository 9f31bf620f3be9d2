"""The message classes are those of schema.proto."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_message_classes_are_fresh(tmp_path: Path) -> None:
    subprocess.run(["sh", ROOT / "scripts/schema", tmp_path], check=True)
    for name in ("schema_pb2.py", "schema_pb2.pyi"):
        made = (tmp_path / "tenhertz/link" / name).read_text(encoding="utf-8")
        kept = (ROOT / "src/tenhertz/link" / name).read_text(encoding="utf-8")
        assert made == kept, "run 'make schema'"
