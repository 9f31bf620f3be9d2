"""A whole fleet server with a real broker, and everything killed in turn: no sample lost or double.

What was measured is 1, 2, 3 ... at each source; the store's reader must give exactly that.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from tests.telemetry.messages import birth, samples
from tests.telemetry.server import FleetServer, free_port, until
from tests.telemetry.sources import (
    Broken,
    GrpcChannel,
    MqttChannel,
    Streaming,
    WebSocketChannel,
)

from tenhertz.link import topic

pytestmark = [pytest.mark.interop, pytest.mark.slow]


class Mosquitto:
    """A broker on a port of its own."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if not (found and shutil.which("mosquitto_pub") and shutil.which("mosquitto_sub")):
            pytest.skip("mosquitto and its clients are not here; run: sh scripts/interop-setup")
        self._program = found
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            "log_type none\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: self.publish("nothing", b"x"), "a broker")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def publish(self, name: str, payload: bytes) -> bool:
        command = ["mosquitto_pub", "-p", str(self.port), "-V", "5", "-q", "1", "-t", name, "-s"]
        return not subprocess.run(command, input=payload, capture_output=True).returncode


class World:
    """A broker, a server, and sources on all channels."""

    def __init__(self, folder: Path) -> None:
        self.broker = Mosquitto(folder)
        self.broker.start()
        self.server = FleetServer(folder, self.broker.port)
        self.server.start()
        self.sources: list[Streaming] = []

    def stream(self) -> None:
        """A source on each channel, all of them heard."""

        def address(what: str) -> str:
            try:
                return self.server.address(what)
            except (OSError, ValueError):
                raise Broken("nobody listens") from None

        self.sources = [
            Streaming("site-mqtt", lambda name: MqttChannel(self.broker.port, "test", name)),
            Streaming("site-web", lambda name: WebSocketChannel(address("http"), name)),
            Streaming("site-grpc", lambda name: GrpcChannel(address("grpc"), name)),
        ]
        self.all_go_on()

    def all_go_on(self) -> None:
        """Wait until each source has heard of more rows than before."""
        before = {source.name: source.acknowledged for source in self.sources}
        for source in self.sources:
            until(
                partial(source.has_more_than, before[source.name] + 200), f"{source.name} goes on"
            )

    def exactly(self) -> None:
        """Finish; then what is stored is what was measured."""
        for source in self.sources:
            source.finish()
        for source in self.sources:
            wanted = list(range(1, source.head))
            until(partial(self._has_stored, source), f"the rows of {source.name}")
            assert self.server.stored(source.name) == wanted
        assert "Traceback" not in self.server.log

    def _has_stored(self, source: Streaming) -> bool:
        return len(self.server.stored(source.name)) >= source.head - 1

    def close(self) -> None:
        for source in self.sources:
            source.give_up()
        self.server.close()
        self.broker.kill()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_ingest_and_writer_killed_in_mid_stream_lose_nothing_and_double_nothing(
    world: World,
) -> None:
    world.stream()
    for name in ("ingest", "writer", "ingest"):
        world.server.kill(name)
        world.all_go_on()
    world.exactly()
    assert world.server.stop() == 0


def test_the_parent_and_the_broker_killed_in_mid_stream_lose_nothing_and_double_nothing(
    world: World,
) -> None:
    world.stream()
    world.server.kill_all_at_once()
    world.server.start()
    world.all_go_on()
    world.broker.kill()
    until(lambda: world.server.page("/ready") == b"", "a server that misses its broker")
    world.broker.start()
    world.all_go_on()
    until(lambda: world.server.page("/ready") == b"ready\n", "a server that is ready")
    world.exactly()


def test_hostile_messages_are_counted_and_stop_nothing(world: World) -> None:
    server = world.server
    pid = server.pid_of("ingest")
    up = topic("test", "site-1", "up")
    hostile = [
        b"\xff" * 1000,
        b"{}",
        samples(1, 11, "site-2"),  # in another's name
        samples(1, 11, "site-1", version=3),
        birth("site-1", entities=("a", "a")),
        birth("site-1", heads={1: 2**64 - 1}),
        bytes(5 << 20),
    ]
    for payload in hostile:
        assert world.broker.publish(up, payload)
    assert world.broker.publish("tenhertz/1/test/x/site-1/up", b"y")
    assert world.broker.publish(topic("test", "intruder", "up"), birth("intruder"))
    malformed = {
        "not a message": 2,
        "speaks for another source": 1,
        "version": 1,
        "name twice in dictionary": 1,
        "sequence": 1,
        "too large": 1,
        "topic": 1,
        "unknown source": 1,
    }
    until(lambda: server.status().get("malformed") == malformed, "all of it counted")
    assert server.status()["rows"] == 0

    for bad_token in ("", "wrong", " "):
        with pytest.raises(Broken, match="401"):
            WebSocketChannel(server.address("http"), "site-1", bad_token)
        refused = GrpcChannel(server.address("grpc"), "site-1", bad_token)
        until(lambda channel=refused: channel.code, "an answer")
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED
        refused.close()
    with pytest.raises(Broken, match="401"):
        WebSocketChannel(server.address("http"), "intruder")

    web = WebSocketChannel(server.address("http"), "site-1")
    web.connection.send("text")
    web.send(b"\xff")
    malformed |= {"text frame": 1, "not a message": 3}
    until(lambda: server.status().get("malformed") == malformed, "those of the WebSocket counted")
    web.close()
    world.stream()
    world.exactly()
    assert server.pid_of("ingest") == pid
