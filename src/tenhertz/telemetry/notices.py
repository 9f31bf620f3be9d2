"""The notices process: sends what waits in the outbox to whoever is to hear of alerts.

Each receiver has a thread and notices of its own, so a slow one holds nobody up. What is sent may
arrive twice after a crash, and is never lost by one. Addresses hold secrets: they are in no log
and no message. Started by the server as

    python -m tenhertz.telemetry.notices fleet.toml
"""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import structlog

from tenhertz.errors import UserError
from tenhertz.lock import held
from tenhertz.log import set_up_log
from tenhertz.supervise import die_with_parent, say_ready
from tenhertz.telemetry.alerts import ALERTS_FILE, AlertBook
from tenhertz.telemetry.config import FleetConfig, Notify, data_dir, load_fleet
from tenhertz.telemetry.outbox import Notice, Outbox

PREDECESSOR_S = 10.0
_POLL_S = 0.5
_AT_ONCE = 50
_END_S = 5.0

# Sends a notice; returns why it failed, or nothing.
Send = Callable[[Notice], str]


class Receiver(NamedTuple):
    """Who hears of alerts."""

    name: str
    levels: tuple[str, ...]
    send: Send


def names_of(config: FleetConfig) -> dict[str, tuple[str, ...]]:
    """The receivers' names with their levels, for `Outbox.enlist`; reads no address.

    Raises:
        UserError: a table names no address, two, or that of another table.
    """
    names: dict[str, tuple[str, ...]] = {}
    for number, notify in enumerate(config.notify, 1):
        if bool(notify.url_env) == bool(notify.url_file):
            raise UserError(f"[[notify]] number {number}: give one of url_env and url_file")
        if _name(notify) in names:
            raise UserError(
                f"[[notify]] number {number}: {_name(notify)} stands in another table already; "
                "put the levels into one"
            )
        names[_name(notify)] = tuple(notify.levels)
    return names


def receivers_of(config: FleetConfig, path: Path) -> list[Receiver]:
    """The receivers of a configuration, the file `path`.

    Raises:
        UserError: as `names_of`; an address that is not set, or that apprise does not know.
    """
    names_of(config)
    return [
        Receiver(_name(notify), tuple(notify.levels), apprise_send(_url(notify, path), where))
        for notify in config.notify
        for where in [f"{path}: [[notify]] {_name(notify)}"]
    ]


def apprise_send(url: str, where: str) -> Send:
    """A function that sends to an address as apprise writes them.

    Raises:
        UserError: apprise does not know such an address; the sentence does not repeat it.
    """
    from apprise import Apprise, NotifyType  # takes long to load, and only this process needs it

    # Its log lines may hold parts of the address.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    target = Apprise()
    if not target.add(url):
        raise UserError(f"{where}: this is no address that apprise knows, such as mailto://...")
    kinds = {"warning": NotifyType.WARNING}

    def send(notice: Notice) -> str:
        kind = kinds.get(notice.level, NotifyType.FAILURE)
        try:
            arrived = target.notify(body=notice.body, title=notice.title, notify_type=kind)
        except Exception as error:  # a plug-in may raise anything; it is tried again
            return type(error).__name__  # its text may hold the address
        return "" if arrived else "the receiver did not take it"

    return send


def deliver(outbox: Outbox, receiver: Receiver, clock_ns: Callable[[], int]) -> tuple[int, str]:
    """Send what is due for a receiver, up to the first failure.

    Returns how many arrived, and why one did not, or nothing.
    """
    arrived = 0
    for notice in outbox.take_due(clock_ns(), _AT_ONCE, receiver.name):
        cause = receiver.send(notice)
        if cause:
            outbox.failed(notice.id, clock_ns(), cause)
            return arrived, cause
        outbox.sent(notice.id)
        arrived += 1
    return arrived, ""


def serve(path: Path, receiver: Receiver, end: threading.Event) -> None:
    """Send to one receiver until `end` is set; `path` is the file of the alert book."""
    log = structlog.get_logger().bind(receiver=receiver.name)
    book = AlertBook(path)
    trouble = ""
    while not end.is_set():
        try:
            arrived, cause = deliver(book.outbox, receiver, time.time_ns)
        except sqlite3.Error as error:
            arrived, cause = 0, f"the alert book: {error}"
        if cause and cause != trouble:
            log.warning("a notice could not be sent; it is tried again", cause=cause)
        elif arrived and trouble:
            log.info("notices arrive again")
        if cause or arrived:
            trouble = cause
        if cause or not arrived:
            end.wait(_POLL_S)
    book.close()


def _name(notify: Notify) -> str:
    return f"url_env {notify.url_env}" if notify.url_env else f"url_file {notify.url_file}"


def _url(notify: Notify, path: Path) -> str:
    if notify.url_file:
        file = path.parent / notify.url_file
        try:
            url = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: [[notify]] url_file {file} cannot be read") from error
        missing = f"url_file {file} is empty; write the address into it"
    else:
        url = os.environ.get(notify.url_env, "")
        missing = f"{notify.url_env} is not set in the environment; set it to the address"
    if not url:
        raise UserError(f"{path}: [[notify]] {missing}")
    return url


def main(argv: list[str]) -> int:
    """Run the notices process of the fleet server in `argv[1]`."""
    set_up_log()
    path = Path(argv[1])
    config = load_fleet(path)
    folder = data_dir(config, path)
    receivers = receivers_of(config, path)
    end = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        end.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its children in order
    die_with_parent()
    file = folder / ALERTS_FILE
    crashed: list[str] = []

    def run(receiver: Receiver) -> None:
        try:
            serve(file, receiver, end)
        except BaseException:
            crashed.append(receiver.name)
            end.set()  # the process ends, and its supervisor starts it again
            raise

    with held(folder / "notices.lock", "the notices process", PREDECESSOR_S):
        book = AlertBook(file)
        book.outbox.enlist(names_of(config))
        book.close()
        # Daemons: a receiver that hangs must not keep this process; what it has is tried again.
        threads = [
            threading.Thread(target=run, args=(each,), name=each.name, daemon=True)
            for each in receivers
        ]
        for thread in threads:
            thread.start()
        say_ready()
        end.wait()
        until_s = time.monotonic() + _END_S
        for thread in threads:
            thread.join(max(0.0, until_s - time.monotonic()))
    return 1 if crashed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
