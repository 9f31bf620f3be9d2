"""TOML files read into msgspec structs, with mistakes told in one sentence.

A message names the file, the table with its line, the key, and the nearest key that is known.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tenhertz.errors import UserError

T = TypeVar("T")


def read_toml(path: Path, shape: type[T]) -> T:
    """Read `path` as a `shape`.

    Raises:
        UserError: no such file, not TOML, an unknown key, a wrong type, a value out of range or
            a number that is not finite.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
    return parse_toml(text, str(path), shape, finite=True)


def parse_toml(text: str, where: str, shape: type[T], *, finite: bool = False) -> T:
    """Read the text of a TOML file, called `where` in messages, as a `shape`.

    Raises:
        UserError: as `read_toml`; infinite numbers pass unless `finite` is set.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        hint = "; text stands in quotes" if str(error).startswith("Invalid value") else ""
        raise UserError(f"{where} is not valid TOML: {error}{hint}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{where} is not valid TOML: a number in it is too long, or a list too deep; "
            "simplify it"
        ) from error
    try:
        found = msgspec.convert(data, shape)
    except msgspec.ValidationError as error:
        raise UserError(_explain(str(error), text, where, shape)) from error
    for names, value in _not_finite(data) if finite else ():
        place = f"{where}{_line(text, names[:-1], str(names[-1]))}: {names[-1]}{_in(names[:-1])}"
        raise UserError(f"{place}: {value} is not a number to work with; give a finite one")
    return found


def _not_finite(data: Any, *names: Any) -> Iterator[tuple[tuple[Any, ...], float]]:
    if isinstance(data, float) and not math.isfinite(data):
        yield names, data
    elif isinstance(data, dict | list):
        for name, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from _not_finite(value, *names, name)


def _explain(message: str, text: str, where: str, shape: Any) -> str:
    what, _, path = message.partition(" - at `$")
    steps = re.findall(r"\.([A-Za-z0-9_-]+)|\[(\d+|\.\.\.)\]", path.rstrip("`"))
    names = [name or int(number) if number != "..." else "..." for name, number in steps]
    unknown = re.search(r"unknown field `(.+?)`", what)
    if unknown:
        key = unknown[1]
        known = _keys(_walk(shape, names))
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are: {', '.join(known)}"
        return f"{where}{_line(text, names, key)}: unknown key '{key}'{_in(names)}; {hint}"
    missing = re.search(r"missing required field `(.+?)`", what)
    if missing:
        header = "" if names else _header(shape, missing[1])
        thing = f"the table {header}" if header else f"'{missing[1]}'"
        return f"{where}{_line(text, names, '')}: {thing} is missing{_in(names)}; add it"
    reason = _plain(what, _walk(shape, names))
    while len(names) > 1 and isinstance(last := names[-1], int):
        reason = f"item {last + 1}: {reason}"
        names.pop()
    key = str(names[-1]) if names else ""
    header = _header(shape, key) if len(names) == 1 else ""
    if header:
        reason = f"this is to be a table: write {header}, and its keys below it"
    line = _line(text, names[:-1], key) or _line(text, names, "")
    return f"{where}{line}: {key}{_in(names[:-1])}: {reason}"


_WORDS = {
    "int": "a whole number (int)",
    "float": "a number (float)",
    "str": "text in quotes (str)",
    "bool": "true or false (bool)",
    "array": "a list (array)",
    "object": "a table (object)",
    "datetime": "a date and time such as 2026-01-31T00:00:00Z",
    "date": "a date without a time",
    "time": "a time without a date",
}


def _plain(what: str, shape: Any) -> str:
    wrong = re.fullmatch(r"Invalid enum value '?(.*?)'?", what)
    if wrong and typing.get_origin(shape) is typing.Literal:
        known = [str(choice) for choice in typing.get_args(shape)]
        near = difflib.get_close_matches(wrong[1], known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are: {', '.join(known)}"
        return f"there is no '{wrong[1]}'; {hint}"
    if what.startswith("Invalid RFC3339"):
        return f"expected {_WORDS['datetime']}"
    what = what.replace("`", "").replace("Expected", "expected").replace("Invalid", "invalid")
    what = what.replace(" | null", "").replace("Number out of range", "the number is too large")
    return re.sub(r"(expected|got) (\w+)", _in_words, what)


def _in_words(kind: re.Match[str]) -> str:
    return f"{kind[1]} {_WORDS.get(kind[2], kind[2])}"


def _header(shape: Any, key: str) -> str:
    """How the table `key` of a file begins; empty if it is no table."""
    if key not in _keys(shape):
        return ""
    inner = _struct_in(typing.get_type_hints(shape).get(key, Any))
    if typing.get_origin(inner) is tuple and _keys(_struct_in(typing.get_args(inner)[0])):
        return f"[[{key}]]"
    return f"[{key}]" if _keys(inner) else ""


def _in(names: Sequence[Any]) -> str:
    if not names:
        return ""
    label = ""
    for name in names:
        label += f" number {name + 1}" if isinstance(name, int) else (f".{name}" if label else name)
    return f" in [{label}]"


def _line(text: str, names: Sequence[Any], key: str) -> str:
    """Find the line of a key in its table, or of the table; empty where that is not clear."""
    wanted = ".".join(str(name) for name in names if not isinstance(name, int))
    number = next((name for name in names if isinstance(name, int)), 0)
    at_table = 1 if not wanted else 0
    inside = not wanted
    for count, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        if header and key and not wanted and header[1] == key:
            return f", line {count}"
        if header:
            inside = header[1] == wanted
            if inside and number > 0:
                number -= 1
                inside = False
            elif inside:
                at_table = count
        elif inside and key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", line):
            return f", line {count}"
        if inside and at_table and header is None and not key:
            break
    return f", line {at_table}" if at_table and wanted else ""


def _walk(shape: Any, names: list[Any]) -> Any:
    """The type that stands at a path of keys."""
    for name in names:
        shape = _struct_in(shape)
        if isinstance(name, int) or name == "...":
            arguments = typing.get_args(shape)
            shape = arguments[-1] if arguments and arguments[-1] is not ... else arguments[0]
        elif isinstance(shape, type) and issubclass(shape, msgspec.Struct):
            shape = typing.get_type_hints(shape).get(name, Any)
    return _struct_in(shape)


def _struct_in(shape: Any) -> Any:
    if typing.get_origin(shape) in (typing.Union, types.UnionType):
        for part in typing.get_args(shape):
            if part is not type(None):
                return part
    return shape


def _keys(shape: Any) -> list[str]:
    return list(shape.__struct_fields__) if hasattr(shape, "__struct_fields__") else []
