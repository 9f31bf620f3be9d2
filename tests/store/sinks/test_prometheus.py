import socket
from urllib.request import urlopen

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tenhertz.errors import UserError
from tenhertz.link.frame import Column
from tenhertz.link.points import Kind
from tenhertz.store.sinks.prometheus import NewestValues, PrometheusSink

from .frames import START_NS, cells, events, frame_of, samples

Shown = dict[tuple[str, str, str], float]


def shown(values: NewestValues) -> Shown:
    return {
        (sample.name, sample.labels.get("source", ""), sample.labels.get("entity", "")): (
            sample.value
        )
        for family in values.collect()
        for sample in family.samples
    }


@pytest.mark.slow
def test_a_request_shows_the_newest_row_of_each_entity() -> None:
    sink = PrometheusSink("127.0.0.1:0")
    try:
        sink.offer([samples(6), cells(2), events(['a "quoted"\nline'], source='s"\\\n')])
        with urlopen(f"http://127.0.0.1:{sink.port}/metrics") as response:
            text = response.read().decode()
    finally:
        sink.close()

    found = {
        (sample.name, sample.labels.get("entity")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["tenhertz_sample_number", "u0"] == 4
    assert found["tenhertz_sample_power_w", "u0"] == 1004.5
    assert ("tenhertz_sample_power_w", "u1") not in found  # absent in the newest row
    assert found["tenhertz_sample_soc", "u1"] == pytest.approx(0.505)
    assert found["tenhertz_sample_time_seconds", "u1"] == pytest.approx(START_NS / 1e9 + 0.6)
    assert found["tenhertz_cell_voltage_v_max", "u0"] == pytest.approx(3.202)
    assert found["tenhertz_event_severity", "u0"] == 0
    assert found["tenhertz_sink_dropped_rows_total", None] == 0
    assert sink.counts()["sent_rows"] == 9


def test_a_backlog_does_not_replace_what_is_newer() -> None:
    values = NewestValues()
    values.offer([samples(4, first=100)])
    before = shown(values)

    values.offer([samples(40, first=1)])

    assert shown(values) == before


def test_a_point_that_is_no_longer_told_is_no_longer_shown() -> None:
    values = NewestValues()
    values.offer([samples(2)])
    number = Column(np.array([9, 9]))
    values.offer([frame_of(Kind.SAMPLE, 2, {"number": number}, first=50)])

    found = shown(values)
    assert found["tenhertz_sample_number", "north", "u1"] == 9
    assert ("tenhertz_sample_soc", "north", "u1") not in found


def test_entities_may_change_their_places() -> None:
    values = NewestValues()
    values.offer([samples(2, entities=("a", "b"))])
    values.offer([samples(3, first=10, entities=("c", "b", "a"))])

    found = shown(values)
    numbers = {entity: found["tenhertz_sample_number", "north", entity] for entity in "abc"}
    assert numbers == {"a": 2, "b": 1, "c": 0}


def test_series_are_bounded_and_the_rest_is_counted() -> None:
    values = NewestValues(limit_series=5 + 5 + 2)  # two entities of four points and the time
    values.offer([samples(9, entities=("a", "b", "c"))])
    values.offer([samples(9, entities=("a", "b", "c"), first=10)])

    found = shown(values)
    assert found["tenhertz_sink_series", "", ""] == 10
    assert found["tenhertz_sink_dropped_rows_total", "", ""] == 6
    assert ("tenhertz_sample_number", "north", "c") not in found
    assert values.counts()["dropped_rows"] == 6
    assert values.counts()["sent_rows"] == 12


ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), min_size=1, max_size=12)


@given(frames=st.lists(ROWS, max_size=6))
def test_it_shows_what_a_plain_dictionary_would(frames: list[list[tuple[int, int]]]) -> None:
    values = NewestValues()
    newest: dict[str, tuple[int, int]] = {}
    number = 0
    for rows in frames:
        entity = np.array([row[0] for row in rows], np.uint32)
        time_ns = np.array([row[1] for row in rows], np.int64)
        numbers = np.arange(number, number + len(rows))
        number += len(rows)
        columns = {"number": Column(numbers)}
        names = ("a", "b", "c", "d")
        values.offer(
            [
                frame_of(
                    Kind.SAMPLE, len(rows), columns, entities=names, entity=entity, time_ns=time_ns
                )
            ]
        )
        for (index, at_ns), value in zip(rows, numbers.tolist(), strict=True):
            if at_ns >= newest.get(names[index], (-1, 0))[0]:
                newest[names[index]] = (at_ns, value)

    found = shown(values)
    told = {key[2]: value for key, value in found.items() if key[0] == "tenhertz_sample_number"}
    assert told == {name: value for name, (_, value) in newest.items()}


@pytest.mark.parametrize("listen", ["", "9464", "host:", "host:x", "127.0.0.1:70000"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(UserError, match="host:port"):
        PrometheusSink(listen)


def test_an_address_that_is_taken_is_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UserError, match="cannot listen"):
            PrometheusSink(f"127.0.0.1:{other.getsockname()[1]}")
