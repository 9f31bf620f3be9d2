"""Our connection and a real broker: certificates, wills, and brokers that come and go."""

from __future__ import annotations

import asyncio
import getpass
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import trustme
from tests.telemetry.server import free_port

from tenhertz.errors import UserError
from tenhertz.mqtt import Broker, Link, Will

pytestmark = [pytest.mark.interop, pytest.mark.slow]
PATIENCE_S = 20.0


class Mosquitto:
    """A broker that can be killed and started again on its port."""

    def __init__(self, folder: Path, lines: str) -> None:
        self.port = free_port()
        self._conf = folder / "mosquitto.conf"
        # It would become another user, who may not read the keys in this folder.
        lines += f"user {getpass.getuser()}\n"
        self._conf.write_text(f"listener {self.port} 127.0.0.1\n{lines}")
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self._process = subprocess.Popen([program, "-c", self._conf], stderr=subprocess.DEVNULL)
        await until(self._listens)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


async def until(holds) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.02)


@pytest.fixture
def plain(tmp_path: Path):
    made = Mosquitto(tmp_path, "allow_anonymous true\n")
    yield made
    made.kill()


@pytest.fixture
def secure(tmp_path: Path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name in ("localhost", "site"):
        issued = authority.issue_cert(name)
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(tmp_path / f"{name}.pem", append=number > 0)
    made = Mosquitto(
        tmp_path,
        f"cafile {tmp_path}/ca.pem\ncertfile {tmp_path}/localhost.pem\n"
        f"keyfile {tmp_path}/localhost.key\nrequire_certificate true\n"
        "allow_anonymous true\n",
    )
    yield made
    made.kill()


class Talk:
    """A link with what it heard."""

    def __init__(self, broker: Broker, beside: Path, name: str, **more) -> None:
        self.heard: list[bytes] = []
        self.downs: list[str] = []
        self.ups = 0
        self.stop = asyncio.Event()
        self.link = Link(
            broker,
            name,
            beside=beside,
            subscriptions=["t/#"],
            on_message=lambda _topic, payload: self.heard.append(payload),
            on_up=self._up,
            on_down=self.downs.append,
            jitter=lambda: 0.0,
            **more,
        )
        self.task = asyncio.ensure_future(self.link.run(self.stop))

    def _up(self) -> None:
        self.ups += 1

    async def end(self) -> None:
        self.stop.set()
        await self.task


def test_a_client_certificate_opens_a_broker_with_tls(secure: Mosquitto, tmp_path: Path) -> None:
    async def talk() -> None:
        await secure.start()
        broker = Broker("localhost", secure.port, "ca.pem", "site.pem", "site.key", tls=True)
        one = Talk(broker, tmp_path, "one")
        await until(lambda: one.link.up)
        await until(lambda: one.link.publish("t/1", b"hello") and one.heard)
        assert one.heard[0] == b"hello"
        await one.end()
        stranger = Talk(Broker("localhost", secure.port, "ca.pem", tls=True), tmp_path, "two")
        await until(lambda: stranger.downs)
        assert not stranger.heard
        await stranger.end()

    asyncio.run(talk())


def test_a_broker_of_another_authority_is_not_believed(secure: Mosquitto, tmp_path: Path) -> None:
    async def talk() -> None:
        await secure.start()
        trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
        broker = Broker("localhost", secure.port, "other.pem", "site.pem", "site.key", tls=True)
        one = Talk(broker, tmp_path, "one")
        await until(lambda: one.downs)
        assert "certificate verify failed" in one.downs[0]
        assert one.ups == 0
        await one.end()

    asyncio.run(talk())


def test_a_broker_that_is_killed_is_found_again(plain: Mosquitto, tmp_path: Path) -> None:
    async def talk() -> None:
        await plain.start()
        one = Talk(Broker("127.0.0.1", plain.port), tmp_path, "one")
        await until(lambda: one.link.up)
        plain.kill()
        await until(lambda: not one.link.up)
        assert not one.link.publish("t/1", b"lost")
        assert one.link.refused == 1
        await plain.start()
        await until(lambda: one.ups == 2)
        await until(lambda: one.link.publish("t/1", b"again") and one.heard)
        assert set(one.heard) == {b"again"}
        await one.end()

    asyncio.run(talk())


def test_the_broker_says_the_will_of_who_goes_without_a_word(
    plain: Mosquitto, tmp_path: Path
) -> None:
    async def talk() -> None:
        await plain.start()
        broker = Broker("127.0.0.1", plain.port)
        one = Talk(broker, tmp_path, "one")
        other = Talk(broker, tmp_path, "other", will=lambda: Will("t/will", b"gone"))
        await until(lambda: one.link.up and other.link.up)
        assert other.link._transport is not None
        other.link._transport.abort()
        await until(lambda: b"gone" in one.heard)
        await other.end()
        await one.end()

    asyncio.run(talk())


@pytest.mark.parametrize("files", [("no.pem", "", ""), ("", "no.pem", "no.key")])
def test_files_that_are_not_there_are_one_sentence(tmp_path: Path, files) -> None:
    async def talk() -> None:
        one = Talk(Broker("example.org", 1, *files), tmp_path, "one")
        with pytest.raises(UserError, match=r"TLS files no\.pem.*cannot be used"):
            await one.task

    asyncio.run(talk())
