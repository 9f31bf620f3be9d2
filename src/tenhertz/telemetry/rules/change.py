"""What the rule engine tells: a rule was raised or cleared for an entity."""

from __future__ import annotations

from typing import Literal

import msgspec

from tenhertz.telemetry.rules.ruleset import Level, Rule

_UNITS = {"v": "V", "c": "°C", "a": "A", "w": "W", "hz": "Hz", "us": "µs"}


class Change(msgspec.Struct, frozen=True):
    """A rule raised or cleared."""

    source: str
    entity: str
    rule: str
    family: str
    level: Level
    kind: Literal["raised", "cleared"]
    value: float  # in the unit of the rule's limit; missing and stuck: seconds
    cell: int | None  # counted from 0
    at_ns: int  # the instant of the row; missing: of the newest row
    seen_ns: int  # when the engine saw it
    stop: bool  # raised by a rule that orders a stop of the site
    text: str  # one plain sentence


def sentence(rule: Rule, entity: str, value: float, cell: int | None, *, raised: bool) -> str:
    """What happened, in plain words."""
    who = entity if cell is None else f"cell {cell} of {entity}"
    what, _, unit = rule.point.rpartition("_") if "_" in rule.point else (rule.point, "", "")
    unit = _UNITS.get(unit, "")
    limit = rule.limit or 0.0
    window = f"{rule.window_s or 0:g} s"
    if not raised:
        return _cleared(rule, who, f"{value:.4g} {unit}".strip(), what.replace("_", " "))
    match rule.kind:
        case "above" | "below":
            told = f"{value:.4g} {unit}".strip()
            return f"{who}: {told} is {rule.kind} {limit:g} {unit}".rstrip() + _named(what, unit)
        case "rise":
            per = f"{unit} a minute".strip()
            return f"{who}: {what} rises by {value:.3g} {per}, more than {limit:g} {per}"
        case "runaway":
            return (
                f"{who}: {value:.3g} K warmer within {window} while the voltage fell by "
                f"{rule.drop_v or 0:g} V or more"
            )
        case "spread":
            apart = f"differs by {value:.3g} {unit} between cells, more than {limit:g} {unit}"
            return f"{who}: {what} {apart}"
        case "stuck":
            return f"{who}: {what} has not changed for {value:.0f} s"
        case "missing":
            return f"{who}: no {rule.rows} rows for {value:.0f} s"


def _named(what: str, unit: str) -> str:
    return "" if unit else f" ({what.replace('_', ' ')})"


def _cleared(rule: Rule, who: str, told: str, what: str) -> str:
    match rule.kind:
        case "missing":
            return f"{who}: {rule.rows} rows arrive again"
        case "stuck":
            return f"{who}: {what} changes again"
        case "above" | "below":
            return f"{who}: '{rule.name}' is over, {what} is {told}"
        case _:
            return f"{who}: '{rule.name}' is over"
