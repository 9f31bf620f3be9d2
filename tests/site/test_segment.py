"""Shared memory: ours, of the right size, and with its room reserved."""

import errno
import os
import stat

import pytest

from tenhertz.errors import UserError
from tenhertz.site.segment import map_segment, runtime_dir


def test_a_segment_is_zero_at_first_and_whole_pages(tmp_path):
    memory, fresh = map_segment(tmp_path / "s", 5000, create=True)

    assert fresh
    assert memory[:] == bytes(8192)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_a_segment_of_the_same_size_is_found_as_it_was(tmp_path):
    memory, _ = map_segment(tmp_path / "s", 5000, create=True)
    memory[:4] = b"kept"
    again, fresh = map_segment(tmp_path / "s", 6000, create=True)

    assert not fresh
    assert again[:4] == b"kept"


def test_a_file_of_another_size_is_replaced_when_made_and_kept_by_who_only_looks(tmp_path):
    memory, _ = map_segment(tmp_path / "s", 5000, create=True)
    memory[:4] = b"kept"
    assert map_segment(tmp_path / "s", 100, create=False)[0][:4] == b"kept"

    replaced, fresh = map_segment(tmp_path / "s", 9000, create=True)
    assert fresh
    assert replaced[:4] == bytes(4)
    assert memory[:4] == b"kept"  # who has the old one mapped keeps it


def test_only_the_maker_makes(tmp_path):
    with pytest.raises(FileNotFoundError):
        map_segment(tmp_path / "s", 100, create=False)


@pytest.mark.parametrize("size", [0, 10, 4095])
def test_a_file_that_is_too_small_is_refused(tmp_path, size):
    (tmp_path / "s").write_bytes(b"x" * size)
    with pytest.raises(ValueError, match="smaller than 4096 bytes"):
        map_segment(tmp_path / "s", 4096, create=False)


@pytest.mark.parametrize("create", [True, False])
def test_a_link_is_not_followed(tmp_path, create):
    (tmp_path / "target").write_bytes(bytes(4096))
    (tmp_path / "s").symlink_to(tmp_path / "target")

    with pytest.raises(UserError, match=r"/s cannot be opened: .*; remove it, or set site.runtime"):
        map_segment(tmp_path / "s", 4096, create=create)


def test_a_folder_in_its_place_is_one_sentence(tmp_path):
    (tmp_path / "s").mkdir()
    with pytest.raises(UserError, match="/s cannot be opened"):
        map_segment(tmp_path / "s", 4096, create=True)


def test_without_room_nothing_is_left_behind(tmp_path, monkeypatch):
    def full(_handle, _offset, _size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        UserError, match=r"no room for 8192 bytes.*No space left.*lower ring\.hold_s"
    ):
        map_segment(tmp_path / "s", 5000, create=True)

    assert not (tmp_path / "s").exists()


def test_the_runtime_folder_is_made_private(tmp_path):
    path = runtime_dir("alpha", str(tmp_path / "deep" / "folder"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert runtime_dir("alpha", str(path)) == path


def test_without_a_choice_the_runtime_folder_names_user_and_site(monkeypatch, tmp_path):
    monkeypatch.setattr("tenhertz.site.segment.Path.mkdir", lambda *_a, **_k: None)
    monkeypatch.setattr("tenhertz.site.segment.Path.lstat", lambda _self: os.lstat(tmp_path))
    assert str(runtime_dir("alpha")) == f"/dev/shm/tenhertz-{os.getuid()}-alpha"


def test_a_file_in_place_of_the_runtime_folder_is_one_sentence(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match=r"taken cannot be made: .*; set site.runtime_dir"):
        runtime_dir("alpha", str(tmp_path / "taken"))


def test_a_runtime_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    with pytest.raises(UserError, match="belongs to another user"):
        runtime_dir("alpha", str(tmp_path))


def test_a_link_in_place_of_the_runtime_folder_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UserError):
        runtime_dir("alpha", str(tmp_path / "link"))
