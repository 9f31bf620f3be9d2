"""A gRPC stream: `tenhertz.link.v1.Ingest/Stream` takes Uplink messages and answers with Downlink.

The call's metadata say who speaks: `source: NAME` and `authorization: Bearer TOKEN`. Messages pass
as bytes, so that they are decoded once, by the intake.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from tenhertz.errors import UserError
from tenhertz.link.decode import LARGEST_MESSAGE_BYTES
from tenhertz.telemetry.config import FleetConfig, Listen, address
from tenhertz.telemetry.reception import Reception
from tenhertz.telemetry.web import allowed

_MOST_ANSWERS = 64  # that wait for a client which does not read
SERVICE, METHOD = "tenhertz.link.v1.Ingest", "Stream"


class GrpcStream:
    """Serves the stream."""

    def __init__(self, config: FleetConfig, listen: Listen, reception: Reception) -> None:
        self._config = config
        self._listen = listen
        self._reception = reception
        self._server: Any = None

    async def start(self, beside: Path) -> tuple[str, int]:
        """Listen; returns host and port.

        Raises:
            UserError: the address cannot be listened on, or a file cannot be used.
        """
        host, port = address(self._listen.listen)
        self._server = grpc.aio.server(
            options=[("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES)]
        )
        handler = grpc.stream_stream_rpc_method_handler(self._stream)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),)
        )
        try:
            credentials = self._credentials(beside)
            target = f"{host}:{port}"
            if credentials is None:
                port = self._server.add_insecure_port(target)
            else:
                port = self._server.add_secure_port(target, credentials)
        except (OSError, RuntimeError) as error:
            raise UserError(f"grpc.listen {self._listen.listen}: {error}") from error
        await self._server.start()
        return host, port

    def _credentials(self, beside: Path) -> grpc.ServerCredentials | None:
        listen = self._listen
        if not listen.cert_file:
            return None
        key = (beside / listen.key_file).read_bytes()
        chain = (beside / listen.cert_file).read_bytes()
        ca = (beside / listen.client_ca_file).read_bytes() if listen.client_ca_file else None
        return grpc.ssl_server_credentials(
            [(key, chain)], root_certificates=ca, require_client_auth=ca is not None
        )

    async def stop(self) -> None:
        """Close the port and every stream."""
        if self._server is not None:
            await self._server.stop(0.5)

    async def _stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        told = dict(context.invocation_metadata())
        source = str(told.get("source", ""))
        if not allowed(self._config, source, str(told.get("authorization", ""))):
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED, "the source or its token is not known here"
            )
        answers: asyncio.Queue[bytes | None] = asyncio.Queue(_MOST_ANSWERS)

        def answer(message: bytes) -> bool:
            if answers.full():
                return False  # the source asks again
            answers.put_nowait(message)
            return True

        async def take() -> None:
            try:
                async for message in requests:
                    self._reception.take(message, source, answer)
            finally:
                await answers.put(None)

        taking = asyncio.ensure_future(take())
        try:
            while (message := await answers.get()) is not None:
                yield message
        finally:
            taking.cancel()
            self._reception.gone(source, answer)
