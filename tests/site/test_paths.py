"""Where the parts of a site meet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.errors import UserError
from tenhertz.site.config import Control, Frequency, Ring, Site, SiteConfig, Unit
from tenhertz.site.paths import data_dir, open_parts, ring_capacity
from tenhertz.site.record import BODY_BYTES
from tenhertz.site.ring import Ring as SampleRing


def config(units=2, period_ms=100, hold_s=600.0, largest_mb=64.0, folder=""):
    return SiteConfig(
        Site("alpha", runtime_dir=str(folder)),
        Frequency("meter", "localhost"),
        tuple(Unit(f"u{i}", "localhost", 100.0, 200.0, port=i + 1) for i in range(units)),
        control=Control(period_ms=period_ms),
        ring=Ring(hold_s, largest_mb),
    )


def test_the_ring_holds_the_samples_and_ticks_of_its_time():
    assert ring_capacity(config(units=2, hold_s=600.0)) == 3 * 10 * 600


@given(
    st.integers(1, 400),
    st.integers(20, 10_000),
    st.floats(0.001, 1e9),
    st.floats(0.001, 1e4),
)
def test_the_ring_stays_within_its_bound_but_holds_several_periods(units, period, hold, most_mb):
    capacity = ring_capacity(config(units, period, hold, most_mb))
    least = max(8 * (units + 1), 1024)

    assert capacity >= least
    assert capacity <= max(least, most_mb * 1e6 / (BODY_BYTES + 16))
    assert capacity <= max(least, hold * (units + 1) * 1000 / period)


def test_the_data_folder_is_relative_to_the_configuration(tmp_path):
    found = data_dir(config(), tmp_path / "site.toml")
    assert found == (tmp_path / "var").resolve()


def test_a_site_that_never_ran_is_told_as_such(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_parts(config(folder=tmp_path / "run"), create=False)


def test_what_one_process_posts_another_finds(tmp_path):
    made = open_parts(config(folder=tmp_path / "run"), create=True)
    found = open_parts(config(folder=tmp_path / "run"), create=False)
    made.samples.append([bytes(BODY_BYTES)], tally=1)
    made.control.post(b"control")
    found.mailbox.stop()

    assert found.samples.state.tally == 1
    assert found.control.read() == b"control"
    assert made.mailbox.stopped
    assert made.folder == tmp_path / "run"


def test_an_edited_configuration_bars_neither_stop_nor_status(tmp_path):
    made = open_parts(config(folder=tmp_path / "run"), create=True)
    edited = config(units=5, hold_s=5000.0, folder=tmp_path / "run")
    open_parts(edited, create=False).mailbox.stop()

    assert made.mailbox.stopped
    assert open_parts(edited, create=False).samples.capacity == made.samples.capacity


def test_a_ring_of_another_version_is_one_sentence(tmp_path):
    folder = tmp_path / "run"
    open_parts(config(folder=folder), create=True)
    SampleRing(folder / "samples.ring", 40, 100, create=True)

    with pytest.raises(UserError, match="another version of tenhertz; start the site again"):
        open_parts(config(folder=folder), create=False)
    (folder / "samples.ring").write_bytes(b"rubbish")
    with pytest.raises(UserError, match=r"not a ring.*start the site again"):
        open_parts(config(folder=folder), create=False)


def test_more_units_make_a_new_ring_when_the_site_is_made_again(tmp_path):
    made = open_parts(config(folder=tmp_path / "run"), create=True)
    again = open_parts(config(units=9, folder=tmp_path / "run"), create=True)
    assert again.samples.state.epoch != made.samples.state.epoch
