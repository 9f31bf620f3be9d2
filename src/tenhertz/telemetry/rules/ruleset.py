"""Safety rules as they stand in TOML: read, checked, and given in the numbers the engine needs.

See docs/safety-rules.md. Not for deciding anything about a row: that is `engine`.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from tenhertz.errors import UserError
from tenhertz.link.points import Kind, Point, point
from tenhertz.toml import parse_toml, read_toml

BUILT_IN = ("lfp", "nmc", "container")
LEVELS = ("warning", "critical", "emergency")  # ascending
Level = Literal["warning", "critical", "emergency"]
RuleKind = Literal["above", "below", "rise", "runaway", "spread", "missing", "stuck"]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]

_KINDS = {"cell": Kind.CELL, "sample": Kind.SAMPLE, "tick": Kind.TICK}
_WINDOWED = ("rise", "runaway", "missing", "stuck")
_UNLIMITED = ("missing", "stuck")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[[rule]]: one condition on the rows of every entity."""

    name: str
    kind: RuleKind
    rows: Literal["cell", "sample", "tick"]
    level: Level
    point: str = ""
    limit: float | None = None  # of the point; rise: a minute; runaway: over window_s
    clear: float | None = None  # default: limit
    hold_s: NotNegative = 0.0
    window_s: Positive | None = None
    drop_v: Positive | None = None  # runaway: how far the voltage fell besides
    stop: bool = False  # order a stop of the site

    @property
    def frame_kind(self) -> Kind:
        """The kind of frame whose rows it looks at."""
        return _KINDS[self.rows]

    @property
    def family(self) -> str:
        """Rules of a family differ in level only: for an entity they share one alert."""
        return f"{self.rows}/{self.point or '-'}/{self.kind}"

    @property
    def hold_ns(self) -> int:
        """How long the condition must last."""
        return round(self.hold_s * 1e9)

    @property
    def window_ns(self) -> int:
        """The window; 0 for a kind without."""
        return round((self.window_s or 0.0) * 1e9)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rule: tuple[Rule, ...]


class RuleSet(NamedTuple):
    """The rules that watch over a source, their names being unique."""

    rules: tuple[Rule, ...]

    def of(self, kind: Kind) -> tuple[Rule, ...]:
        """Those for rows of this kind."""
        return tuple(rule for rule in self.rules if rule.frame_kind is kind)


def load_rules(names: tuple[str, ...], beside: Path) -> RuleSet:
    """The rules of several sets together.

    A name that ends in `.toml` is a file, relative to the folder `beside`; any other is built in.

    Raises:
        UserError: no such set, or a mistake in one; the sentence names place and remedy.
    """
    rules: list[Rule] = []
    places: dict[str, str] = {}
    for name in names:
        if name.endswith(".toml"):
            where = str(beside / name)
            found = read_toml(beside / name, _File).rule
        elif name in BUILT_IN:
            where = f"the built-in rules '{name}'"
            text = (files(__package__) / f"{name}.toml").read_text(encoding="utf-8")
            found = parse_toml(text, where, _File, finite=True).rule
        else:
            raise UserError(
                f"there are no built-in rules '{name}'; known are {', '.join(BUILT_IN)}, and a "
                "file's name ends in .toml"
            )
        for rule in found:
            mistake = _mistake(rule)
            if rule.name in places:
                mistake = f"the name stands in {places[rule.name]} already; choose another"
            if mistake:
                raise UserError(f"{where}: rule '{rule.name}': {mistake}")
            places[rule.name] = where
            rules.append(rule)
    return RuleSet(tuple(rules))


def _mistake(rule: Rule) -> str:
    return _name_mistake(rule) or _point_mistake(rule) or _needs(rule) or _clear_mistake(rule)


def _name_mistake(rule: Rule) -> str:
    if not rule.name.strip() or len(rule.name) > 80:
        return "a name has 1 to 80 characters; change it"
    if rule.stop and rule.level != "emergency":
        return f"stop = true goes with level 'emergency' only, not '{rule.level}'; change one"
    return ""


def _point_mistake(rule: Rule) -> str:
    if rule.kind == "missing":
        return "'missing' watches whole rows; remove point" if rule.point else ""
    if not rule.point:
        return f"'{rule.kind}' needs a point, such as point = \"temperature_c\"; add it"
    try:
        found: Point = point(rule.frame_kind, rule.point)
    except KeyError:
        return f"rows '{rule.rows}' have no point '{rule.point}'; see docs/safety-rules.md"
    if found.type == "text":
        return f"point '{rule.point}' is text, and a rule needs numbers; choose another"
    if rule.kind == "spread" and not found.per_cell:
        return f"'spread' needs a point of several cells, which '{rule.point}' is not; choose one"
    if rule.kind == "runaway" and (rule.rows, rule.point) != ("cell", "temperature_c"):
        return '\'runaway\' watches cells: write rows = "cell" and point = "temperature_c"'
    return ""


def _needs(rule: Rule) -> str:
    takes = {
        "limit": rule.kind not in _UNLIMITED,
        "window_s": rule.kind in _WINDOWED,
        "drop_v": rule.kind == "runaway",
    }
    for key, taken in takes.items():
        given = getattr(rule, key) is not None
        if taken and not given:
            return f"'{rule.kind}' needs {key}; add it"
        if given and not taken:
            return f"'{rule.kind}' takes no {key}; remove it"
    if rule.kind == "missing" and rule.hold_s:
        return "'missing' takes no hold_s, its window_s says the same; remove it"
    if rule.kind in ("rise", "runaway", "spread") and (rule.limit or 0.0) <= 0:
        return f"the limit of '{rule.kind}' must be greater than 0; change it"
    return ""


def _clear_mistake(rule: Rule) -> str:
    if rule.clear is None:
        return ""
    if rule.kind in _UNLIMITED:
        return f"'{rule.kind}' takes no clear; remove it"
    limit = rule.limit or 0.0
    if rule.kind == "below" and rule.clear < limit:
        return f"clear = {rule.clear:g} must not lie below limit = {limit:g}; swap or change them"
    if rule.kind != "below" and rule.clear > limit:
        return f"clear = {rule.clear:g} must not lie above limit = {limit:g}; swap or change them"
    return ""
