"""The fault door: JSON lines on a loopback port, beside the Modbus port of each device.

Requests: `{"do": "fault", "order": {"kind": "stall", "seconds": 5}}`, `{"do": "clear"}` and
`{"do": "state"}`, each answered by one line, `{"ok": true, ...}` or `{"ok": false, "error": ...}`.
It has no lock and no password: it listens on 127.0.0.1 only, and a simulator is all it can harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from tenhertz.errors import UserError
from tenhertz.sim.faults import FaultOrder

DOOR_OFFSET = 1000
LOOPBACK = "127.0.0.1"
LONGEST_LINE = 4096
_DISCARD_FOR_S = 1.0


class DoorRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line to the door."""

    do: Literal["fault", "clear", "state"]
    order: FaultOrder | None = None


_decode = msgspec.json.Decoder(DoorRequest).decode
Act = Callable[[DoorRequest], dict[str, Any]]


def answer(line: bytes, act: Act) -> bytes:
    """The door's reply to one line. `act` raises `ValueError` for an order it cannot follow."""
    try:
        request = _decode(line)
        reply = {"ok": True, **act(request)}
    except (msgspec.MsgspecError, ValueError, UnicodeDecodeError) as why:
        reply = {"ok": False, "error": str(why)}
    return msgspec.json.encode(reply) + b"\n"


async def _discard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Swallow what is still on its way: closing over it would reset the line, and our reply."""
    writer.write_eof()
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(_DISCARD_FOR_S):
            while await reader.read(LONGEST_LINE):
                pass


async def open_door(port: int, act: Act) -> asyncio.Server:
    """Listen for orders; raises `OSError` where the port cannot be had."""

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(answer(line, act))
                await writer.drain()
        except ValueError:
            too_long = {"ok": False, "error": f"a line holds at most {LONGEST_LINE} bytes"}
            writer.write(msgspec.json.encode(too_long) + b"\n")
            await _discard(reader, writer)
        except ConnectionError:
            return  # the caller has gone: nothing is left to tell
        finally:
            writer.close()

    return await asyncio.start_server(session, LOOPBACK, port, limit=LONGEST_LINE)


def ask(device_port: int, request: DoorRequest, timeout_s: float = 3.0) -> dict[str, Any]:
    """Send one request to the door of the device on `device_port`; return its reply.

    Raises `UserError` when nobody is there or the order was refused.
    """
    port = device_port + DOOR_OFFSET
    try:
        with socket.create_connection((LOOPBACK, port), timeout_s) as wire:
            wire.sendall(msgspec.json.encode(request) + b"\n")
            with wire.makefile("rb") as replies:
                line = replies.readline()
        reply: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as why:
        raise UserError(
            f"No simulated device answers behind port {device_port} (its fault door is "
            f"127.0.0.1:{port}): {why}. Start `tenhertz sim site`, and "
            "give the Modbus port of one of its units."
        ) from why
    if not reply.get("ok"):
        raise UserError(f"The device on port {device_port} refused: {reply.get('error')}.")
    return reply
