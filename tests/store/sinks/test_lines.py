import io
import json
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.link.frame import Column
from tenhertz.link.points import Kind
from tenhertz.store.sinks.flat import flat_columns
from tenhertz.store.sinks.lines import arrow_stream, json_lines, line_protocol

from .frames import START_NS, cells, events, frame_of, samples
from .line_protocol import read

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=False)


def test_a_sample_as_a_line() -> None:
    first, second, *_ = line_protocol(samples(4)).decode().splitlines()

    assert first == (
        "sample,source=north,entity=u0 sequence=1i,number=0i,power_w=1000.5,soc=0.5,"
        f"temperature_c=-5 {START_NS + 100_000_000}"
    )
    assert "power_w" not in second


def test_a_sample_as_json() -> None:
    rows = [json.loads(line) for line in json_lines(samples(4))]

    assert rows[0] == {
        "source": "north",
        "stream": str(2**63 + 5),
        "entity": "u0",
        "sequence": 1,
        "time_ns": START_NS + 100_000_000,
        "number": 0,
        "power_w": 1000.5,
        "soc": 0.5,
        "temperature_c": -5,
    }
    assert rows[1]["power_w"] is None


@given(source=TEXT, entities=st.tuples(TEXT, TEXT), texts=st.lists(TEXT, min_size=1, max_size=3))
def test_no_text_breaks_a_line(source: str, entities: tuple[str, str], texts: list[str]) -> None:
    frame = events(texts, source=source, entities=entities)

    points = read(line_protocol(frame))

    assert [point.fields["text"] for point in points] == texts
    for number, point in enumerate(points):
        assert unquote(point.tags.get("source", "")) == source
        assert unquote(point.tags.get("entity", "")) == entities[number % 2]
    rows = [json.loads(line) for line in json_lines(frame)]
    assert [row["text"] for row in rows] == texts
    assert {row["source"] for row in rows} == {source}


@given(first=TEXT, second=TEXT)
def test_different_names_stay_different_tags(first: str, second: str) -> None:
    both = events(["a", "b"], entities=(first, second))

    tags = [point.tags.get("entity") for point in read(line_protocol(both))]

    assert (tags[0] == tags[1]) == (first == second)


@given(values=st.lists(FLOATS, min_size=1, max_size=20))
def test_floats_come_back_as_they_were(values: list[float]) -> None:
    power = np.array(values, np.float32)
    frame = frame_of(Kind.SAMPLE, len(values), {"power_w": Column(power)})

    points = read(line_protocol(frame))
    rows = [json.loads(line) for line in json_lines(frame)]

    got = np.array([point.fields.get("power_w", np.nan) for point in points], np.float32)
    np.testing.assert_array_equal(got, power)
    told = [np.nan if row["power_w"] is None else row["power_w"] for row in rows]
    np.testing.assert_array_equal(np.array(told, np.float32), power)


@given(values=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_integers_come_back_as_they_were(values: list[int]) -> None:
    frame = frame_of(Kind.SAMPLE, len(values), {"faults": Column(np.array(values, np.int64))})

    assert [point.fields["faults"] for point in read(line_protocol(frame))] == values
    assert [json.loads(line)["faults"] for line in json_lines(frame)] == values


def test_cells_become_least_greatest_and_mean() -> None:
    (first, second) = read(line_protocol(cells(2, 3)))

    assert first.fields["voltage_v_cells"] == 3
    assert first.fields["voltage_v_min"] == pytest.approx(3.2)
    assert first.fields["voltage_v_max"] == pytest.approx(3.202)
    assert first.fields["voltage_v_mean"] == pytest.approx(3.201)
    assert first.fields["current_a"] == pytest.approx(-12)
    assert second.fields["temperature_c_max"] == 5


def test_cells_without_a_number_are_left_out_of_the_summary() -> None:
    volts = np.array([[3.0, np.nan, 4.0], [np.nan] * 3], np.float32)
    frame = frame_of(Kind.CELL, 2, {"voltage_v": Column(volts)})

    flat = {column.name: column.values for column in flat_columns(frame)}

    assert flat["voltage_v_cells"].tolist() == [2, 0]
    np.testing.assert_array_equal(flat["voltage_v_mean"], np.array([3.5, np.nan], np.float32))
    assert "voltage_v_mean" not in read(line_protocol(frame))[1].fields


def test_a_negative_scale_swaps_least_and_greatest() -> None:
    volts = Column(np.array([[-3000, -3500]], np.int16), -0.001)
    flat = {c.name: c.values[0] for c in flat_columns(frame_of(Kind.CELL, 1, {"voltage_v": volts}))}

    assert (flat["voltage_v_min"], flat["voltage_v_max"]) == pytest.approx((3.0, 3.5))


def test_packs_without_cells_have_no_summary() -> None:
    assert [flat.name for flat in flat_columns(cells(2, 0))] == ["current_a"]


@pytest.mark.parametrize("width", [0, 1, 3])
def test_cells_as_arrow_have_every_cell(width: int) -> None:
    frame = cells(4, width)

    table = pa.ipc.open_stream(io.BytesIO(arrow_stream(frame))).read_all()

    assert table["source"].to_pylist() == ["north"] * 4
    assert table["entity"].to_pylist() == ["u0", "u1", "u0", "u1"]
    assert table["stream"].to_pylist() == [2**63 + 5] * 4
    assert table["sequence"].to_pylist() == [1, 2, 3, 4]
    assert table["time"].cast(pa.int64()).to_pylist() == frame.time_ns.tolist()
    volts = frame.columns["voltage_v"].physical
    assert table["voltage_v"].to_pylist() == volts.tolist()
    assert table["current_a"].to_pylist() == frame.columns["current_a"].physical.tolist()
