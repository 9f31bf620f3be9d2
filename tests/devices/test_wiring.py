"""Maps made into requests, numbers and bytes, against a reference written here from `struct`."""

import math
import struct

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tenhertz.devices import Reading, load_map, wire
from tenhertz.devices.register_map import Control, Point, RegisterMap, Timing, Write
from tenhertz.devices.wiring import setpoint_at

CODES = {
    "u16": "H",
    "i16": "h",
    "u32": "I",
    "i32": "i",
    "u64": "Q",
    "i64": "q",
    "f32": "f",
    "f64": "d",
}
types = st.sampled_from(sorted(CODES))
orders = st.sampled_from(["high-first", "low-first"])
scales = st.sampled_from([1.0, -1.0, 10.0, 1000.0, 0.1, 0.01, 0.001, -0.5])
offsets = st.sampled_from([0.0, 0.0, -40.0, 273.15, 1e6])


def to_wire(kind, order, number):
    """The registers that hold `number`, as the device sends them."""
    data = struct.pack(">" + CODES[kind], number)
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    return b"".join(words if order == "high-first" else words[::-1])


def from_wire(kind, order, data):
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    ordered = b"".join(words if order == "high-first" else words[::-1])
    return struct.unpack(">" + CODES[kind], ordered)[0]


def limits(kind):
    bits = int(kind[1:])
    return (0, 2**bits - 1) if kind[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def numbers(kind):
    if kind[0] == "f":
        return st.floats(width=int(kind[1:]))
    low, high = limits(kind)
    return st.one_of(st.integers(low, high), st.sampled_from([low, high]))


def map_of(points, **timing):
    return RegisterMap("test", "Test", points, Timing(**timing))


def reply_to(block, registers):
    """A reply frame: only its size and its register bytes matter to the decoder."""
    count = block.request.registers
    data = bytearray(2 * count)
    for address, content in registers.items():
        at = 2 * (address - block.request.address)
        if 0 <= at < len(data):
            data[at : at + len(content)] = content
    return bytes(9) + bytes(data)


@st.composite
def layouts(draw):
    """Points with holes between them, and the raw number each holds."""
    points, raws, address = {}, {}, draw(st.integers(0, 1000))
    for index in range(draw(st.integers(1, 8))):
        kind = draw(types)
        raw = draw(numbers(kind))
        marker = draw(st.sampled_from([(), (7,), "this"]))
        if marker == "this":
            marker = (raw,) if isinstance(raw, int) else ()
        points[f"p{index}"] = point = Point(
            address=address,
            type=kind,
            scale=draw(scales),
            offset=draw(offsets),
            word_order=draw(orders),
            invalid=marker,
        )
        raws[f"p{index}"] = raw
        address += point.size + draw(st.integers(0, 20))
    return points, raws


@pytest.mark.slow
@given(layouts(), st.booleans(), st.integers(4, 125))
def test_every_type_order_scale_offset_and_marker_decodes_as_the_reference_does(
    layout, holes, largest
):
    points, raws = layout
    wiring = wire(map_of(points, holes_allowed=holes, largest_read=largest))
    registers = {p.address: to_wire(p.type, p.word_order, raws[n]) for n, p in points.items()}
    found = {}
    for block in wiring.blocks:
        assert block.request.registers <= largest
        found |= dict(zip(block.names, block.decode(reply_to(block, registers)), strict=True))
    assert found.keys() == points.keys()
    for name, point in points.items():
        raw = from_wire(point.type, point.word_order, registers[point.address])
        if raw in point.invalid or not math.isfinite(raw):
            assert math.isnan(found[name])
        else:
            wanted = raw * point.scale + point.offset
            assert found[name] == pytest.approx(wanted, rel=1e-12, abs=1e-12)


@pytest.mark.slow
@given(layouts(), st.booleans(), st.integers(4, 125))
def test_every_register_of_every_point_is_read_once_and_holes_only_where_allowed(
    layout, holes, largest
):
    points, _ = layout
    wiring = wire(map_of(points, holes_allowed=holes, largest_read=largest))
    read = [
        register
        for block in wiring.blocks
        for register in range(
            block.request.address, block.request.address + block.request.registers
        )
    ]
    needed = [r for p in points.values() for r in range(p.address, p.address + p.size)]
    assert len(read) == len(set(read))
    assert set(needed) <= set(read)
    if not holes:
        assert len(read) == len(needed)


@pytest.mark.slow
@given(st.data(), types, orders, scales, offsets)
def test_what_is_written_is_what_the_reference_writes_and_reads_back(
    data, kind, order, scale, offset
):
    point = Point(5, kind, scale=scale, offset=offset, word_order=order, access="write")
    raw = data.draw(numbers(kind))
    assume(math.isfinite(raw))
    assume(kind[0] == "f" or abs(raw) < 2**52)  # beyond, a float cannot name each number
    value = raw * scale + offset
    assume(math.isfinite(value))
    target = setpoint_at("p", point, 1)
    try:
        written = target.frame(3, value)[13:]
    except ValueError:
        # Only at the very edge of the range, where the way there and back rounds beyond it.
        assert kind[0] == "f"
        assert not math.isfinite((value - offset) / scale) or abs(raw) > 3.4e38
        return
    assert len(written) == 2 * point.size
    if kind[0] == "f":
        assert from_wire(kind, order, written) == pytest.approx(
            (value - offset) / scale, rel=1e-6, abs=1e-40
        )
    else:
        assert written == to_wire(kind, order, round((value - offset) / scale))
        assert abs(from_wire(kind, order, written) - raw) <= 1


@given(st.data(), types, orders, scales, st.floats())
@example(None, "f64", "high-first", 0.1, 1.7e308)
@example(None, "f32", "high-first", 0.1, 1.7e308)
def test_what_does_not_fit_raises_and_never_becomes_other_bytes(data, kind, order, scale, value):
    del data
    target = setpoint_at("p", Point(5, kind, scale=scale, word_order=order, access="write"), 1)
    raw = value / scale
    if not math.isfinite(value) or not math.isfinite(raw):
        fits = False
    elif kind[0] == "f":
        fits = kind == "f64" or abs(raw) < 3.4028235677973366e38
    else:
        low, high = limits(kind)
        fits = low <= round(raw) <= high
    if fits:
        assert math.isfinite(from_wire(kind, order, target.encode(value)))
    else:
        with pytest.raises(ValueError, match=r"^p: "):
            target.encode(value)


def test_whole_numbers_stay_whole():
    wiring = wire(map_of({"state": Point(1, "u16"), "x": Point(2, "u64", scale=10.0)}))
    values = wiring.blocks[0].decode(bytes(9) + struct.pack(">HQ", 3, 2**63))
    assert values == (3, 10 * 2**63)
    assert all(type(value) is int for value in values)


def test_the_generic_container_is_one_read_of_forty_registers_from_100(container):
    (block,) = container.blocks
    assert (block.request.function, block.request.address, block.request.registers) == (3, 100, 40)
    assert container.unit_id == 1
    assert container.lease_ns == 5_000_000_000
    assert (container.setpoint.address, container.setpoint.registers) == (200, 2)
    assert [step.target.address for step in container.stop] == [200, 202]


def test_the_frequency_meter_reads_its_frequency_alone_or_what_is_asked_for():
    source = load_map("frequency-meter")
    fast = wire(source)
    (block,) = fast.blocks
    assert (block.request.address, block.request.registers) == (19050, 2)
    assert block.decode(bytes(9) + struct.pack(">f", 50.0625)) == (50.0625,)
    assert (fast.setpoint, fast.stop, fast.lease_ns) == (None, (), 0)
    (wide,) = wire(source, names=("power_w", "frequency_hz")).blocks
    assert (wide.request.address, wide.request.registers) == (19026, 26)


def test_the_unit_id_of_the_call_goes_before_that_of_the_map():
    wiring = wire(load_map("generic-container"), unit_id=17)
    assert wiring.blocks[0].request.frames[0][6] == 17
    assert wiring.setpoint.frame(0, 1.0)[6] == 17
    assert wiring.setpoint.replies[0][6] == 17


def test_a_reading_has_nan_where_the_map_has_no_point():
    wiring = wire(load_map("frequency-meter"), names=("power_w",))
    assert wiring.assemble((5.0,)).power_w == 5.0
    assert sum(math.isnan(value) for value in wiring.assemble((5.0,))) == len(Reading._fields) - 1


def test_functions_are_never_mixed_in_one_read():
    points = {"a": Point(1, "u16", function=3), "b": Point(2, "u16", function=4)}
    assert [block.request.function for block in wire(map_of(points)).blocks] == [3, 4]


def test_what_can_only_be_written_is_never_read():
    """Many devices refuse a read that touches such a register, and with it the whole block."""
    points = {
        "a": Point(1, "u16"),
        "command": Point(2, "u16", access="write"),
        "text": Point(4, "string", registers=2),
        "b": Point(6, "u16"),
    }
    (block,) = wire(map_of({"a": points["a"], "command": points["command"]})).blocks
    assert block.names == ("a",)
    (block,) = wire(map_of(points)).blocks
    assert block.names == ("a", "b")


def test_conditions_compare_raw_values_of_scaled_points():
    points = {
        "power_w": Point(0, "i16"),
        "state": Point(1, "u16", scale=0.1, offset=-3.0),
        "control_source": Point(2, "u16", word_order="low-first"),
        "set": Point(9, "i16", access="write", cadence="slow"),
    }
    zero = (Write("set", 0),)
    control = Control("set", zero, zero, zero, {"state": (7, 9), "control_source": (1,)})
    wiring = wire(RegisterMap("test", "Test", points, control=control))

    def remote(state, source):
        values = wiring.blocks[0].decode(bytes(9) + struct.pack(">hHH", 0, state, source))
        return wiring.shows(wiring.assemble(values), wiring.remote_when)

    assert remote(7, 1)
    assert remote(9, 1)
    assert not remote(8, 1)
    assert not remote(7, 0)


@pytest.mark.parametrize("names", [("nothing",), ("power_w", "nothing"), ("manufacturer",)])
def test_points_that_cannot_be_read_are_an_error(names):
    with pytest.raises(ValueError, match="generic-container"):
        wire(load_map("generic-container"), names=names)
