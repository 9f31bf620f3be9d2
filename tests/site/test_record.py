"""Records keep what they carry, and never stop the beat that packs them."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.site.record import (
    BODY_BYTES,
    EVENT_BYTES,
    Event,
    Sample,
    Tick,
    pack_event,
    pack_sample,
    pack_tick,
    unpack,
    unpack_event,
)

byte, u16, u32 = st.integers(0, 255), st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)
u64, i64 = st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1)
f64 = st.floats(allow_nan=False)
f32 = st.floats(width=32, allow_nan=False)

SAMPLE = Sample(3, 2, 1500, 77, 10**18, 9, -125_000.5, 100.25, 0.5, 2e5, 1e5, 25.5, 0)
TICK = Tick(3, 2, 15, 77, 10**18, 9, 49.98, 1000.5, -2.5, 998.25)


@given(st.builds(Sample, u16, byte, u32, u64, i64, u64, f64, f64, f32, f32, f32, f32, u32))
def test_a_sample_comes_back_as_it_went(sample):
    body = pack_sample(sample)
    assert len(body) == BODY_BYTES
    assert unpack(body) == sample


@given(st.builds(Tick, byte, u16, u32, u64, i64, u64, f64, f64, f64, f64))
def test_a_tick_comes_back_as_it_went(tick):
    body = pack_tick(tick)
    assert len(body) == BODY_BYTES
    assert unpack(body) == tick


def test_no_number_stays_no_number():
    sample = unpack(pack_sample(SAMPLE._replace(power_w=math.nan, soc=math.nan)))
    assert math.isnan(sample.power_w)
    assert math.isnan(sample.soc)
    assert math.isnan(unpack(pack_tick(TICK._replace(frequency_hz=math.nan))).frequency_hz)


@given(f64, st.integers(-(2**70), 2**70))
def test_what_a_mad_device_says_never_stops_the_beat(value, faults):
    sample = SAMPLE._replace(soc=value, charge_limit_w=value, temperature_c=value, faults=faults)
    found = unpack(pack_sample(sample))

    assert found[:8] == SAMPLE[:8]
    assert found.discharge_limit_w == SAMPLE.discharge_limit_w


@pytest.mark.parametrize("kind", [0, 3, 255])
def test_a_record_of_unknown_kind_is_refused(kind):
    with pytest.raises(ValueError, match=f"unknown kind {kind}"):
        unpack(bytes([kind]) + pack_tick(TICK)[1:])


@given(
    st.builds(
        Event,
        i64,
        u16,
        byte,
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    )
)
def test_an_event_comes_back_whole_or_with_its_end_marked(event):
    body = pack_event(event)
    assert len(body) == EVENT_BYTES
    found = unpack_event(body)
    assert found[:3] == event[:3]
    if found.text != event.text:
        assert found.text.endswith("…")
        assert event.text.startswith(found.text[:-1])


def test_an_event_with_half_a_character_is_still_told():
    assert unpack_event(pack_event(Event(5, 1, 2, "file \udcff"))).text == "file ?"


def test_an_event_with_damaged_text_is_still_told():
    body = bytearray(pack_event(Event(5, 1, 2, "unit")))
    body[struct.calcsize("<qHBx")] = 0xFF
    assert unpack_event(bytes(body)).text == "\N{REPLACEMENT CHARACTER}nit"
