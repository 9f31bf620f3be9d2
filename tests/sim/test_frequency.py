"""Recordings and their replay."""

from pathlib import Path

import pytest

from tenhertz.errors import UserError
from tenhertz.sim import frequency
from tenhertz.sim.frequency import Replay

S = 1_000_000_000
THREE = ["time_s,frequency_hz", "0,50.0", "1,49.0", "3,51.0"]


def test_the_shipped_recording_is_whole_and_its_blank_second_is_interpolated() -> None:
    assert "nordic-2024-04-08" in frequency.names()
    recording = frequency.load("nordic-2024-04-08")
    assert len(recording.times_s) == 1307
    assert recording.duration_s == 1307
    assert min(recording.frequency_hz) == pytest.approx(49.865, abs=0.001)
    assert 289.0 not in recording.times_s
    assert recording.at(289) == pytest.approx((recording.at(288) + recording.at(290)) / 2)


def test_values_between_samples_are_linear_and_beyond_the_ends_held() -> None:
    recording = frequency.parse("three", THREE)
    asked = [recording.at(t) for t in (-1, 0, 0.5, 1, 2, 3, 9)]
    assert asked == [50, 50, 49.5, 49, 50, 51, 51]


def test_a_replay_begins_at_its_start_runs_at_its_speed_and_begins_anew() -> None:
    replay = Replay(frequency.parse("three", THREE), 10 * S, start_s=0.5, speed=2.0)
    assert replay(10 * S) == 49.5
    assert replay(10 * S + S // 4) == 49.0
    assert replay(10 * S + S // 4 + 3 * S // 2) == 49.0


def test_a_replay_told_to_hold_keeps_its_last_value() -> None:
    assert Replay(frequency.parse("three", THREE), 0, hold=True)(99 * S) == 51


def test_a_file_of_the_user_is_read_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text(
        "utc,frequency_hz\n2025-01-01T00:00:00Z,50\n2025-01-01T00:00:02Z,\n"
        "2025-01-01T00:00:04Z,49\n"
    )
    assert frequency.load(str(file)).at(2) == 49.5


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["hz", "50"], "first line must name"),
        (["time_s,frequency_hz", "0,50", "1,fifty"], "line 3"),
        (["time_s,frequency_hz", "0,50", "0,51"], "line 3"),
        (["utc,frequency_hz", "yesterday,50"], "line 2"),
        (["time_s,frequency_hz", "0,50", "1,nan", "2,50"], "line 3"),
        (["time_s,frequency_hz", "0,50"], "fewer than two"),
        ([], "first line must name"),
    ],
)
def test_a_recording_that_cannot_be_understood_says_where(lines: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        frequency.parse("bad", lines)


def test_an_unknown_recording_names_those_there_are() -> None:
    with pytest.raises(UserError, match="nordic-2024-04-08"):
        frequency.load("no-such-recording")
