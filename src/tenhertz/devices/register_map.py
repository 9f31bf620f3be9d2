"""A register map: one TOML file that tells all there is to know of a brand family.

Loading checks the file and names point and reason for each mistake. Turning a map into frames and
a decoder is `tenhertz.devices.wiring`.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from tenhertz.devices.battery import Reading
from tenhertz.devices.modbus import LARGEST_READ
from tenhertz.errors import UserError
from tenhertz.toml import parse_toml

PointType = Literal["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "string"]
REGISTERS = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "u64": 4, "i64": 4, "f32": 2, "f64": 4}
_LARGEST = {"f32": (2.0 - 2.0**-23) * 2.0**127, "f64": math.inf}


class Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One value of the device and where it lives.

    The value in the contract's unit is ``raw * scale + offset``.
    """

    address: int
    type: PointType
    function: Literal[3, 4] = 3
    registers: int = 0  # only for strings
    scale: float = 1.0
    offset: float = 0.0
    word_order: Literal["high-first", "low-first"] = "high-first"
    access: Literal["read", "write", "read-write"] = "read"
    cadence: Literal["fast", "slow", "once"] = "fast"
    invalid: tuple[int, ...] = ()  # raw values by which the device says "not available"
    text: str = ""

    @property
    def size(self) -> int:
        """How many registers it takes."""
        return REGISTERS.get(self.type, self.registers)


class Write(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a control sequence: a value, in the point's unit, to a point."""

    point: str
    value: float


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the device is controlled, as data."""

    setpoint: str  # the point that takes the power setpoint, W
    take: tuple[Write, ...]  # to gain remote control
    release: tuple[Write, ...]  # to hand it back with the power at zero
    stop: tuple[Write, ...]  # to de-energise
    remote_when: dict[str, tuple[int, ...]]  # point → raw values that show remote control
    fault_when: dict[str, tuple[int, ...]] = {}
    lease_ms: int = 5000  # the device's own watchdog: without a write for this long it stops


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the device's line needs."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 502
    unit_id: Annotated[int, msgspec.Meta(ge=0, le=255)] = 1
    reply_timeout_ms: Annotated[int, msgspec.Meta(ge=1)] = 300
    gap_after_write_ms: Annotated[int, msgspec.Meta(ge=0)] = 0
    largest_read: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_READ)] = LARGEST_READ
    holes_allowed: bool = True
    # How long the image counter may stand still.
    stuck_after_ms: Annotated[int, msgspec.Meta(ge=1)] = 2000


class RegisterMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole map file."""

    name: str
    title: str
    points: dict[str, Point]
    timing: Timing = Timing()
    control: Control | None = None


def shipped_maps() -> list[str]:
    """The names of the maps that come with the package."""
    folder = resources.files("tenhertz.devices") / "maps"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_map(name_or_path: str) -> RegisterMap:
    """Read and check a map: the name of a shipped one, or the path of a TOML file.

    Raises:
        UserError: no such map, or a mistake in it (file, point and reason are named).
    """
    if "/" in name_or_path or name_or_path.endswith(".toml"):
        where = name_or_path
        try:
            text = Path(name_or_path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"register map {where} cannot be read: {error}") from error
    else:
        where = f"{name_or_path}.toml"
        known = shipped_maps()
        if name_or_path not in known:
            near = difflib.get_close_matches(name_or_path, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"shipped are: {', '.join(known)}"
            raise UserError(f"there is no register map '{name_or_path}'; {hint}")
        text = (resources.files("tenhertz.devices") / "maps" / where).read_text("utf-8")
    return parse_map(text, where)


def parse_map(text: str, where: str) -> RegisterMap:
    """Check the text of a map file; `where` names it in messages.

    Raises:
        UserError: not TOML, an unknown key, a wrong type, an impossible point or sequence.
    """
    try:
        found = parse_toml(text, f"register map {where}", RegisterMap)
    except UserError as error:
        raise UserError(_with_name(str(error), text)) from error
    for mistake in _mistakes(found):
        raise UserError(f"register map {where}: {mistake}")
    return found


def _with_name(message: str, text: str) -> str:
    """Put the name where msgspec wrote `...`: it leaves out the keys of tables such as [points]."""
    if "..." not in message:
        return message
    data: Any = tomllib.loads(text)
    for path, shape in (
        ("points", Point),
        ("control.remote_when", tuple[int, ...]),
        ("control.fault_when", tuple[int, ...]),
    ):
        table = data
        for key in path.split("."):
            table = table.get(key, {}) if isinstance(table, dict) else {}
        for name, value in table.items() if isinstance(table, dict) else ():
            try:
                msgspec.convert(value, shape)
            except msgspec.ValidationError:
                named = message.replace(f"{path}....", f"{path}.{name}")
                return named.replace("... in", f"{name} in")
    return message


def _mistakes(found: RegisterMap) -> list[str]:
    mistakes = []
    for name, point in found.points.items():
        if point.type != "string" and point.registers:
            mistakes.append(
                f"point '{name}': 'registers' is only for a string; {point.type} has its size"
            )
        if point.size < 1:
            mistakes.append(f"point '{name}' is a string; say how many registers it takes")
        elif not 0 <= point.address <= 0x10000 - point.size:
            mistakes.append(f"point '{name}': address {point.address} leaves 0 to 65535")
        if point.scale == 0:
            mistakes.append(f"point '{name}': a scale of 0 makes every value 0")
        for key, value in (("scale", point.scale), ("offset", point.offset)):
            if not math.isfinite(value):
                mistakes.append(f"point '{name}': {key} is {value}, not a number to reckon with")
        mistakes += [
            f"point '{name}': invalid = {marker} never occurs in a {point.type}"
            for marker in point.invalid
            if not _fits(point, marker)
        ]
        if point.size > found.timing.largest_read:
            mistakes.append(f"point '{name}' is larger than timing.largest_read")
    mistakes += _overlaps(found)
    if found.control is not None:
        mistakes += _control_mistakes(found, found.control)
    return mistakes


def _overlaps(found: RegisterMap) -> list[str]:
    taken: dict[tuple[int, int], str] = {}
    mistakes = []
    for name, point in found.points.items():
        for register in range(point.address, point.address + point.size):
            other = taken.setdefault((point.function, register), name)
            if other != name:
                mistakes.append(f"points '{other}' and '{name}' both claim register {register}")
                break
    return mistakes


def _control_mistakes(found: RegisterMap, control: Control) -> list[str]:
    mistakes = []
    if not control.release or not control.stop:
        mistakes.append("control can be taken but not given back: 'release' and 'stop' are needed")
    if not control.remote_when:
        mistakes.append("control.remote_when is empty: how does the device show remote control?")
    if control.lease_ms < 1000:
        mistakes.append(f"control.lease_ms is {control.lease_ms}; the site cannot renew below 1000")
    needed = ("power_w", "soc", "charge_limit_w", "discharge_limit_w")
    missing = [name for name in needed if name not in found.points]
    mistakes += [f"a battery map needs the point '{name}'" for name in missing]
    steps = {"take": control.take, "release": control.release, "stop": control.stop}
    named = [(f"control.{k}", w.point, w.value) for k, writes in steps.items() for w in writes]
    for where, name, value in [*named, ("control.setpoint", control.setpoint, 0.0)]:
        mistakes += _write_mistakes(where, name, found.points.get(name), value)
    if not any(w.point == control.setpoint and w.value == 0 for w in control.release):
        mistakes.append("control.release does not set the setpoint to 0")
    conditions = {"remote_when": control.remote_when, "fault_when": control.fault_when}
    for where, name in [(k, name) for k, names in conditions.items() for name in names]:
        point = found.points.get(name)
        readable = point is not None and point.cadence == "fast" and point.access != "write"
        if not readable or name not in Reading._fields:
            mistakes.append(f"control.{where} needs '{name}' as a fast point of the contract")
    return mistakes


def _write_mistakes(where: str, name: str, point: Point | None, value: float) -> list[str]:
    if point is None:
        return [f"{where} names the point '{name}', which the map does not have"]
    if point.access == "read":
        return [f"{where} writes the point '{name}', whose access is 'read'"]
    if point.type == "string":
        return [f"{where} writes the point '{name}', which is a string"]
    if point.function == 4:
        return [f"{where} writes the point '{name}', but function 4 can only read"]
    raw = (value - point.offset) / point.scale if point.scale else 0.0
    if not _fits(point, raw):
        return [
            f"{where} writes {value:g} to the point '{name}', which does not fit its {point.type}"
        ]
    return []


def _fits(point: Point, raw: float) -> bool:
    """Whether the registers of `point` can hold `raw`."""
    if not math.isfinite(raw) or point.type == "string":
        return False
    if point.type in _LARGEST:
        return abs(raw) <= _LARGEST[point.type]
    bits = 16 * point.size - (point.type[0] == "i")
    return (-(1 << bits) if point.type[0] == "i" else 0) <= round(raw) < 1 << bits
