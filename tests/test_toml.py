"""Mistakes in a TOML file are told with their place, whatever the shape of the file."""

from typing import Literal

import msgspec
import pytest

from tenhertz.errors import UserError
from tenhertz.toml import parse_toml


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    depth: int = 0
    names: tuple[str, ...] = ()


class Row(msgspec.Struct, forbid_unknown_fields=True):
    id: int
    kind: Literal["round", "square"] = "round"
    inner: Inner | None = None


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    title: str
    row: tuple[Row, ...] = ()
    inner: Inner = Inner()
    ratio: float = 1.0
    sure: bool = True


def mistake(text, **options):
    with pytest.raises(UserError) as told:
        parse_toml(text, "a file", Shape, **options)
    return str(told.value)


def test_a_file_without_mistakes_is_read():
    found = parse_toml('title = "t"\n[[row]]\nid = 1\n[[row]]\nid = 2\n', "a file", Shape)
    assert found == Shape("t", (Row(1), Row(2)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a file: 'title' is missing; add it"),
        ('titel = "t"', "a file, line 1: unknown key 'titel'; did you mean 'title'?"),
        (
            'title = "t"\n# row\n[inner]\ndeep = 1',
            "a file, line 4: unknown key 'deep' in [inner]; did you mean 'depth'?",
        ),
        (
            'title = "t"\n[[row]]\nid = 1\n[[row]]\n"idd" = 2',
            "a file, line 5: unknown key 'idd' in [row number 2]; did you mean 'id'?",
        ),
        (
            'title = "t"\n[[row]]\nid = 1\n[row.inner]\ndepth = "x"',
            (
                "a file, line 5: depth in [row number 1.inner]: expected a whole number (int), "
                "got text in quotes (str)"
            ),
        ),
        (
            'title = "t"\n[[row]]\nid = 1\nkind = "squar"',
            "a file, line 4: kind in [row number 1]: there is no 'squar'; did you mean 'square'?",
        ),
        (
            'title = "t"\nsure = 1',
            "a file, line 2: sure: expected true or false (bool), got a whole number (int)",
        ),
        (
            'title = "t"\ninner = { depht = 1 }',
            "a file: unknown key 'depht' in [inner]; did you mean 'depth'?",
        ),
        (
            'title = "t"\nrow = 5',
            "a file, line 2: row: this is to be a table: write [[row]], and its keys below it",
        ),
        (
            'title = "t"\n[[row]]\nkind = "round"',
            "a file, line 2: 'id' is missing in [row number 1]; add it",
        ),
    ],
)
def test_each_mistake_names_its_place(text, message):
    assert mistake(text) == message


def test_a_list_with_a_wrong_part_names_the_list():
    told = mistake('title = "t"\n[inner]\nnames = ["a", 2]')
    assert told == (
        "a file, line 3: names in [inner]: item 2: expected text in quotes (str), "
        "got a whole number (int)"
    )


def test_an_infinite_number_passes_only_where_it_may():
    text = 'title = "t"\nratio = inf'
    assert parse_toml(text, "a file", Shape).ratio == float("inf")
    assert mistake(text, finite=True) == (
        "a file, line 2: ratio: inf is not a number to work with; give a finite one"
    )
