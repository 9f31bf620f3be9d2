"""systemd hears what it wants to hear, and nobody else is disturbed."""

import os
import socket

import pytest

from tenhertz.notify import Notifier


@pytest.fixture
def listener(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(5)
        yield made


def closing(notifier):
    notifier._socket.close()


def test_a_message_arrives_as_one_datagram(tmp_path, listener):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    assert notifier.tell("READY=1")
    assert notifier.tell("WATCHDOG=1")
    assert listener.recv(100) == b"READY=1"
    assert listener.recv(100) == b"WATCHDOG=1"
    closing(notifier)


def test_an_abstract_address_is_understood():
    name = f"tenhertz-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind("\0" + name)
        notifier = Notifier({"NOTIFY_SOCKET": "@" + name})
        assert notifier.tell("READY=1")
        assert made.recv(100) == b"READY=1"
        closing(notifier)


def test_without_systemd_nothing_happens():
    assert not Notifier({}).tell("READY=1")


def test_a_listener_that_went_away_or_is_full_is_no_error(tmp_path, listener):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    told = [notifier.tell("WATCHDOG=1") for _ in range(2000)]
    assert told[0]
    assert not told[-1]  # the socket is full: nobody reads
    (tmp_path / "notify").unlink()
    assert not notifier.tell("READY=1")
    closing(notifier)


@pytest.mark.parametrize(
    ("text", "seconds"), [("3000000", 3.0), ("", 0.0), ("soon", 0.0), ("-5", 0.0)]
)
def test_the_watchdog_interval_is_read(text, seconds):
    assert Notifier({"WATCHDOG_USEC": text}).watchdog_s == seconds
