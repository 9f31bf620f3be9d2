"""The notice board: whole notices or none."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.site import board as board_module
from tenhertz.site.board import Board


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path / "board", 500, create=True)


def test_before_the_first_notice_there_is_none(board):
    assert board.read() == b""


def test_the_newest_notice_is_read_by_all(tmp_path, board):
    board.post(b"one")
    board.post(b"two")

    assert board.read() == b"two"
    assert Board(tmp_path / "board").read() == b"two"


def test_a_shorter_notice_leaves_nothing_of_the_longer_one(board):
    board.post(b"a long notice")
    board.post(b"x")
    assert board.read() == b"x"
    board.post(b"")
    assert board.read() == b""


def test_a_notice_fills_the_board_and_one_byte_more_is_refused(board):
    full = b"y" * board.capacity
    board.post(full)
    with pytest.raises(ValueError, match=f"{board.capacity + 1} bytes on a board"):
        board.post(full + b"y")

    assert board.read() == full


def test_a_notice_that_is_being_written_is_not_delivered(board):
    board.post(b"before")
    board._words[board_module._W_VERSION] += 1

    assert board.read() == b""


def test_the_half_written_notice_of_a_dead_writer_is_not_delivered_and_the_next_one_is(board):
    board.post(b"before")
    board._words[board_module._W_VERSION] |= 1
    board._memory[64:67] = b"hal"

    assert board.read() == b""
    board.post(b"after")
    assert board.read() == b"after"


def test_a_notice_that_does_not_match_its_check_sum_is_not_delivered(board):
    board.post(b"before")
    board._memory[64] ^= 1

    assert board.read() == b""


def test_a_length_beyond_the_board_is_not_followed(board):
    board.post(b"before")
    board._words[board_module._W_LENGTH] = 2**40

    assert board.read() == b""


def test_a_reader_that_meets_a_writer_gets_the_new_notice(board, monkeypatch):
    board.post(b"before")
    real = zlib.crc32
    calls = []

    def post_meanwhile(data):
        calls.append(data)
        if len(calls) == 1:
            with monkeypatch.context() as calm:
                calm.setattr(board_module.zlib, "crc32", real)
                board.post(b"after")
        return real(data)

    monkeypatch.setattr(board_module.zlib, "crc32", post_meanwhile)
    # The first look saw the whole old notice; had it been torn, the check sum would tell.
    assert board.read() in (b"before", b"after")
    assert board.read() == b"after"


def test_beats_are_counted_beside_the_notice(tmp_path, board):
    board.post(b"notice")
    board.beat(5)
    board.beat(9)

    assert Board(tmp_path / "board").heartbeat == (2, 9)
    assert board.read() == b"notice"


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=8))
def test_whatever_is_posted_is_read(tmp_path_factory, notices):
    board = Board(tmp_path_factory.mktemp("board") / "board", 300, create=True)
    for notice in notices:
        board.post(notice)
        assert board.read() == notice
