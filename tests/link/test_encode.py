"""What the site's encoder writes, the fleet's decoder reads: two implementations of one schema."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenhertz.link import Kind
from tenhertz.link.decode import Dictionary, decode_batch, read_uplink
from tenhertz.link.encode import Origin, Rows, encode_batch
from tenhertz.link.points import POINTS

NAMES = tuple(point.name for point in POINTS[Kind.SAMPLE])
DICTIONARY = Dictionary(("a", "b", "c"), (*NAMES, "text", "severity", "cause", "samples"))
WHOLE = st.integers(0, 2**63 - 1024)
NUMBER = st.one_of(st.none(), st.floats(width=32, allow_nan=False, allow_infinity=False))


def decoded(message: bytes):
    return decode_batch(read_uplink(message).batch, DICTIONARY)


@given(
    data=st.data(),
    rows=st.integers(1, 40),
    first=st.integers(1, 2**40),
    version=st.sampled_from([1, 2]),
)
@settings(deadline=None)
def test_samples_come_out_as_they_went_in(data, rows, first, version) -> None:
    def some(values):
        return data.draw(st.lists(values, min_size=rows, max_size=rows))

    times = some(st.integers(0, 2**61))
    entity = some(st.integers(0, 2))
    columns = [
        (place, point.type, some(WHOLE if point.type.startswith("i") else NUMBER))
        for place, point in enumerate(POINTS[Kind.SAMPLE])
    ]
    message = encode_batch(
        Origin("s", 9, 5, version), Rows(Kind.SAMPLE, first, first + rows, times, entity, columns)
    )
    frame = decoded(message)

    assert (frame.source, frame.stream, frame.kind) == ("s", 9, Kind.SAMPLE)
    assert frame.sequence.tolist() == list(range(first, first + rows))
    assert frame.time_ns.tolist() == times
    assert frame.entity.tolist() == entity
    for place, _, values in columns:
        found = frame.columns[NAMES[place]].values
        wanted = [np.nan if value is None else value for value in values]
        np.testing.assert_array_equal(found, np.array(wanted))


@given(texts=st.lists(st.text(max_size=30), min_size=1, max_size=10))
def test_words_come_out_as_they_went_in(texts) -> None:
    rows = len(texts)
    columns = [
        (len(NAMES) + 1, "i2", [1] * rows),
        (len(NAMES), "text", [text.replace("\ud800", "") for text in texts]),
    ]
    kept = list(columns[1][2])
    message = encode_batch(
        Origin("s", 9, 5), Rows(Kind.EVENT, 1, rows + 1, [7] * rows, [0] * rows, columns)
    )
    assert decoded(message).columns["text"].values.tolist() == kept


def test_a_site_of_ten_units_needs_few_bytes_a_sample() -> None:
    rows = 600
    number = list(range(rows))
    steady = [float(50_000 + 100 * (n % 7)) for n in number]
    plain = {
        "number": number,
        "tick": [n // 10 for n in number],
        "round_trip_us": [20_000 + 37 * (n % 11) for n in number],
        "condition": [3] * rows,
        "faults": [0] * rows,
    }
    columns = [
        (place, point.type, plain.get(point.name, steady))
        for place, point in enumerate(POINTS[Kind.SAMPLE])
    ]
    times = [1_800_000_000_000_000_000 + n // 10 * 100_000_000 + n % 10 * 1_234_567 for n in number]
    message = encode_batch(
        Origin("s", 9, 5),
        Rows(Kind.SAMPLE, 1, rows + 1, times, [n % 3 for n in number], columns),
    )
    assert len(message) < 12 * rows


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_what_does_not_fit_64_bits_is_an_error(value) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        encode_batch(Origin("s", 1, 1), Rows(Kind.TICK, 1, 2, [1], [0], [(0, "i8", [value])]))


def test_no_rows_are_an_error() -> None:
    with pytest.raises(ValueError, match="without rows"):
        encode_batch(Origin("s", 1, 1), Rows(Kind.TICK, 1, 1, [], [], []))
