"""Register maps: the shipped ones load, and each mistake is told with file, point and reason."""

import re

import pytest

from tenhertz.devices import Reading, RegisterMap, load_map, shipped_maps, wire
from tenhertz.devices.register_map import Control, Point, Timing, parse_map
from tenhertz.errors import UserError

GOOD = """
name = "made"
title = "Made for the test"

[timing]
port = 502

[points]
power_w = { address = 10, type = "i32" }
soc = { address = 12, type = "u16", scale = 0.01 }
charge_limit_w = { address = 13, type = "u16" }
discharge_limit_w = { address = 14, type = "u16" }
control_source = { address = 15, type = "u16", invalid = [65535] }
grid_hz = { address = 16, type = "u16", cadence = "slow" }
serial = { address = 90, type = "string", registers = 8, cadence = "once" }
wanted_w = { address = 100, type = "i16", access = "read-write", cadence = "slow" }
command = { address = 101, type = "u16", access = "write", cadence = "slow" }

[control]
setpoint = "wanted_w"
lease_ms = 5000
take = [{ point = "command", value = 1 }]
release = [{ point = "wanted_w", value = 0 }, { point = "command", value = 0 }]
stop = [{ point = "wanted_w", value = 0 }]
remote_when = { control_source = [1] }
"""

# What is changed, into what, and what the message must name.
MISTAKES = {
    "not TOML": ("port = 502", "port = ", ["not valid TOML", "line 6"]),
    "the same point twice": ("soc =", "power_w =", ["not valid TOML"]),
    "unknown top key": ("title =", "titel =", ["titel", "title"]),
    "unknown table": ("[timing]", "[timings]", ["timings", "timing"]),
    "unknown timing key": ("port = 502", "prot = 502", ["prot", "port", "timing"]),
    "unknown point key": ("scale = 0.01", "scal = 0.01", ["points.soc", "scal", "scale"]),
    "unknown control key": ("lease_ms", "leas_ms", ["control", "leas_ms", "lease_ms"]),
    "unknown step key": ("value = 1 }", "val = 1 }", ["control.take", "val", "value"]),
    "no address": ("address = 12, ", "", ["points.soc", "address"]),
    "no type": (', type = "i32"', "", ["points.power_w", "type"]),
    "wrong type of address": ("address = 12", 'address = "12"', ["points.soc", "address", "int"]),
    "true for a number": ("address = 12", "address = true", ["points.soc", "address", "int"]),
    "unknown type": ('"i32"', '"i33"', ["points.power_w", "i33"]),
    "unknown word order": (
        "scale = 0.01",
        'word_order = "little"',
        ["points.soc", "word_order", "little"],
    ),
    "unknown function": ("scale = 0.01", "function = 5", ["points.soc", "function", "5"]),
    "a broken marker": ("[65535]", "[1.5]", ["points.control_source", "invalid", "int"]),
    "a point that is a number": ("{ address = 16", "5 #", ["grid_hz", "int"]),
    "no points at all": ("[points]", "[control2]", ["control2"]),
    "overlap": ("address = 12", "address = 11", ["'power_w'", "'soc'", "register 11"]),
    "negative address": ("address = 12", "address = -1", ["'soc'", "address -1", "0 to 65535"]),
    "address too high": ("address = 12", "address = 65536", ["'soc'", "65536"]),
    "end too high": ("address = 10,", "address = 65535,", ["'power_w'", "65535"]),
    "string without size": (", registers = 8", "", ["'serial'", "string", "registers"]),
    "size of a number": ("scale = 0.01", "registers = 1", ["'soc'", "registers", "string"]),
    "scale of zero": ("scale = 0.01", "scale = 0", ["'soc'", "scale"]),
    "infinite scale": ("scale = 0.01", "scale = inf", ["'soc'", "scale", "inf"]),
    "scale that is no number": ("scale = 0.01", "scale = nan", ["'soc'", "scale", "nan"]),
    "offset that is no number": ("scale = 0.01", "offset = nan", ["'soc'", "offset", "nan"]),
    "a marker out of range": ("[65535]", "[-1]", ["'control_source'", "invalid", "-1", "u16"]),
    "point larger than a read": ("port = 502", "largest_read = 1", ["'power_w'", "largest_read"]),
    "read too large": (
        "port = 502",
        "largest_read = 126",
        ["line 6", "largest_read", "timing", "<= 125"],
    ),
    "no unit": ("port = 502", "unit_id = 256", ["line 6", "unit_id", "timing", "<= 255"]),
    "no port": ("port = 502", "port = 70000", ["line 6", "port", "timing", "<= 65535"]),
    "no time to answer": (
        "port = 502",
        "reply_timeout_ms = 0",
        ["line 6", "reply_timeout_ms", ">= 1"],
    ),
    "negative pause": (
        "port = 502",
        "gap_after_write_ms = -1",
        ["line 6", "gap_after_write_ms", ">= 0"],
    ),
    "stuck at once": ("port = 502", "stuck_after_ms = 0", ["line 6", "stuck_after_ms", ">= 1"]),
    "no release": (
        'release = [{ point = "wanted_w", value = 0 }, { point = "command", value = 0 }]',
        "release = []",
        ["release"],
    ),
    "no stop": ('stop = [{ point = "wanted_w", value = 0 }]', "stop = []", ["stop"]),
    "release keeps the power": (
        'release = [{ point = "wanted_w", value = 0 }',
        'release = [{ point = "wanted_w", value = 5 }',
        ["control.release", "setpoint", "0"],
    ),
    "release missing": ("release = ", "relase = ", ["control", "relase", "release"]),
    "lease too short": ("lease_ms = 5000", "lease_ms = 999", ["control.lease_ms", "999"]),
    "unknown setpoint": ('setpoint = "wanted_w"', 'setpoint = "want"', ["setpoint", "'want'"]),
    "unknown point in take": ('"command", value = 1', '"comand", value = 1', ["take", "'comand'"]),
    "unknown point in stop": (
        'stop = [{ point = "wanted_w"',
        'stop = [{ point = "wantd_w"',
        ["control.stop", "'wantd_w'"],
    ),
    "writes what is read only": (
        '"command", value = 1',
        '"grid_hz", value = 1',
        ["control.take", "'grid_hz'", "'read'"],
    ),
    "writes an input register": (
        "address = 101,",
        "address = 101, function = 4,",
        ["'command'", "function 4", "read"],
    ),
    "value that does not fit": (
        '"command", value = 1',
        '"command", value = 65536',
        ["control.take", "'command'", "65536", "u16"],
    ),
    "value that is no number": (
        '"command", value = 1',
        '"command", value = nan',
        ["control.take", "'command'", "nan"],
    ),
    "no power": ("power_w =", "power =", ["'power_w'"]),
    "condition that is no list": (
        "[1] }",
        "1 }",
        ["control.remote_when", "control_source", "array"],
    ),
    "condition on nothing": ("{ control_source", "{ source", ["remote_when", "'source'"]),
    "condition on a slow point": ("{ control_source", "{ grid_hz", ["remote_when", "'grid_hz'"]),
    "condition on a write-only point": (
        "invalid = [65535]",
        'access = "write"',
        ["remote_when", "'control_source'"],
    ),
}


def test_the_map_that_the_mistakes_are_made_in_is_good():
    assert isinstance(parse_map(GOOD, "good.toml"), RegisterMap)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    MISTAKES.values(),
    ids=MISTAKES.keys(),
)
def test_each_mistake_is_told_with_file_place_and_reason(old, new, named):
    assert GOOD.count(old) == 1, "the test must change exactly one thing"
    with pytest.raises(UserError) as told:
        parse_map(GOOD.replace(old, new), "bad.toml")
    message = str(told.value)
    assert message.startswith("register map bad.toml")
    missing = [part for part in named if part not in message]
    assert not missing, message
    assert "\n" not in message
    assert "..." not in message


def test_a_sequence_cannot_write_a_string():
    text = GOOD.replace('type = "string",', 'type = "string", access = "write",')
    text = text.replace('"command", value = 1', '"serial", value = 1')
    with pytest.raises(UserError, match=r"control\.take .*'serial'.* string"):
        parse_map(text, "bad.toml")


def test_points_of_different_functions_may_share_an_address():
    text = GOOD.replace("address = 16,", "address = 12, function = 4,")
    assert len(wire(parse_map(text, "good.toml")).blocks) == 1


def test_the_shipped_maps_load_and_can_be_wired():
    assert shipped_maps() == ["frequency-meter", "generic-container"]
    for name in shipped_maps():
        found = load_map(name)
        assert found.name == name
        assert wire(found).blocks


def test_the_container_map_agrees_with_the_page_of_its_vendor(pytestconfig):
    """Address, size and type of every row; the map and the page are written apart."""
    page = (pytestconfig.rootpath / "docs/devices/generic-container.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\w+) \|", page, re.MULTILINE)
    assert len(rows) > 30
    points = load_map("generic-container").points.values()
    mapped = {(point.address, point.size, point.type) for point in points}
    assert mapped == {(int(address), int(size), kind) for address, size, kind in rows}


def test_the_reference_page_has_every_key_and_its_example_is_a_good_map(pytestconfig):
    page = (pytestconfig.rootpath / "docs/register-maps.md").read_text("utf-8")
    keys = [key for shape in (Point, Timing, Control) for key in shape.__struct_fields__]
    assert [key for key in [*keys, *Reading._fields] if f"`{key}`" not in page] == []
    example = page.split("```toml\n")[1].split("```")[0]
    assert [len(block.names) for block in wire(parse_map(example, "page")).blocks] == [6]


def test_a_map_is_read_from_a_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, "utf-8")
    assert load_map(str(path)).name == "made"


def test_a_mistake_in_a_file_names_its_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("x = 1", "utf-8")
    with pytest.raises(UserError, match=re.escape(str(path))):
        load_map(str(path))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("generic-contaner", "did you mean 'generic-container'"),
        ("zzz", "shipped are: frequency-meter"),
        ("/nowhere/map.toml", "/nowhere/map.toml cannot be read"),
        ("nowhere.toml", "nowhere.toml cannot be read"),
        ("/", "cannot be read"),
    ],
)
def test_a_map_that_is_not_there_is_told_with_what_to_do(name, hint):
    with pytest.raises(UserError, match=re.escape(hint)):
        load_map(name)


def test_a_file_that_is_not_text_is_told(tmp_path):
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"binary\.toml cannot be read"):
        load_map(str(path))
