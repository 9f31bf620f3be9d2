"""HTTP and WebSocket: pages for everybody, the stream for those with the token of their source."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tenhertz.errors import UserError
from tenhertz.link.decode import LARGEST_MESSAGE_BYTES
from tenhertz.store.spool import SpoolWriter
from tenhertz.telemetry.books import Books
from tenhertz.telemetry.config import Fleet, FleetConfig, Listen, Source
from tenhertz.telemetry.intake import Intake
from tenhertz.telemetry.reception import Reception, snapshot_of
from tenhertz.telemetry.web import Web, allowed, server_tls

from .messages import NOW_NS, birth, held, samples, told

TOKEN = "secret"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
CONFIG = FleetConfig(
    Fleet("test"),
    (Source("site-*", token_sha256=DIGEST.upper()), Source("open")),
    http=Listen("127.0.0.1:0"),
)
PATIENCE_S = 20


@pytest.mark.parametrize(
    ("source", "header", "wanted"),
    [
        ("site-1", f"Bearer {TOKEN}", True),
        ("site-1", "Bearer wrong", False),
        ("site-1", "Bearer ", False),
        ("site-1", "", False),
        ("site-1", f"Bearer {DIGEST}", False),
        ("open", "", False),  # a source without a token is refused, not let in
        ("open", "Bearer " + "-" * 64, False),
        ("intruder", f"Bearer {TOKEN}", False),
        ("", f"Bearer {TOKEN}", False),
    ],
)
def test_only_the_token_of_a_source_lets_it_in(source: str, header: str, wanted: bool) -> None:
    assert allowed(CONFIG, source, header) is wanted


Talk = Callable[[str, Reception], Awaitable[None]]


def serve(folder: Path, talk: Talk) -> None:
    """Run a server for the length of a talk with it."""

    async def run() -> None:
        spool = SpoolWriter(folder / "spool", largest_bytes=1 << 24)
        books = Books()
        spool.start(snapshot_of(books), 1)
        reception = Reception(
            Intake(books, lambda source: CONFIG.source_of(source) is not None),
            spool,
            "server-1",
            on_frame=lambda _frame, _at_ns: None,
            on_result=lambda _result: None,
            now_ns=lambda: NOW_NS,
        )
        web = Web(CONFIG, reception, {"/live": lambda: (200, "text/plain", "alive\n")})
        host, port = await web.start(folder)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await talk(f"{host}:{port}", reception)
        finally:
            await web.stop()
            reception.close()

    asyncio.run(run())


def stream(address: str, source: str = "site-1", token: str = TOKEN) -> connect:
    return connect(
        f"ws://{address}/ingest?source={source}",
        additional_headers={"Authorization": f"Bearer {token}"},
        compression=None,
    )


async def get(address: str, path: str) -> bytes:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    found = await reader.read()
    writer.close()
    await writer.wait_closed()
    return found


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.001)


async def spoken(connection: ClientConnection, reception: Reception, *messages: bytes) -> None:
    """Send messages and wait until they are taken."""
    before = reception.intake.counts.messages
    for message in messages:
        await connection.send(message)
    await until(lambda: reception.intake.counts.messages == before + len(messages))


def test_pages_are_for_everybody_and_others_are_not_there(tmp_path: Path) -> None:
    async def talk(address: str, _reception: Reception) -> None:
        page = await get(address, "/live?x=1")
        assert page.startswith(b"HTTP/1.1 200 ")
        assert page.endswith(b"\r\n\r\nalive\n")
        assert (await get(address, "/nothing")).startswith(b"HTTP/1.1 404 ")
        assert (await get(address, "/ingest?source=site-1")).split()[1] in (b"401", b"426")
        assert b" 200 " not in (await get(address, "//[")).split(b"\r\n")[0]
        assert (await get(address, "/live")).endswith(b"alive\n")

    serve(tmp_path, talk)


def test_batches_are_taken_and_acknowledged_on_the_same_connection(tmp_path: Path) -> None:
    async def talk(address: str, reception: Reception) -> None:
        async with stream(address) as connection:
            await spoken(connection, reception, birth(), samples(1, 11))
            await reception.flush()
            assert held(bytes(await connection.recv(decode=False))) == [1, 11]
            assert reception.intake.sessions == 1
        await until(lambda: reception.intake.sessions == 0)
        assert not reception.tell("site-1", b"x")

    serve(tmp_path, talk)


def test_without_the_right_token_there_is_no_stream(tmp_path: Path) -> None:
    async def talk(address: str, reception: Reception) -> None:
        for source, token in (("site-1", "wrong"), ("intruder", TOKEN), ("open", ""), ("", "")):
            with pytest.raises(InvalidStatus, match="401"):
                async with stream(address, source, token):
                    pass
        assert reception.intake.counts.messages == 0

    serve(tmp_path, talk)


def test_a_source_speaks_for_itself_alone_and_a_text_is_no_message(tmp_path: Path) -> None:
    async def talk(address: str, reception: Reception) -> None:
        counts = reception.intake.counts
        async with stream(address) as connection:
            await connection.send("text")
            await spoken(connection, reception, birth("site-2"), samples(1, 11))
            assert told(bytes(await connection.recv(decode=False))) == "rebirth"
        assert counts.malformed == {"text frame": 1, "speaks for another source": 1}
        assert reception.intake.sessions == 0

    serve(tmp_path, talk)


def test_a_message_beyond_the_bound_ends_its_connection_and_no_other(tmp_path: Path) -> None:
    async def talk(address: str, reception: Reception) -> None:
        host, port = address.split(":")
        async with stream(address, "site-2") as good:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                f"GET /ingest?source=site-1 HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
            )
            await reader.readuntil(b"\r\n\r\n")
            # The head of a binary frame, masked, that says how long it will be: no byte follows.
            writer.write(b"\x82\xff" + (LARGEST_MESSAGE_BYTES + 1).to_bytes(8, "big") + bytes(4))
            farewell = await reader.read()
            assert farewell[0] == 0x88  # close
            assert int.from_bytes(farewell[2:4], "big") == 1009  # too big; RFC 6455, 7.4.1
            writer.close()
            await spoken(good, reception, birth("site-2"))
        assert reception.intake.counts.births == 1

    serve(tmp_path, talk)


def test_who_comes_back_on_a_new_connection_keeps_its_session(tmp_path: Path) -> None:
    async def talk(address: str, reception: Reception) -> None:
        async with stream(address) as newer:
            async with stream(address) as older:
                await spoken(older, reception, birth())
                await spoken(newer, reception, birth(session=2))
            await spoken(newer, reception, samples(1, 11))
            await reception.flush()
            assert held(bytes(await newer.recv(decode=False))) == [1, 11]
            assert reception.intake.sessions == 1

    serve(tmp_path, talk)


def test_files_of_tls_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"c\.pem, k\.pem"):
        server_tls(Listen("0.0.0.0:1", cert_file="c.pem", key_file="k.pem"), tmp_path)
    assert server_tls(Listen("127.0.0.1:1"), tmp_path) is None
