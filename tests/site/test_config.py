"""Each mistake in a `site.toml` is one clear sentence: file, place and remedy."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.errors import UserError
from tenhertz.site.config import load_config

from .config_mistakes import GOOD, MISTAKES


@pytest.fixture
def path(tmp_path):
    return tmp_path / "site.toml"


def told(path):
    with pytest.raises(UserError) as mistake:
        load_config(path)
    message = str(mistake.value)
    assert message.startswith(str(path))
    return message[len(str(path)) :]


def test_the_file_that_the_mistakes_are_made_in_is_good(path):
    path.write_text(GOOD)
    config = load_config(path)
    assert [unit.power_kw for unit in config.unit] == [100, 120]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES.values(), ids=MISTAKES)
def test_each_mistake_is_one_sentence_with_place_and_remedy(path, old, new, message):
    assert GOOD.count(old) == 1, "the test must change exactly one thing"
    path.write_text(GOOD.replace(old, new))
    assert told(path) == message


def test_what_is_no_text_is_told_as_such(path):
    path.write_bytes(b"\xff\xfe" + GOOD.encode())
    assert told(path) == " is not UTF-8 text (byte 0); save it as UTF-8"


def test_a_mark_at_the_beginning_is_no_mistake(path):
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_config(path).site.name == "alpha"


def test_a_folder_or_nothing_in_its_place_is_told_as_such(path):
    assert told(path) == " cannot be read: No such file or directory"
    path.mkdir()
    assert told(path) == " cannot be read: Is a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told_as_such(path):
    path.write_text(GOOD)
    path.chmod(0)
    assert told(path) == " cannot be read: Permission denied"


def assert_told_or_fine(path):
    try:
        load_config(path)
    except UserError as found:
        mistake = str(found)
    else:
        return
    assert mistake.startswith(str(path))
    assert "\n" not in mistake


values = st.sampled_from(
    ["0", "-1", "1e400", "nan", "-inf", '""', '"x"', "true", "[]", "{}", "[1]", "2026-01-01"]
) | st.integers(-(2**70), 2**70).map(str)
VALUE_LINES = [index for index, line in enumerate(GOOD.splitlines()) if "=" in line]


@given(st.sampled_from(VALUE_LINES), values)
def test_no_value_anywhere_raises_anything_else(tmp_path_factory, line, value):
    lines = GOOD.splitlines()
    lines[line] = lines[line].split("=")[0] + "= " + value
    path = tmp_path_factory.mktemp("c") / "site.toml"
    path.write_text("\n".join(lines))
    assert_told_or_fine(path)


@given(st.integers(0, len(GOOD)), st.integers(0, 40), st.text(max_size=6))
def test_no_damage_to_the_text_raises_anything_else(tmp_path_factory, at, length, text):
    path = tmp_path_factory.mktemp("c") / "site.toml"
    path.write_text(GOOD[:at] + text + GOOD[at + length :], encoding="utf-8", newline="")
    assert_told_or_fine(path)
