"""A connection to an MQTT 5 broker that comes back by itself and holds nothing back.

A thin shell around gmqtt. Every connection is a fresh client and a clean session: what was under
way when a connection broke is not repeated here, because both ends of the link account for it
themselves. Publishing never waits: it says no when the connection is down or its buffer is full.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import random
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import gmqtt
import msgspec
from gmqtt.mqtt.handler import MQTTConnectError

from tenhertz.errors import UserError

_KEEPALIVE_S = 20
_CONNECT_TIMEOUT_S = 15.0
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 3.0, 5.0)
_NEVER_BY_ITSELF = -2  # gmqtt reconnects on its own for -1 and for any count that is not used up


class Broker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the broker is and how to get in. TLS is used unless the host is this machine."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 0  # default: 8883, without TLS 1883
    ca_file: str = ""  # default: the certificates that the system trusts
    cert_file: str = ""  # of this client
    key_file: str = ""
    username: str = ""
    password_file: str = ""
    tls: bool | None = None  # default: on, except to this machine itself

    @property
    def secure(self) -> bool:
        """Whether TLS is used."""
        return not is_loopback(self.host) if self.tls is None else self.tls


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Will(NamedTuple):
    """What the broker says for us when we are gone without a word."""

    topic: str
    payload: bytes


class Link:
    """One connection after the other."""

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        *,
        beside: Path,
        subscriptions: Sequence[str],
        on_message: Callable[[str, bytes], None],
        on_up: Callable[[], None] | None = None,
        on_down: Callable[[str], None] | None = None,
        will: Callable[[], Will | None] | None = None,
        largest_buffer_bytes: int = 4 << 20,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`beside`: the folder of the broker's files. `will` is asked before each connection."""
        self._broker = broker
        self._client_id = client_id
        self._beside = beside
        self._subscriptions = subscriptions
        self._on_message = on_message
        self._on_up = on_up
        self._on_down = on_down
        self._will = will
        self._largest_buffer_bytes = largest_buffer_bytes
        self._jitter = jitter
        self._client: Any = None  # gmqtt has no types
        self._transport: asyncio.Transport | None = None
        self._lost = asyncio.Event()
        self.refused = 0  # publishes that could not be taken

    @property
    def up(self) -> bool:
        """Whether there is a connection now."""
        return self._client is not None

    @property
    def buffered_bytes(self) -> int:
        """What waits to go out."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def publish(self, topic: str, payload: bytes, *, qos: int = 1) -> bool:
        """Send a message; False, counted, where that is not possible now."""
        if self._client is None or self.buffered_bytes > self._largest_buffer_bytes:
            self.refused += 1
            return False
        try:
            self._client.publish(topic, payload, qos=qos)
        except OverflowError:  # the broker has not confirmed as many as it allows
            self.refused += 1
            return False
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Keep a connection until told to stop.

        Raises:
            UserError: a file of certificates or the password cannot be used.
        """
        # It tells of every lost connection in its own words; here that is told once, in ours.
        logging.getLogger("gmqtt").setLevel(logging.CRITICAL)
        context = tls_context(self._broker, self._beside)
        failures = 0
        told = ""
        stopped = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                trouble = await self._once(context, stopped)
                if trouble is None:
                    failures, told = 0, ""
                    continue
                if trouble != told and self._on_down is not None:
                    self._on_down(trouble)
                told = trouble
                pause_s = _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)]
                failures += 1
                await asyncio.wait([stopped], timeout=pause_s * (0.5 + self._jitter()))
        finally:
            stopped.cancel()

    async def _once(
        self, context: ssl.SSLContext | None, stopped: asyncio.Future[Any]
    ) -> str | None:
        """One connection from begin to end; why it could not be made, or None if it was."""
        said = self._will() if self._will is not None else None
        will = gmqtt.Message(said.topic, said.payload, qos=1) if said is not None else None
        client: Any = gmqtt.Client(self._client_id, clean_session=True, will_message=will)
        client.set_config({"reconnect_retries": _NEVER_BY_ITSELF, "reconnect_delay": 0})
        self._lost = lost = asyncio.Event()
        client.on_message = self._received
        client.on_disconnect = lambda _client, _packet, _error=None: lost.set()
        if self._broker.username:
            client.set_auth_credentials(self._broker.username, self._password())
        try:
            await self._connect(client, context, lost)
        except (OSError, TimeoutError, MQTTConnectError, asyncio.IncompleteReadError) as error:
            await self._end(client)
            return f"no connection to {self._broker.host}: {_words(error)}"
        for topic in self._subscriptions:
            client.subscribe(topic, qos=1)
        self._client = client
        self._transport = client._connection._transport  # noqa: SLF001 - it has no public way
        if self._on_up is not None:
            self._on_up()
        waiting = asyncio.ensure_future(lost.wait())
        await asyncio.wait([waiting, stopped], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        broke = lost.is_set() and not stopped.done()
        self._client = self._transport = None
        await self._end(client)
        if broke and self._on_down is not None:
            self._on_down("the connection broke")
        return None

    async def _connect(
        self, client: Any, context: ssl.SSLContext | None, lost: asyncio.Event
    ) -> None:
        """Connect; a connection that breaks before the broker has answered fails at once.

        The library waits for that answer also when the connection is gone.
        """
        connecting = asyncio.ensure_future(
            client.connect(
                self._broker.host,
                self._broker.port or (8883 if context else 1883),
                ssl=context or False,
                keepalive=_KEEPALIVE_S,
            )
        )
        broken = asyncio.ensure_future(lost.wait())
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await asyncio.wait([connecting, broken], return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                raise ConnectionResetError(errno.ECONNRESET, "the connection broke")
            await connecting
        finally:
            connecting.cancel()
            broken.cancel()

    @staticmethod
    async def _end(client: Any) -> None:
        """Say good-bye, but not for ever."""
        try:
            async with asyncio.timeout(1.0):
                await client.disconnect()
        except (OSError, TimeoutError, AttributeError):
            return

    def _received(
        self, _client: gmqtt.Client, topic: str, payload: bytes, _qos: int, _properties: object
    ) -> int:
        self._on_message(topic, payload)
        return 0

    def _password(self) -> str:
        if not self._broker.password_file:
            return ""
        path = self._beside / self._broker.password_file
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UserError(f"{path}: the password cannot be read: {error.strerror}") from error


def tls_context(broker: Broker, beside: Path) -> ssl.SSLContext | None:
    """What TLS needs; None where it is not used.

    Raises:
        UserError: a file cannot be used.
    """
    if not broker.secure:
        return None
    ca = str(beside / broker.ca_file) if broker.ca_file else None
    try:
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if broker.cert_file:
            key = str(beside / broker.key_file) if broker.key_file else None
            context.load_cert_chain(str(beside / broker.cert_file), key)
    except (OSError, ssl.SSLError) as error:
        names = ", ".join(filter(None, (broker.ca_file, broker.cert_file, broker.key_file)))
        raise UserError(f"the TLS files {names} cannot be used: {_words(error)}") from error
    return context


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, MQTTConnectError):
        return str(error.message)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
