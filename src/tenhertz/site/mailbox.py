"""What the outside asks of the control process, in shared memory.

Five facts of this queue. Full: the sender is refused and told so. Processes: many writers, one at a
time by a file lock; one reader. Order: as posted. Loss: none, but a message that is older than it
may be when it is read is dropped there and counted. Waiting: the reader never waits.

A stop is not a message. It is a counter beside the queue: it cannot be full, late, filtered or
overtaken, and it holds until somebody lifts it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tenhertz.errors import UserError
from tenhertz.site.segment import map_segment

SLOTS = 64
SLOT_BYTES = 512
_HEADER_BYTES = 4096
_W_POSTED, _W_TAKEN, _W_STOPS, _W_LIFTED = range(4)


class PowerWish(msgspec.Struct, frozen=True, tag="power"):
    """A power that the whole site should run at, until it expires.

    It is a wish among others: protection and reserve contracts come first.
    """

    power_w: float
    issued_ns: int  # UTC
    expires_ns: int  # UTC: the lease; without renewal the wish ends by itself


class TestFrequency(msgspec.Struct, frozen=True, tag="test-frequency"):
    """A frequency to use in place of the measured one, until it expires."""

    frequency_hz: float
    issued_ns: int
    expires_ns: int


class ContractsPart(msgspec.Struct, frozen=True, tag="contracts"):
    """Some of the reserve contracts that the fleet has sent. All parts together replace the last.

    A contract is a product, W, and the UTC instants between which it holds.
    """

    generation: int  # the same for all parts
    part: int
    parts: int
    contracts: tuple[tuple[str, float, int, int], ...]
    issued_ns: int
    expires_ns: int


Message = PowerWish | TestFrequency | ContractsPart
_CONTRACTS_A_PART = 8
_CONTRACTS_LEASE_NS = 10_000_000_000
# Half of the mailbox: the rest is for wishes.
MOST_CONTRACTS = SLOTS // 2 * _CONTRACTS_A_PART


def contract_parts(
    contracts: list[tuple[str, float, int, int]], now_ns: int
) -> list[ContractsPart]:
    """Contracts as messages that fit; none at all is one message as well."""
    cuts = range(0, max(len(contracts), 1), _CONTRACTS_A_PART)
    expires_ns = now_ns + _CONTRACTS_LEASE_NS
    return [
        ContractsPart(
            now_ns,
            part,
            len(cuts),
            tuple(contracts[cut : cut + _CONTRACTS_A_PART]),
            now_ns,
            expires_ns,
        )
        for part, cut in enumerate(cuts)
    ]


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(Message).decode


class Mailbox:
    """The mailbox of one site."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._path = path
        self._memory, _ = map_segment(path, _HEADER_BYTES + SLOTS * SLOT_BYTES, create=create)
        self._words = memoryview(self._memory)[:_HEADER_BYTES].cast("Q")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        handle = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def post(self, message: Message) -> None:
        """Leave a message for the control process.

        Raises:
            UserError: the mailbox is full: the control process does not read.
        """
        body = _ENCODE(message)
        if len(body) > SLOT_BYTES - 2:
            raise UserError(f"a message of {len(body)} bytes does not fit; {SLOT_BYTES - 2} do")
        with self._alone():
            posted = self._words[_W_POSTED]
            if posted - self._words[_W_TAKEN] >= SLOTS:
                raise UserError(
                    f"{SLOTS} messages wait unread; the control process is not running or has "
                    "stalled: see 'tenhertz site status'"
                )
            at = _HEADER_BYTES + posted % SLOTS * SLOT_BYTES
            self._memory[at : at + 2 + len(body)] = len(body).to_bytes(2, "little") + body
            self._words[_W_POSTED] = posted + 1

    def take(self) -> tuple[list[Message], int]:
        """All messages not yet taken, and how many more could not be understood."""
        taken, posted = self._words[_W_TAKEN], self._words[_W_POSTED]
        if taken == posted:
            return [], 0
        messages: list[Message] = []
        broken = 0
        for number in range(max(taken, posted - SLOTS), posted):
            at = _HEADER_BYTES + number % SLOTS * SLOT_BYTES
            length = int.from_bytes(self._memory[at : at + 2], "little")
            try:
                messages.append(_DECODE(self._memory[at + 2 : at + 2 + length]))
            except msgspec.DecodeError:
                broken += 1
        self._words[_W_TAKEN] = posted
        return messages, broken

    def stop(self) -> None:
        """De-energise all units and hold them so."""
        with self._alone():
            self._words[_W_STOPS] += 1

    def lift_stop(self) -> None:
        """Allow the site to run again after a stop."""
        with self._alone():
            self._words[_W_LIFTED] = self._words[_W_STOPS]

    @property
    def stops(self) -> int:
        """How often a stop was asked for: each one is sent, also a second one."""
        return self._words[_W_STOPS]

    @property
    def stopped(self) -> bool:
        """Whether a stop holds."""
        return self._words[_W_STOPS] != self._words[_W_LIFTED]
