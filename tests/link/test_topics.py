"""Topics carry the source and its partition, and nothing else passes for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.link import PARTITIONS, Topic, parse_topic, partition_of, subscription, topic

NAMES = st.text("abcXYZ019-_.", min_size=1, max_size=20)


@given(NAMES, NAMES, st.sampled_from(["up", "down"]))
def test_a_topic_taken_apart_gives_what_it_was_made_of(fleet: str, source: str, what: str) -> None:
    made = topic(fleet, source, what)  # type: ignore[arg-type]
    assert parse_topic(made) == Topic(fleet, partition_of(source), source, what)
    assert 0 <= partition_of(source) < PARTITIONS


def test_partitions_stay_what_they_are_for_ever() -> None:
    # 0xCBF43926 is the check value of CRC-32; another hash would move every site to another server.
    assert partition_of("123456789") == 0xCBF43926 % 64
    assert partition_of("123456789", 1000) == 0xCBF43926 % 1000


def test_the_filter_of_a_group_and_partition() -> None:
    assert subscription("nordic", "up") == "tenhertz/1/nordic/+/+/up"
    assert subscription("nordic", "up", 7, "ingest") == "$share/ingest/tenhertz/1/nordic/7/+/up"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tenhertz/1/f/3/s",
        "tenhertz/1/f/3/s/up/more",
        "tenhertz/2/f/3/s/up",
        "other/1/f/3/s/up",
        "tenhertz/1/f/x/s/up",
        "tenhertz/1/f/-3/s/up",
        "tenhertz/1/f//s/up",
    ],
)
def test_what_is_no_topic_of_ours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a topic"):
        parse_topic(text)
