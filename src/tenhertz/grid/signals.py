"""Frequencies to try things on: steps, ramps, sines, and recordings of a real grid.

A signal has `at(elapsed_s)`. Not here: the sequences of a prequalification test, which are built
of these, and what a test makes of the answer.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import msgspec

from tenhertz.errors import UserError
from tenhertz.grid._array import require_finite
from tenhertz.grid.schedule import NS_PER_S

# Outside of this no synchronous area of 50 Hz is in operation: it is a fault of the instrument
# (one kind shows its floor of 40 Hz when there is no voltage).
PLAUSIBLE_HZ = (45.0, 55.0)

# A pause this many times as long as the usual interval is a gap.
GAP_INTERVALS = 1.5


class Signal(Protocol):
    """A frequency over time."""

    def at(self, elapsed_s: float) -> float:
        """The frequency in Hz, `elapsed_s` after the start."""
        ...


class Polyline(msgspec.Struct, frozen=True):
    """Straight lines between points; level before the first and after the last.

    Two points at one time are a jump, and at that time the later one holds.

    Raises:
        ValueError: no points, a different number of times and values, times that go back, or a
            number that is not finite.
    """

    times_s: tuple[float, ...]
    values_hz: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.times_s or len(self.times_s) != len(self.values_hz):
            raise ValueError(
                f"{len(self.times_s)} times and {len(self.values_hz)} values: "
                "a line needs one of each a point, and at least one point"
            )
        if not all(map(math.isfinite, self.times_s + self.values_hz)):
            raise ValueError("a line has a point that is not finite")
        if any(later < earlier for earlier, later in pairwise(self.times_s)):
            raise ValueError("the times of a line go back")

    def at(self, elapsed_s: float) -> float:
        """The frequency in Hz, `elapsed_s` after the start; O(log n)."""
        require_finite(elapsed_s, "elapsed_s")
        index = bisect_right(self.times_s, elapsed_s)
        if index == 0:
            return self.values_hz[0]
        if index == len(self.times_s):
            return self.values_hz[-1]
        return _between(self.times_s, self.values_hz, index, elapsed_s)


def _between(
    times_s: tuple[float, ...], values_hz: tuple[float, ...], index: int, elapsed_s: float
) -> float:
    """On the line that ends at point `index`; exact where it starts."""
    t0, t1 = times_s[index - 1], times_s[index]
    v0, v1 = values_hz[index - 1], values_hz[index]
    return v0 + (v1 - v0) * ((elapsed_s - t0) / (t1 - t0))


def step_signal(before_hz: float, after_hz: float, at_s: float) -> Polyline:
    """One frequency up to `at_s`, and another from then on."""
    return Polyline((at_s, at_s), (before_hz, after_hz))


class Leg(msgspec.Struct, frozen=True):
    """From `start_s` on, go to `target_hz` at `slope_hz_per_s` (inf: at once), and stay there."""

    start_s: float
    target_hz: float
    slope_hz_per_s: float = math.inf


def ramp_sequence(start_hz: float, legs: Iterable[Leg]) -> Polyline:
    """A sequence of ramps and steps, each from where the one before it ended.

    Raises:
        ValueError: a leg begins before the one before it has reached its target, or a slope is
            not above 0.
    """
    times_s = [0.0]
    values_hz = [start_hz]
    for leg in legs:
        if not leg.slope_hz_per_s > 0.0:
            raise ValueError(f"a slope of {leg.slope_hz_per_s} Hz/s never reaches its target")
        if leg.start_s < times_s[-1]:
            raise ValueError(
                f"the leg at {leg.start_s} s begins before the one before it ends at "
                f"{times_s[-1]} s"
            )
        took_s = abs(leg.target_hz - values_hz[-1]) / leg.slope_hz_per_s
        times_s += [leg.start_s, leg.start_s + took_s]
        values_hz += [values_hz[-1], leg.target_hz]
    return Polyline(tuple(times_s), tuple(values_hz))


class Sine(msgspec.Struct, frozen=True):
    """A sine about `mean_hz`, rising first.

    Raises:
        ValueError: the period is not above 0.
    """

    mean_hz: float
    amplitude_hz: float
    period_s: float

    def __post_init__(self) -> None:
        if not self.period_s > 0.0:
            raise ValueError(f"period_s is {self.period_s}; it must be above 0")

    def at(self, elapsed_s: float) -> float:
        """The frequency in Hz, `elapsed_s` after the start."""
        require_finite(elapsed_s, "elapsed_s")
        return self.mean_hz + self.amplitude_hz * math.sin(math.tau * elapsed_s / self.period_s)


class Gap(msgspec.Struct, frozen=True):
    """Where nothing was measured: between two samples, in seconds from the start."""

    from_s: float
    to_s: float


class Recording(msgspec.Struct, frozen=True):
    """A measured frequency. Between samples it is a straight line, across `gaps` too.

    `start_ns` is the UTC time of the first sample with a value; `times_s` count from there.
    `blank_lines` is how many lines had no value.
    """

    start_ns: int
    times_s: tuple[float, ...]
    values_hz: tuple[float, ...]
    gaps: tuple[Gap, ...]
    blank_lines: int

    @property
    def duration_s(self) -> float:
        """From the first sample to the last."""
        return self.times_s[-1]

    def at(self, elapsed_s: float) -> float:
        """The frequency in Hz, `elapsed_s` after the first sample; O(log n).

        Raises:
            ValueError: the recording does not reach there.
        """
        if not 0.0 <= elapsed_s <= self.duration_s:
            raise ValueError(f"{elapsed_s} s is outside of the recording, 0..{self.duration_s} s")
        index = min(bisect_right(self.times_s, elapsed_s), len(self.times_s) - 1)
        return _between(self.times_s, self.values_hz, index, elapsed_s)


def parse_recording(lines: Iterable[str]) -> Recording:
    """Read CSV text: a header `utc,frequency_hz`, then a time (ISO 8601 with a zone) and Hz.

    A line without a value is a gap, as is a pause in the times.

    Raises:
        ValueError: another header, fewer than two samples, times that do not rise, or a line that
            is not a time and a plausible frequency; the text gives the number of the line.
    """
    numbered = enumerate((line.strip() for line in lines), start=1)
    header = next((line for _, line in numbered), "")
    if header.lstrip("\ufeff") != "utc,frequency_hz":
        raise ValueError(f"line 1: expected the header 'utc,frequency_hz', found {header[:60]!r}")
    times_ns: list[int] = []
    values_hz: list[float] = []
    blank_lines = 0
    last_ns: int | None = None
    for number, line in numbered:
        if not line:
            continue
        t_ns, value_hz = _parse_line(number, line)
        if last_ns is not None and t_ns <= last_ns:
            raise ValueError(f"line {number}: the time is not after the one before it")
        last_ns = t_ns
        if value_hz is None:
            blank_lines += 1
            continue
        times_ns.append(t_ns)
        values_hz.append(value_hz)
    if len(times_ns) < 2:
        raise ValueError(f"{len(times_ns)} samples with a value; a recording needs two")
    times_s = tuple((t_ns - times_ns[0]) / NS_PER_S for t_ns in times_ns)
    return Recording(times_ns[0], times_s, tuple(values_hz), _gaps(times_s), blank_lines)


def _parse_line(number: int, line: str) -> tuple[int, float | None]:
    cells = line.split(",")
    if len(cells) != 2:
        raise ValueError(f"line {number}: expected a time and a frequency, found {line[:60]!r}")
    try:
        when = datetime.fromisoformat(cells[0])
        value_hz = float(cells[1]) if cells[1].strip() else None
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from error
    if when.tzinfo is None:
        raise ValueError(f"line {number}: the time {cells[0]!r} has no zone; write UTC with a Z")
    if value_hz is not None and not PLAUSIBLE_HZ[0] <= value_hz <= PLAUSIBLE_HZ[1]:
        raise ValueError(f"line {number}: {value_hz} Hz is no frequency of a 50 Hz grid")
    since = when - datetime(1970, 1, 1, tzinfo=UTC)
    # Whole numbers throughout: a timestamp as a float would lose the microseconds.
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000, value_hz


def _gaps(times_s: tuple[float, ...]) -> tuple[Gap, ...]:
    steps = sorted(later - earlier for earlier, later in pairwise(times_s))
    usual_s = steps[len(steps) // 2]
    return tuple(
        Gap(earlier, later)
        for earlier, later in pairwise(times_s)
        if later - earlier > GAP_INTERVALS * usual_s
    )


def recording_names() -> tuple[str, ...]:
    """The names of the recordings that come with the package, sorted."""
    folder = resources.files(__package__).joinpath("recordings")
    return tuple(sorted(f.name[:-4] for f in folder.iterdir() if f.name.endswith(".csv")))


def load_recording(name_or_path: str | Path) -> Recording:
    """A recording that comes with the package, by name, or a file of yours, by path.

    Raises:
        UserError: it is missing, unreadable or no recording.
    """
    if str(name_or_path) in recording_names():
        file = resources.files(__package__).joinpath("recordings", f"{name_or_path}.csv")
        text = file.read_text("utf-8")
    else:
        try:
            text = Path(name_or_path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            known = ", ".join(recording_names())
            raise UserError(
                f"cannot read the recording {str(name_or_path)!r} ({error}); give the path of a "
                f"CSV file, or one of: {known}"
            ) from error
    try:
        return parse_recording(text.splitlines())
    except ValueError as error:
        raise UserError(f"{name_or_path}: {error}") from error
