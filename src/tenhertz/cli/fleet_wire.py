"""One signed command over MQTT, and the site's answer to it.

A client of its own beside the server's: the answer goes to both.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import NamedTuple

from google.protobuf.message import DecodeError

from tenhertz.errors import UserError
from tenhertz.link import topic
from tenhertz.link.schema_pb2 import Command, CommandResult, Downlink, Uplink
from tenhertz.link.signature import LARGEST_COMMAND_BYTES, load_key, sign
from tenhertz.mqtt import Link
from tenhertz.telemetry.config import FleetConfig

# A stop does no harm when it comes twice; any other command has one chance.
_STOP_AGAIN_S = 1.0


class Outcome(NamedTuple):
    """What became of a command."""

    sent: bool  # handed to a broker, which says nothing about the site
    answer: CommandResult | None
    trouble: str  # with the broker


async def send(config: FleetConfig, path: Path, command: Command, timeout_s: float) -> Outcome:
    """Sign and send a command and wait for the answer with its sequence.

    Raises:
        UserError: the configuration has no broker or no key, a file cannot be used, or the command
            is too large.
    """
    if config.mqtt is None:
        raise UserError(f"{path}: commands go over MQTT, and there is no [mqtt] table; add one")
    if config.command is None:
        raise UserError(
            f"{path}: there is no [command] table, so nothing signs; make a key with 'tenhertz "
            "fleet key' and name it in command.key_file"
        )
    size = command.ByteSize()
    if size > LARGEST_COMMAND_BYTES:
        raise UserError(
            f"the command has {size} bytes, {LARGEST_COMMAND_BYTES} are the most; send fewer rows"
        )
    key_name = config.command.key_name
    signed = sign(command, key_name, load_key(path.parent / config.command.key_file))
    exchange = _Exchange(command, key_name, Downlink(command=signed).SerializeToString())
    fleet = config.fleet
    exchange.down = topic(fleet.name, command.source, "down")
    link = exchange.link = Link(
        config.mqtt,
        f"{fleet.name}-{fleet.server}-command-{secrets.token_hex(4)}",
        beside=path.parent,
        subscriptions=[topic(fleet.name, command.source, "up")],
        on_message=exchange.take,
        # The subscription is on its way before the command, so that no answer is missed.
        on_up=exchange.publish,
        on_down=exchange.note,
    )
    return await exchange.run(link, timeout_s)


class _Exchange:
    """A command under way."""

    def __init__(self, command: Command, key_name: str, message: bytes) -> None:
        self._command = command
        self._key_name = key_name
        self._message = message
        self.down = ""
        self.link: Link | None = None
        self._sent = False
        self._trouble = ""
        self._answer: asyncio.Future[CommandResult] | None = None

    @property
    def _is_stop(self) -> bool:
        return bool(self._command.WhichOneof("order") == "stop")

    def publish(self) -> None:
        if self.link is not None and (self._is_stop or not self._sent):
            self._sent |= self.link.publish(self.down, self._message, qos=1)

    def note(self, why: str) -> None:
        self._trouble = why

    def take(self, _topic: str, payload: bytes) -> None:
        try:
            message = Uplink.FromString(payload)
        except DecodeError:
            return  # the server counts what is malformed
        if message.WhichOneof("body") != "result" or self._answer is None:
            return
        result, command = message.result, self._command
        mine = (command.source, self._key_name, command.sequence)
        found = (result.source, result.key, result.sequence)
        if found == mine and not self._answer.done():
            self._answer.set_result(result)

    async def run(self, link: Link, timeout_s: float) -> Outcome:
        loop = asyncio.get_running_loop()
        self._answer = answer = loop.create_future()
        stop = asyncio.Event()
        running = asyncio.ensure_future(link.run(stop))
        until_s = loop.time() + timeout_s
        try:
            while (left_s := until_s - loop.time()) > 0 and not answer.done():
                pause_s = min(left_s, _STOP_AGAIN_S) if self._is_stop else left_s
                await asyncio.wait(
                    [answer, running], timeout=pause_s, return_when=asyncio.FIRST_COMPLETED
                )
                if running.done():
                    running.result()  # tells of a file that cannot be used
                    break
                if self._is_stop and not answer.done():
                    self.publish()
        finally:
            stop.set()
            await asyncio.wait([running])
        return Outcome(self._sent, answer.result() if answer.done() else None, self._trouble)
