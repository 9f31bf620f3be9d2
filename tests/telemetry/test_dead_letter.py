"""What was not stored stands in a file, once, with the reason."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenhertz.link import Kind
from tenhertz.link.schema_pb2 import Batch
from tenhertz.store import StoreTrouble
from tenhertz.telemetry.dead_letter import DeadLetters, Letter, letters_of, unreadable
from tenhertz.telemetry.validate import Blanks

from .frames import NOW_NS, cells


def letter(sequence: int, text: str = "") -> Letter:
    return Letter("out of range", "gate", 7, "CELL", sequence, "p0", NOW_NS, NOW_NS, {"text": text})


def lines(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_a_commit_made_again_writes_its_letters_over_those_of_before(tmp_path: Path) -> None:
    written = DeadLetters(tmp_path / "letters")
    written.write(5, [letter(1), letter(2)])
    written.write(5, [letter(1)])
    written.write(9, [letter(3)])
    assert [line["sequence"] for line in lines(tmp_path / "letters")] == [1, 3]


def test_a_commit_made_again_without_letters_removes_those_of_before(tmp_path: Path) -> None:
    written = DeadLetters(tmp_path / "letters")
    written.write(5, [])  # there is no folder yet, and none is needed
    written.write(5, [letter(1)])
    written.write(5, [])
    assert lines(tmp_path / "letters") == []


def test_a_file_and_its_name_are_durable_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def watched(handle: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        names = sorted(path.suffix for path in tmp_path.iterdir())
        synced.append("folder" if is_folder else f"file, {names}")
        real(handle)

    monkeypatch.setattr(os, "fsync", watched)
    DeadLetters(tmp_path).write(1, [letter(1)])
    assert synced == ["file, ['.new']", "folder"]


def test_a_disk_that_refuses_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreTrouble, match="No space"):
        DeadLetters(tmp_path).write(1, [letter(1)])
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_files_go_when_the_folder_is_full_and_are_counted(tmp_path: Path) -> None:
    for number in range(1, 6):
        DeadLetters(tmp_path).write(number, [letter(number, "x" * 1000)])
    size = (tmp_path / f"{1:020}.jsonl").stat().st_size
    written = DeadLetters(tmp_path, largest_bytes=3 * size)
    written.write(6, [letter(6, "x" * 1000)])
    assert [line["sequence"] for line in lines(tmp_path)] == [4, 5, 6]
    assert written.removed == 3


def test_the_newest_file_stays_however_large_it_is(tmp_path: Path) -> None:
    written = DeadLetters(tmp_path, largest_bytes=1)
    written.write(1, [letter(1)])
    assert [line["sequence"] for line in lines(tmp_path)] == [1]


def test_a_rejected_row_is_told_once_with_the_values_it_had() -> None:
    frame = cells(packs=3, voltage_mv=[[3300, 3301, 3302]] * 3)
    reasons = {"out of range": np.array([False, True, False])}
    blanks = (Blanks("voltage_v", "not finite", np.array([[0, 0, 1], [0, 1, 0], [0, 0, 0]], bool)),)
    row, cell = letters_of(frame, reasons, blanks)
    assert (row.reason, row.sequence, row.entity, row.kind) == ("out of range", 2, "p1", "CELL")
    assert row.values["voltage_v"] == pytest.approx([3.3, 3.301, 3.302])
    assert row.values["current_a"] == pytest.approx(5.0)
    assert (cell.reason, cell.sequence, cell.cell) == ("not finite", 1, 2)
    assert cell.values == {"voltage_v": pytest.approx(3.302)}


def test_numbers_that_json_does_not_know_are_told_as_text(tmp_path: Path) -> None:
    odd = Letter("not finite", "s", 7, "SAMPLE", 1, "u", 1, 1, {})
    frame = cells(packs=1, voltage_mv=3300)
    values = np.array([[np.nan, np.inf, -np.inf]], np.float32)
    frame.columns["voltage_v"] = type(frame.columns["voltage_v"])(values)
    (found,) = letters_of(frame, {"not finite": np.array([True])}, ())
    assert found.values["voltage_v"] == ["nan", "inf", "-inf"]
    DeadLetters(tmp_path).write(1, [odd, found])
    assert len(lines(tmp_path)) == 2


def test_a_batch_that_could_not_be_read_again_tells_what_it_was() -> None:
    batch = Batch(stream=7, kind=Kind.CELL, first=11, rows=10, base_time_ns=NOW_NS)  # type: ignore[arg-type]
    found = unreadable("gate", batch, "schema")
    assert (found.reason, found.sequence, found.values) == ("schema", 11, {"rows": 10})
