"""Grid frequency over time: a recording replayed, or a constant.

Reads CSV files with a column `frequency_hz` and either `utc` (ISO 8601) or `time_s`. A blank
frequency is a lost sample: it is left out, and the replay interpolates across it.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from tenhertz.errors import UserError

NS = 1_000_000_000
SUFFIX = ".csv"

_HIGHEST_HZ = 65.0  # what a register of 0.001 Hz can still show


@dataclass(frozen=True)
class Recording:
    """Samples of frequency. `times_s` begins at 0 and rises; both columns are equally long."""

    name: str
    times_s: tuple[float, ...]
    frequency_hz: tuple[float, ...]

    @property
    def duration_s(self) -> float:
        """Time from the first to the last sample, seconds."""
        return self.times_s[-1]

    def at(self, time_s: float) -> float:
        """Frequency at `time_s`, Hz, linear between samples, held beyond the ends."""
        times, values = self.times_s, self.frequency_hz
        i = bisect_right(times, time_s)
        if i == 0:
            return values[0]
        if i == len(times):
            return values[-1]
        share = (time_s - times[i - 1]) / (times[i] - times[i - 1])
        return values[i - 1] + share * (values[i] - values[i - 1])


@dataclass(frozen=True)
class Replay:
    """A recording laid on the monotonic clock: `start_s` of it is shown at `epoch_ns`.

    At its end it begins anew, or with `hold` keeps its last value.
    """

    recording: Recording
    epoch_ns: int
    start_s: float = 0.0
    speed: float = 1.0
    hold: bool = False

    def __call__(self, now_ns: int) -> float:
        """Frequency at an instant of the monotonic clock, Hz."""
        time_s = self.start_s + (now_ns - self.epoch_ns) / NS * self.speed
        if not self.hold:
            time_s %= self.recording.duration_s
        return self.recording.at(time_s)


def constant(frequency_hz: float) -> Callable[[int], float]:
    """A grid that never moves, Hz."""
    return lambda _now_ns: frequency_hz


def _shelf() -> Traversable:
    """Where the recordings lie; found from the top package, so that no other room is loaded."""
    return resources.files("tenhertz") / "grid" / "recordings"


def names() -> list[str]:
    """The recordings that come with the program."""
    return sorted(
        f.name.removesuffix(SUFFIX) for f in _shelf().iterdir() if f.name.endswith(SUFFIX)
    )


def load(name_or_file: str) -> Recording:
    """Read a recording by its name, or a CSV file by its path.

    Raises `UserError` when there is neither, or the file cannot be understood.
    """
    if name_or_file in names():
        source = _shelf() / (name_or_file + SUFFIX)
        return parse(name_or_file, source.read_text(encoding="utf-8").splitlines())
    try:
        text = Path(name_or_file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as why:
        raise UserError(
            f"No recording {name_or_file!r}: it is neither a readable file ({why}) nor one of "
            f"{', '.join(names())}. Name one of those or a CSV file."
        ) from why
    return parse(name_or_file, text.splitlines())


def parse(name: str, lines: Iterable[str]) -> Recording:
    """Read the lines of a CSV file; raises `UserError` with the line that is wrong."""
    rows = csv.DictReader(lines)
    columns = rows.fieldnames or ()
    clock = next((c for c in ("utc", "time_s") if c in columns), None)
    if clock is None or "frequency_hz" not in columns:
        raise UserError(
            f"Recording {name}: its first line must name the column frequency_hz and either utc "
            "or time_s. Add that line."
        )
    times: list[float] = []
    values: list[float] = []
    for row in rows:
        if not (row["frequency_hz"] or "").strip():
            continue
        try:
            time_s = _seconds(row[clock] or "", iso=clock == "utc")
            frequency_hz = float(row["frequency_hz"])
            if not 0 <= frequency_hz < _HIGHEST_HZ:
                raise ValueError(f"{frequency_hz} is not a grid frequency in Hz")
        except ValueError as why:
            raise UserError(
                f"Recording {name}, line {rows.line_num}: {why}. Correct or remove the line."
            ) from why
        if times and time_s <= times[-1]:
            raise UserError(
                f"Recording {name}, line {rows.line_num}: its time is not after the line before. "
                "Sort the file and remove doubled instants."
            )
        times.append(time_s)
        values.append(frequency_hz)
    if len(times) < 2:
        raise UserError(f"Recording {name} holds fewer than two samples; a replay needs two.")
    return Recording(name, tuple(t - times[0] for t in times), tuple(values))


def _seconds(text: str, *, iso: bool) -> float:
    if not iso:
        return float(text)
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)  # the column is called utc
    return instant.timestamp()
