"""A broker, and a site behind it that answers commands as a test tells it to."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tenhertz.link import topic
from tenhertz.link.schema_pb2 import Command, CommandResult, Downlink, Uplink
from tenhertz.link.signature import NotGenuine, parse_public, verify
from tenhertz.mqtt import Broker, Link

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """The port of a broker of its own; the test is skipped where there is none."""
    if MOSQUITTO is None:
        pytest.skip("Mosquitto is not installed")
    port = free_port()
    (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    with (folder / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen(
            [MOSQUITTO, "-c", str(folder / "mosquitto.conf")], stdout=log, stderr=log
        )
        try:
            until_s = time.monotonic() + 20
            while time.monotonic() < until_s and process.poll() is None:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
            yield port
        finally:
            process.terminate()
            process.wait(20)


class FakeSite:
    """Takes genuine commands for site-1 and answers as it is told."""

    def __init__(self, public: Callable[[], str], port: int) -> None:
        self._public = public
        self._port = port
        self.taken: list[Command] = []
        self.forged = 0
        self.answer: Callable[[Command], list[CommandResult]] = lambda _command: []
        self._link: Link | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        up = threading.Event()
        stop: list[Callable[[], object]] = []

        async def work() -> None:
            ended, loop = asyncio.Event(), asyncio.get_running_loop()
            stop.append(lambda: loop.call_soon_threadsafe(ended.set))
            self._link = Link(
                Broker(port=self._port),
                "fake-site",
                beside=Path(),
                subscriptions=[topic("nordic", "site-1", "down")],
                on_message=self._take,
                on_up=up.set,
            )
            await self._link.run(ended)

        thread = threading.Thread(target=lambda: asyncio.run(work()))
        thread.start()
        try:
            assert up.wait(30)
            yield
        finally:
            stop[0]()
            thread.join()

    def _take(self, _topic: str, payload: bytes) -> None:
        trusted = {"fleet": parse_public(self._public())}
        try:
            command = verify(Downlink.FromString(payload).command, trusted)
        except NotGenuine:
            self.forged += 1
            return
        self.taken.append(command)
        assert self._link is not None
        for result in self.answer(command):
            up = Uplink(result=result).SerializeToString()
            assert self._link.publish(topic("nordic", "site-1", "up"), up)


def result(
    command: Command, *, accepted: bool = True, text: str = "", key: str = "fleet", later: int = 0
) -> CommandResult:
    return CommandResult(
        version=2,
        source=command.source,
        key=key,
        sequence=command.sequence + later,
        accepted=accepted,
        text=text,
        at_ns=1,
    )
