"""Sources that send over a real channel until all they measured is acknowledged.

Foreign on purpose: Mosquitto's own clients for MQTT, plain gRPC and WebSocket clients.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import grpc
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tenhertz.link import Intervals, topic
from tenhertz.telemetry.grpc_stream import METHOD, SERVICE

from .messages import birth, held, samples, told
from .server import PATIENCE_S, TOKEN

ROWS = 50  # a batch
MOST_UNTOLD = 6  # batches under way
_DAY_NS = 86_400 * 10**9
_PATIENCE_TURNS = 40


class Broken(Exception):  # noqa: N818 - as Python's own words go
    """The channel is no more."""


class Channel(Protocol):
    """Carries messages up; answers arrive in `answers`."""

    answers: queue.Queue[bytes]

    def send(self, message: bytes) -> None: ...

    def close(self) -> None: ...


class WebSocketChannel:
    def __init__(self, address: str, source: str, token: str = TOKEN) -> None:
        self.answers: queue.Queue[bytes] = queue.Queue()
        self._open = contextlib.ExitStack()
        try:
            self.connection = self._open.enter_context(
                connect(
                    f"ws://{address}/ingest?source={source}",
                    additional_headers={"Authorization": f"Bearer {token}"},
                    open_timeout=5,
                    close_timeout=1,
                    compression=None,
                )
            )
        except (OSError, WebSocketException) as error:
            raise Broken(str(error)) from error
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        try:
            for message in self.connection:
                assert isinstance(message, bytes)
                self.answers.put(message)
        except WebSocketException:
            return

    def send(self, message: bytes) -> None:
        try:
            self.connection.send(message)
        except WebSocketException as error:
            raise Broken(str(error)) from error

    def close(self) -> None:
        self._open.close()
        self._reading.join(PATIENCE_S)


class GrpcChannel:
    def __init__(self, address: str, source: str, token: str = TOKEN) -> None:
        self.answers: queue.Queue[bytes] = queue.Queue()
        self.code: grpc.StatusCode | None = None
        self._requests: queue.Queue[bytes | None] = queue.Queue()
        self._channel = grpc.insecure_channel(address)
        call = self._channel.stream_stream(f"/{SERVICE}/{METHOD}")
        self._call: Any = call(
            iter(self._requests.get, None),
            metadata=(("source", source), ("authorization", f"Bearer {token}")),
        )
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        try:
            for message in self._call:
                self.answers.put(message)
        except grpc.RpcError:
            pass
        self.code = self._call.code()

    def send(self, message: bytes) -> None:
        if self.code is not None:
            raise Broken(str(self.code))
        self._requests.put(message)

    def close(self) -> None:
        self._requests.put(None)
        self._call.cancel()
        self._reading.join(PATIENCE_S)
        self._channel.close()


class MqttChannel:
    """One `mosquitto_sub` for the answers, one `mosquitto_pub` a message."""

    def __init__(self, port: int, fleet: str, source: str) -> None:
        self.answers: queue.Queue[bytes] = queue.Queue()
        self._up = topic(fleet, source, "up")
        self._port = str(port)
        down = topic(fleet, source, "down")
        self._process = subprocess.Popen(
            ["mosquitto_sub", "-p", self._port, "-V", "5", "-q", "1", "-t", down, "-F", "%x"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.answers.put(bytes.fromhex(line.decode()))

    def send(self, message: bytes) -> None:
        if self._process.poll() is not None:
            raise Broken("the broker does not answer")
        command = ["mosquitto_pub", "-p", self._port, "-V", "5", "-q", "1", "-t", self._up, "-s"]
        done = subprocess.run(command, input=message, capture_output=True, timeout=PATIENCE_S)
        if done.returncode:
            raise Broken(done.stderr.decode())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reading.join(PATIENCE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Streaming:
    """A source that measures and sends without end, until it is told to finish.

    What is not acknowledged it sends again; what is, it forgets.
    """

    def __init__(self, name: str, open_channel: Callable[[str], Channel]) -> None:
        self.name = name
        self.head = 1
        self.settled = Intervals()
        self.sessions = 0
        self.failure: BaseException | None = None
        self._open_channel = open_channel
        # By the real clock: what is very old is not believed, and not kept.
        self._begin_ns = time.time_ns() - _DAY_NS
        self._finishing = threading.Event()
        self._given_up = False
        self._pause = threading.Event()  # never set: only its patience is used
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    # -- for the test -------------------------------------------------------------------------

    @property
    def acknowledged(self) -> int:
        """How many samples may be forgotten."""
        return self.settled.total

    def has_more_than(self, acknowledged: int) -> bool:
        """Whether it has heard of more than that; tells what went wrong in its thread."""
        assert self.failure is None, self.failure
        assert self._thread.is_alive(), f"{self.name} has ended"
        return self.acknowledged > acknowledged

    def give_up(self) -> None:
        """End, whatever is not acknowledged."""
        self._given_up = True
        self._thread.join(PATIENCE_S)

    def finish(self) -> None:
        """Measure no more; return when everything is acknowledged."""
        self._finishing.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), f"{self.name}: {self.settled} of {self.head - 1}"
        assert self.failure is None, self.failure
        assert self.settled.bounds == [1, self.head]

    # -- its thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._done:
            try:
                channel = self._open_channel(self.name)
            except Broken:
                self._pause.wait(0.05)
                continue
            try:
                self._speak(channel)
            except Broken:
                pass
            except BaseException as error:  # told by the test's own thread
                self.failure = error
                return
            finally:
                channel.close()

    @property
    def _done(self) -> bool:
        finished = self._finishing.is_set() and self.settled.covers(1, self.head)
        return finished or self._given_up

    def _speak(self, channel: Channel) -> None:
        """One session, until it breaks, nothing is heard for long, or all is done."""
        self.sessions += 1
        channel.send(birth(self.name, session=self.sessions, heads={1: self.head}))
        for first, end in self.settled.missing(1, self.head):
            for at in range(first, end, ROWS):
                channel.send(self._batch(at, min(at + ROWS, end)))
        silent = 0
        while not self._done and silent < _PATIENCE_TURNS:
            if not self._finishing.is_set() and self.head - self.acknowledged < MOST_UNTOLD * ROWS:
                first, self.head = self.head, self.head + ROWS
                channel.send(self._batch(first, self.head))
            silent = 0 if self._listen(channel) else silent + 1

    def _batch(self, first: int, end: int) -> bytes:
        return samples(first, end, self.name, head=self.head, begin_ns=self._begin_ns)

    def _listen(self, channel: Channel) -> bool:
        before = self.settled.total
        try:
            message = channel.answers.get(timeout=0.03)
            while True:
                if told(message) == "rebirth":
                    channel.send(birth(self.name, session=self.sessions))
                elif told(message) == "ack":
                    self.settled.add_all(Intervals.from_bounds(held(message)))
                message = channel.answers.get_nowait()
        except queue.Empty:
            return self.settled.total > before
