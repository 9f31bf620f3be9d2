"""HTTP and WebSocket on one port: health, metrics, status, and batches from gateways.

`/live` and `/ready` are for whoever runs the process, `/metrics` is for Prometheus, `/status` for
people and tools, `/ingest?source=NAME` takes a WebSocket whose binary frames are the messages of
schema.proto, both ways.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tenhertz.errors import UserError
from tenhertz.link.decode import LARGEST_MESSAGE_BYTES
from tenhertz.telemetry.config import FleetConfig, Listen, address
from tenhertz.telemetry.reception import Reception

_LARGEST_ANSWERS = 1 << 20  # bytes that wait for a client which does not read

Page = Callable[[], tuple[int, str, str]]  # status, content type, text


def allowed(config: FleetConfig, source: str, authorization: str) -> bool:
    """Whether a bearer token is that of a source; takes the same time for any wrong one."""
    found = config.source_of(source)
    wanted = found.token_sha256.lower() if found else ""
    token = authorization.removeprefix("Bearer ")
    given = hashlib.sha256(token.encode()).hexdigest()
    return hmac.compare_digest(given, wanted or "-" * 64)


class Web:
    """Serves one server's pages and gateways."""

    def __init__(self, config: FleetConfig, reception: Reception, pages: dict[str, Page]) -> None:
        self._config = config
        self._reception = reception
        self._pages = pages
        self._server: Server | None = None

    async def start(self, beside: Path) -> tuple[str, int]:
        """Listen; returns host and port.

        Raises:
            UserError: the address cannot be listened on, or a file cannot be used.
        """
        listen = self._config.http
        host, port = address(listen.listen)
        try:
            self._server = await serve(
                self._gateway,
                host,
                port,
                ssl=server_tls(listen, beside),
                process_request=self._request,
                max_size=LARGEST_MESSAGE_BYTES,
                compression=None,
                max_queue=4,
            )
        except OSError as error:
            raise UserError(f"http.listen {listen.listen}: {error.strerror}") from error
        found = next(iter(self._server.sockets)).getsockname()
        return found[0], found[1]

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        path = urlsplit(request.path)
        page = self._pages.get(path.path)
        if page is not None:
            status, kind, text = page()
            body = text.encode()
            headers = Headers([("Content-Type", kind), ("Content-Length", str(len(body)))])
            headers["Connection"] = "close"
            return Response(status, http.HTTPStatus(status).phrase, headers, body)
        if path.path != "/ingest":
            return connection.respond(http.HTTPStatus.NOT_FOUND, "there is no such page\n")
        source = _source(request)
        if not allowed(self._config, source, request.headers.get("Authorization", "")):
            return connection.respond(
                http.HTTPStatus.UNAUTHORIZED, "the source or its token is not known here\n"
            )
        return None

    async def _gateway(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        source = _source(connection.request)
        waiting: set[asyncio.Task[None]] = set()

        def answer(message: bytes) -> bool:
            if connection.transport.get_write_buffer_size() > _LARGEST_ANSWERS:
                return False
            task = asyncio.ensure_future(_send(connection, message))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
            return True

        try:
            async for message in connection:
                if isinstance(message, bytes):
                    self._reception.take(message, source, answer)
                else:
                    self._reception.intake.counts.malformed["text frame"] += 1
        except ConnectionClosed:
            pass
        finally:
            self._reception.gone(source, answer)


async def _send(connection: ServerConnection, message: bytes) -> None:
    try:
        await connection.send(message)
    except ConnectionClosed:
        return  # the source asks again when it is back


def _source(request: Request) -> str:
    return parse_qs(urlsplit(request.path).query).get("source", [""])[0]


def server_tls(listen: Listen, beside: Path) -> ssl.SSLContext | None:
    """What TLS needs on a listening port; None where it is not used.

    Raises:
        UserError: a file cannot be used.
    """
    if not listen.cert_file:
        return None
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(beside / listen.cert_file, beside / listen.key_file)
        if listen.client_ca_file:
            context.load_verify_locations(beside / listen.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"{listen.cert_file}, {listen.key_file}: {error}") from error
    return context
