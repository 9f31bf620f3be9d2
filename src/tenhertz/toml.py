"""TOML files read into msgspec structs, with mistakes told in one sentence.

A message names the file, the table with its line, the key, and the nearest key that is known.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tenhertz.errors import UserError

T = TypeVar("T")


def read_toml(path: Path, shape: type[T]) -> T:
    """Read `path` as a `shape`.

    Raises:
        UserError: no such file, not TOML, an unknown key, a wrong type or a value out of range.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start})") from error
    return parse_toml(text, str(path), shape)


def parse_toml(text: str, where: str, shape: type[T]) -> T:
    """Read the text of a TOML file, called `where` in messages, as a `shape`.

    Raises:
        UserError: as `read_toml`.
    """
    try:
        return msgspec.convert(tomllib.loads(text), shape)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where} is not valid TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise UserError(_explain(str(error), text, where, shape)) from error


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
        return f"{where}{_line(text, names, '')}: '{missing[1]}' is missing{_in(names)}"
    key = str(names[-1]) if names else ""
    return f"{where}{_line(text, names[:-1], key)}: {key}{_in(names[:-1])}: {_plain(what)}"


def _plain(what: str) -> str:
    return what.replace("`", "").replace("Expected", "expected").replace("Invalid", "invalid")


def _in(names: list[Any]) -> str:
    if not names:
        return ""
    label = ""
    for name in names:
        label += f" number {name + 1}" if isinstance(name, int) else (f".{name}" if label else name)
    return f" in [{label}]"


def _line(text: str, names: list[Any], key: str) -> str:
    """Find the line of a key in its table, or of the table; empty where that is not clear."""
    wanted = ".".join(str(name) for name in names if not isinstance(name, int))
    number = next((name for name in names if isinstance(name, int)), 0)
    at_table = 1 if not wanted else 0
    inside = not wanted
    for count, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
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
