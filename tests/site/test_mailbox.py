"""The mailbox: bounded, in order, and a stop that nothing holds up."""

import multiprocessing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.errors import UserError
from tenhertz.site import mailbox as mailbox_module
from tenhertz.site.mailbox import SLOTS, Mailbox, PowerWish


@pytest.fixture
def mailbox(tmp_path):
    return Mailbox(tmp_path / "mailbox", create=True)


def wish(number):
    return PowerWish(float(number), number, number + 10)


def test_messages_are_taken_once_and_as_posted(tmp_path, mailbox):
    sender = Mailbox(tmp_path / "mailbox")
    sender.post(wish(1))
    sender.post(mailbox_module.TestFrequency(49.8, 2, 3))

    assert mailbox.take() == ([wish(1), mailbox_module.TestFrequency(49.8, 2, 3)], 0)
    assert mailbox.take() == ([], 0)


def test_a_full_mailbox_refuses_and_keeps_what_it_has(mailbox):
    for number in range(SLOTS):
        mailbox.post(wish(number))
    with pytest.raises(UserError, match=f"{SLOTS} messages wait unread.*tenhertz site status"):
        mailbox.post(wish(99))

    assert mailbox.take() == ([wish(number) for number in range(SLOTS)], 0)
    mailbox.post(wish(100))
    assert mailbox.take() == ([wish(100)], 0)


def test_a_stop_gets_through_a_full_mailbox_and_holds_until_it_is_lifted(tmp_path, mailbox):
    for number in range(SLOTS):
        mailbox.post(wish(number))
    Mailbox(tmp_path / "mailbox").stop()

    assert mailbox.stopped
    mailbox.take()
    assert mailbox.stopped
    mailbox.lift_stop()
    assert not mailbox.stopped


def test_two_stops_are_lifted_together_and_a_later_one_holds_again(mailbox):
    mailbox.stop()
    mailbox.stop()
    assert mailbox.stops == 2
    mailbox.lift_stop()
    assert not mailbox.stopped
    mailbox.lift_stop()
    assert not mailbox.stopped
    mailbox.stop()
    assert mailbox.stopped


def test_a_stop_outlives_the_processes(tmp_path, mailbox):
    mailbox.stop()
    assert Mailbox(tmp_path / "mailbox", create=True).stopped


@pytest.mark.parametrize(
    "garbage", [b"\xff\xff", b"\x05\x00hello", b"\x00\x00", b"\x03\x00\x81\xa4x"]
)
def test_a_slot_of_garbage_is_counted_and_holds_nothing_up(mailbox, garbage):
    mailbox.post(wish(1))
    mailbox.post(wish(2))
    mailbox.post(wish(3))
    at = 4096 + mailbox_module.SLOT_BYTES
    mailbox._memory[at : at + len(garbage)] = garbage

    assert mailbox.take() == ([wish(1), wish(3)], 1)
    assert mailbox.take() == ([], 0)


def test_a_damaged_counter_yields_at_most_one_round(mailbox):
    mailbox.post(wish(1))
    mailbox._words[mailbox_module._W_POSTED] = 10**15

    messages, broken = mailbox.take()
    assert len(messages) + broken <= SLOTS
    assert mailbox.take() == ([], 0)


def _post_some(path, first):
    sender = Mailbox(path)
    for number in range(first, first + 10):
        sender.post(wish(number))


@pytest.mark.slow
def test_several_writers_lose_nothing(tmp_path, mailbox):
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=_post_some, args=(tmp_path / "mailbox", first))
        for first in (0, 100, 200)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)

    messages, broken = mailbox.take()
    assert broken == 0
    powers = [message.power_w for message in messages]
    assert sorted(powers) == [*range(10), *range(100, 110), *range(200, 210)]
    for first in (0, 100, 200):  # each sender's own stay in order
        mine = [power for power in powers if first <= power < first + 10]
        assert mine == sorted(mine)


@given(st.lists(st.one_of(st.integers(1, 20), st.none()), max_size=20))
def test_as_a_list_with_a_bound(tmp_path_factory, doings):
    mailbox = Mailbox(tmp_path_factory.mktemp("m") / "mailbox", create=True)
    waiting, number = [], 0
    for count in doings:
        if count is None:
            assert mailbox.take() == (waiting, 0)
            waiting = []
            continue
        for _ in range(count):
            number += 1
            if len(waiting) < SLOTS:
                mailbox.post(wish(number))
                waiting.append(wish(number))
            else:
                with pytest.raises(UserError):
                    mailbox.post(wish(number))
    assert mailbox.take() == (waiting, 0)
