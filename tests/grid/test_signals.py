"""Signals and recordings: right between the points, and honest about what is missing."""

import math

import pytest

from tenhertz.errors import UserError
from tenhertz.grid import (
    Gap,
    Leg,
    Polyline,
    Sine,
    load_recording,
    parse_recording,
    ramp_sequence,
    recording_names,
    step_signal,
)

HEAD = "utc,frequency_hz"


def test_a_step_holds_its_new_value_from_its_time_on():
    step = step_signal(50.0, 49.9, at_s=10.0)
    assert [step.at(t) for t in (-5.0, 9.999, 10.0, 99.0)] == [50.0, 50.0, 49.9, 49.9]


def test_a_sequence_of_ramps_goes_on_from_where_it_was():
    run = ramp_sequence(49.9, [Leg(30.0, 49.45, 0.15), Leg(34.0, 49.9, 0.09), Leg(60.0, 50.0)])
    found = [run.at(t) for t in (0, 30, 31, 33, 34, 36, 39, 59.9, 60)]
    assert found == pytest.approx([49.9, 49.9, 49.75, 49.45, 49.45, 49.63, 49.9, 49.9, 50.0])


def test_a_leg_that_comes_too_early_or_never_arrives_is_refused():
    with pytest.raises(ValueError, match="begins before the one before it ends"):
        ramp_sequence(50.0, [Leg(0.0, 49.0, 0.1), Leg(5.0, 50.0)])
    with pytest.raises(ValueError, match="never reaches"):
        ramp_sequence(50.0, [Leg(0.0, 49.0, 0.0)])


def test_a_sine_rises_first_about_its_mean():
    sine = Sine(50.0, 0.1, 40.0)
    assert [sine.at(t) for t in (0, 10, 20, 30)] == pytest.approx([50.0, 50.1, 50.0, 49.9])
    with pytest.raises(ValueError, match="period_s"):
        Sine(50.0, 0.1, 0.0)


def test_a_line_needs_points_in_order():
    with pytest.raises(ValueError, match="at least one point"):
        Polyline((), ())
    with pytest.raises(ValueError, match="go back"):
        Polyline((1.0, 0.0), (50.0, 50.0))
    with pytest.raises(ValueError, match="not finite"):
        Polyline((0.0,), (math.nan,))
    with pytest.raises(ValueError, match="elapsed_s"):
        Polyline((0.0,), (50.0,)).at(math.nan)


def test_a_recording_is_a_line_through_its_samples_and_tells_its_gaps():
    lines = [
        HEAD,
        "2024-04-07T22:00:00Z,50.0",
        "2024-04-07T22:00:01Z,50.1",
        "2024-04-07T22:00:02Z,",
        "2024-04-07T22:00:03Z,49.9",
        "",
        "2024-04-07T22:00:04Z,49.8",
        "2024-04-07T22:00:05Z,49.8",
        "2024-04-07T22:00:09Z,49.6",
    ]
    run = parse_recording(lines)
    found = [run.at(t) for t in (0, 0.5, 1, 2, 3, 7, 9)]
    assert found == pytest.approx([50.0, 50.05, 50.1, 50.0, 49.9, 49.7, 49.6])
    assert run.gaps == (Gap(1.0, 3.0), Gap(5.0, 9.0))
    assert (run.blank_lines, run.duration_s) == (1, 9.0)
    assert run.start_ns == 1_712_527_200 * 10**9


def test_a_recording_does_not_reach_beyond_its_ends():
    run = parse_recording([HEAD, "2024-04-07T22:00:00Z,50.0", "2024-04-07T22:00:01Z,50.1"])
    for elapsed_s in (-0.001, 1.001, math.nan):
        with pytest.raises(ValueError, match=r"outside of the recording, 0\.\.1\.0 s"):
            run.at(elapsed_s)


def test_times_keep_their_zone_and_their_parts_of_a_second():
    lines = [HEAD, "2024-04-08T00:00:00.100000+02:00,50.0", "2024-04-07T22:00:00.300Z,50.1"]
    run = parse_recording(lines)
    assert run.start_ns == 1_712_527_200 * 10**9 + 10**8
    assert run.times_s == (0.0, 0.2)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "line 1: expected the header"),
        (["time,hz"], "line 1: expected the header"),
        ([HEAD], "0 samples"),
        ([HEAD, "2024-04-07T22:00:00Z,50.0"], "1 samples"),
        ([HEAD, "2024-04-07T22:00:00Z;50.0"], "line 2: expected a time and a frequency"),
        ([HEAD, "yesterday,50.0"], "line 2: .*yesterday"),
        ([HEAD, "2024-04-07T22:00:00Z,fifty"], "line 2: .*fifty"),
        ([HEAD, "2024-04-07T22:00:00,50.0"], "line 2: .* no zone"),
        ([HEAD, "2024-04-07T22:00:00Z,40.0"], r"line 2: 40\.0 Hz is no frequency"),
        ([HEAD, "2024-04-07T22:00:00Z,nan"], "line 2: nan Hz"),
        ([HEAD, *["2024-04-07T22:00:00Z,50.0"] * 2], "line 3: the time is not after"),
    ],
)
def test_what_is_no_recording_is_refused_with_its_line(lines, said):
    with pytest.raises(ValueError, match=said):
        parse_recording(lines)


def test_the_recording_that_comes_with_the_package_has_its_known_shape():
    assert "nordic-2024-04-08" in recording_names()
    run = load_recording("nordic-2024-04-08")
    assert (run.duration_s, min(run.values_hz)) == (1307.0, 49.865404)
    assert run.gaps == (Gap(288.0, 290.0),)
    assert run.at(289.0) == pytest.approx((run.at(288.0) + run.at(290.0)) / 2)


def test_a_file_of_ones_own_is_read_by_its_path(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(f"{HEAD}\r\n2024-04-07T22:00:00Z,50.0\r\n2024-04-07T22:00:01Z,50.1\r\n")
    assert load_recording(file).values_hz == (50.0, 50.1)
    assert load_recording(str(file)).values_hz == (50.0, 50.1)


def test_a_missing_unreadable_or_garbled_file_is_an_error_for_its_user(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.*nordic-2024-04-08"):
        load_recording("nowhere")
    with pytest.raises(UserError, match="cannot read"):
        load_recording(tmp_path)
    garbage = tmp_path / "garbage.csv"
    garbage.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot read"):
        load_recording(garbage)
    garbage.write_text("hello")
    with pytest.raises(UserError, match=r"garbage\.csv: line 1"):
        load_recording(garbage)
