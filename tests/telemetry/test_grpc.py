"""The gRPC stream: batches are taken and acknowledged; without the token nobody gets in."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from tenhertz.store.spool import SpoolWriter
from tenhertz.telemetry.books import Books
from tenhertz.telemetry.config import Fleet, FleetConfig, Listen, Source
from tenhertz.telemetry.grpc_stream import METHOD, SERVICE, GrpcStream
from tenhertz.telemetry.intake import Intake
from tenhertz.telemetry.reception import Reception, snapshot_of

from .messages import NOW_NS, birth, held, samples

TOKEN = "secret"
LISTEN = Listen("127.0.0.1:0")
CONFIG = FleetConfig(
    Fleet("test"),
    (Source("site-*", token_sha256=hashlib.sha256(TOKEN.encode()).hexdigest()),),
    grpc=LISTEN,
)
PATIENCE_S = 20
Talk = Callable[[Any, Reception], Awaitable[None]]

pytestmark = pytest.mark.slow


def serve(folder: Path, talk: Talk) -> None:
    """Run a server for the length of a talk with it."""

    async def run() -> None:
        spool = SpoolWriter(folder / "spool", largest_bytes=1 << 24)
        books = Books()
        spool.start(snapshot_of(books), 1)
        reception = Reception(
            Intake(books, lambda _source: True),
            spool,
            "server-1",
            on_frame=lambda _frame, _at_ns: None,
            on_result=lambda _result: None,
            now_ns=lambda: NOW_NS,
        )
        stream = GrpcStream(CONFIG, LISTEN, reception)
        host, port = await stream.start(folder)
        try:
            async with (
                asyncio.timeout(PATIENCE_S),
                grpc.aio.insecure_channel(f"{host}:{port}") as channel,
            ):
                await talk(channel.stream_stream(f"/{SERVICE}/{METHOD}"), reception)
        finally:
            await stream.stop()
            reception.close()

    asyncio.run(run())


def who(source: str = "site-1", token: str = TOKEN) -> tuple[tuple[str, str], ...]:
    return (("source", source), ("authorization", f"Bearer {token}"))


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.001)


def test_batches_are_taken_and_acknowledged_on_the_same_stream(tmp_path: Path) -> None:
    async def talk(open_stream: Any, reception: Reception) -> None:
        call = open_stream(metadata=who())
        await call.write(birth())
        await call.write(samples(1, 11))
        await until(lambda: reception.intake.counts.messages == 2)
        await reception.flush()
        assert held(await call.read()) == [1, 11]
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        await until(lambda: reception.intake.sessions == 0)

    serve(tmp_path, talk)


def test_without_the_right_token_there_is_no_stream(tmp_path: Path) -> None:
    async def talk(open_stream: Any, reception: Reception) -> None:
        for metadata in (who(token="wrong"), who(source="intruder"), ()):
            call = open_stream(metadata=metadata)
            assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
        assert reception.intake.counts.messages == 0

    serve(tmp_path, talk)


def test_a_source_speaks_for_itself_alone(tmp_path: Path) -> None:
    async def talk(open_stream: Any, reception: Reception) -> None:
        call = open_stream(metadata=who())
        await call.write(birth("site-2"))
        await call.write(b"\xff")
        await until(lambda: reception.intake.counts.messages == 2)
        assert reception.intake.counts.malformed == {
            "speaks for another source": 1,
            "not a message": 1,
        }
        call.cancel()

    serve(tmp_path, talk)


def test_a_stream_that_is_cut_off_is_forgotten(tmp_path: Path) -> None:
    async def talk(open_stream: Any, reception: Reception) -> None:
        call = open_stream(metadata=who())
        await call.write(birth())
        await until(lambda: reception.intake.sessions == 1)
        call.cancel()
        await until(lambda: reception.intake.sessions == 0)
        assert not reception.tell("site-1", b"x")

    serve(tmp_path, talk)
