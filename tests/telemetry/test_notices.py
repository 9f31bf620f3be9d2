"""Notices reach real receivers over HTTP; one that fails is tried again and holds nobody up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from tenhertz.errors import UserError
from tenhertz.telemetry.alerts import ALERTS_FILE, AlertBook
from tenhertz.telemetry.config import Fleet, FleetConfig, Notify, Source
from tenhertz.telemetry.notices import Receiver, apprise_send, deliver, names_of, receivers_of
from tenhertz.telemetry.rules.change import Change

# The library imports a module that Python is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

S = 1_000_000_000
ALL = ("warning", "critical", "emergency")


class Hook:
    """A web hook that answers with the given statuses, and then with 200."""

    def __init__(self) -> None:
        self.got: list[dict[str, str]] = []
        self.statuses: list[int] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = hook.statuses.pop(0) if hook.statuses else 200
                if status == 200:
                    hook.got.append(json.loads(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_address[1]}/secret-token"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.close()


@pytest.fixture
def book(tmp_path: Path) -> Iterator[AlertBook]:
    book = AlertBook(tmp_path / ALERTS_FILE)
    yield book
    book.close()


def raised(entity: str) -> Change:
    return Change(
        source="site",
        entity=entity,
        rule="cell too hot",
        family="cell/temperature_c/above",
        level="critical",
        kind="raised",
        value=57.0,
        cell=3,
        at_ns=1,
        seen_ns=2,
        stop=False,
        text=f"cell 3 of {entity}: 57 °C is above 55 °C",
    )


def config(*notify: Notify) -> FleetConfig:
    return FleetConfig(Fleet("f"), (Source("*"),), notify=notify)


@pytest.mark.slow  # loads apprise
def test_a_notice_that_fails_first_arrives_later(book: AlertBook, hook: Hook) -> None:
    receiver = Receiver("hook", ALL, apprise_send(hook.url, "here"))
    book.outbox.enlist({"hook": ALL})
    book.apply([raised("p1")], 0)
    hook.statuses = [503]
    assert deliver(book.outbox, receiver, lambda: 0) == (0, "the receiver did not take it")
    assert deliver(book.outbox, receiver, lambda: S - 1) == (0, "")
    assert deliver(book.outbox, receiver, lambda: S) == (1, "")
    assert [(got["title"], got["message"]) for got in hook.got] == [
        ("critical raised: site p1", "Alert 1: cell 3 of p1: 57 °C is above 55 °C")
    ]
    counts = book.counts()
    assert (counts["notices_waiting"], counts["notices_sent"], counts["notices_failed"]) == (
        0,
        1,
        1,
    )


def test_one_receiver_that_fails_holds_no_other_up(book: AlertBook) -> None:
    got: list[str] = []

    def take(notice: object) -> str:
        got.append(str(notice))
        return ""

    book.outbox.enlist({"bad": ALL, "good": ALL})
    book.apply([raised(f"p{number}") for number in range(3)], 0)
    assert deliver(book.outbox, Receiver("bad", ALL, lambda _: "down"), lambda: 0) == (0, "down")
    assert deliver(book.outbox, Receiver("good", ALL, take), lambda: 0) == (3, "")
    assert len(got) == 3
    assert len(book.outbox.take_due(1 << 60, 9, "bad")) == 3


@pytest.mark.slow
def test_mistakes_do_not_repeat_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "nonsense://secret-token")
    with pytest.raises(UserError, match="apprise") as caught:
        receivers_of(config(Notify(url_env="HOOK")), tmp_path / "fleet.toml")
    assert "secret-token" not in str(caught.value)


@pytest.mark.parametrize(
    ("notify", "told"),
    [
        ((Notify(),), "give one of"),
        ((Notify(url_env="A", url_file="b"),), "give one of"),
        ((Notify(url_env="A"), Notify(url_env="A")), "another table"),
        ((Notify(url_env="TENHERTZ_NOT_SET"),), "not set in the environment"),
        ((Notify(url_file="nowhere"),), "cannot be read"),
    ],
)
def test_mistakes_are_told(notify: tuple[Notify, ...], told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        receivers_of(config(*notify), tmp_path / "fleet.toml")


def test_names_hold_no_address() -> None:
    table = Notify(url_env="HOOK", levels=("emergency",))
    assert names_of(config(table)) == {"url_env HOOK": ("emergency",)}


@pytest.mark.slow
def test_the_process_sends_and_ends_on_sigterm(tmp_path: Path, hook: Hook) -> None:
    fleet = tmp_path / "fleet.toml"
    fleet.write_text(
        '[fleet]\nname = "f"\ndata_dir = "."\n[[source]]\nmatch = "*"\n'
        '[[notify]]\nurl_env = "HOOK"\n'
    )
    hook.statuses = [500]
    book = AlertBook(tmp_path / ALERTS_FILE)
    book.outbox.enlist({"url_env HOOK": ("critical",)})
    book.apply([raised("p1")], time.time_ns())
    process = subprocess.Popen(
        [sys.executable, "-m", "tenhertz.telemetry.notices", str(fleet)],
        env={**os.environ, "HOOK": hook.url},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until_s = time.monotonic() + 30
        while book.counts()["notices_waiting"] and time.monotonic() < until_s:
            threading.Event().wait(0.02)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, log
    assert [got["title"] for got in hook.got] == ["critical raised: site p1"]
    assert book.counts()["notices_failed"] == 1
    assert "could not be sent" in log
    assert "secret-token" not in log
    book.close()


def test_an_alert_can_be_written_as_json(book: AlertBook) -> None:
    (alert,) = book.apply([raised("p1")], 1)
    assert msgspec.json.decode(msgspec.json.encode(alert))["entity"] == "p1"
