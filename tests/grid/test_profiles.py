"""Profiles: the numbers of an edition, and clear errors for a bad file."""

from importlib import resources

import pytest

from tenhertz.errors import UserError
from tenhertz.grid import load_profile, parse_profile, profile_names


def text_of(name):
    return resources.files("tenhertz.grid").joinpath("profiles", f"{name}.toml").read_text("utf-8")


def test_the_known_profiles_load_and_bear_their_name():
    assert profile_names() == ("continental", "nordic-1.1")
    assert [load_profile(name).name for name in profile_names()] == list(profile_names())


def test_products_are_found_by_their_id():
    nordic = load_profile("nordic-1.1")
    assert nordic.product_ids == ("fcr-n", "fcr-d-up", "fcr-d-down", "ffr")
    assert [nordic.product(name).id for name in nordic.product_ids] == list(nordic.product_ids)
    assert load_profile("continental").product_ids == ("fcr",)


def test_the_nordic_bands_are_those_of_the_requirements():
    nordic = load_profile("nordic-1.1")
    bands = [(p.full_up_hz, p.zero_hz, p.full_down_hz) for p in nordic.droop.values()]
    assert bands == [(49.9, 50.0, 50.1), (49.5, 49.9, None), (None, 50.1, 50.5)]
    assert [(p.lower_hz, p.upper_hz) for p in nordic.droop.values()] == [
        (49.9, 50.1),
        (49.5, 49.9),
        (50.1, 50.5),
    ]


def test_an_unknown_profile_is_named_with_those_that_exist():
    with pytest.raises(UserError, match=r"'nordic'; the known ones are: continental, nordic-1\.1"):
        load_profile("nordic")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("zero_hz = 50.0 ", "zero = 50.0 ", "zero"),
        ("zero_hz = 50.0 ", 'zero_hz = "fifty" ', r"droop\[.*zero_hz"),
        ("full_up_hz = 49.9 ", "full_up_hz = 50.9 ", "full_up_hz must lie below"),
        ("full_down_hz = 50.1 ", "full_down_hz = 49.1 ", "full_down_hz must lie above"),
        ("ramp_s = 300.0", "", "go together"),
        ("nominal_hz = 50.0", "nominal_hz = = 50.0", "Invalid value"),
    ],
)
def test_a_profile_that_is_wrong_says_which_file_and_what(old, new, said):
    text = text_of("nordic-1.1")
    assert old in text
    with pytest.raises(UserError, match=said) as caught:
        parse_profile(text.replace(old, new, 1), source="mine.toml")
    assert str(caught.value).startswith("mine.toml: ")


def test_a_file_without_tables_of_products_is_an_error_for_its_user():
    with pytest.raises(UserError, match=r"mine\.toml"):
        parse_profile("droop = 3", source="mine.toml")


def test_a_droop_product_without_a_direction_is_refused():
    text = text_of("continental").replace("full_up_hz = 49.8", "").replace("full_down_hz", "# ")
    with pytest.raises(UserError, match="full_up_hz, full_down_hz or both"):
        parse_profile(text, source="mine.toml")
