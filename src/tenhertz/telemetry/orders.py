"""Stops that the safety rules order: signed, sent at once, and again until the site confirms.

A stop is idempotent at the site, so sending it again does no harm. It is never given up: a site
that cannot be reached hears it when it is back.
"""

from __future__ import annotations

from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tenhertz.link import VERSION
from tenhertz.link.schema_pb2 import Command, CommandResult, Downlink, Stop
from tenhertz.link.signature import sign

# How long to wait for a confirmation before the stop is sent again: quickly first, then steadily.
_AGAIN_NS = (250_000_000, 500_000_000, 1_000_000_000, 5_000_000_000)
_EXPIRES_NS = 60_000_000_000


class Order(NamedTuple):
    """A stop under way."""

    source: str
    sequence: int
    reason: str
    ordered_ns: int
    sent_ns: int
    sendings: int


class StopOrders:
    """The stops of one server. Time is an argument; nothing here sends."""

    def __init__(self, key: Ed25519PrivateKey, key_name: str) -> None:
        self._key = key
        self._key_name = key_name
        self._last_sequence = 0
        self._open: dict[str, Order] = {}
        self.confirmed = 0
        self.slowest_ms = 0.0  # from order to confirmation

    @property
    def open(self) -> list[Order]:
        """The stops that no site has confirmed yet."""
        return list(self._open.values())

    def order(self, source: str, reason: str, now_ns: int) -> bytes:
        """Order a stop; returns the message to be sent now."""
        self._last_sequence = max(self._last_sequence + 1, now_ns)
        order = Order(source, self._last_sequence, reason, now_ns, now_ns, 1)
        self._open[source] = order
        return self._message(order, now_ns)

    def due(self, now_ns: int) -> list[tuple[str, bytes]]:
        """Messages that are to be sent again, with the sites that they are for."""
        found = []
        for source, order in self._open.items():
            pause_ns = _AGAIN_NS[min(order.sendings - 1, len(_AGAIN_NS) - 1)]
            if now_ns - order.sent_ns >= pause_ns:
                again = order._replace(sent_ns=now_ns, sendings=order.sendings + 1)
                self._open[source] = again
                found.append((source, self._message(again, now_ns)))
        return found

    def confirm(self, result: CommandResult, now_ns: int) -> Order | None:
        """Take a site's answer; the order that it settles, if any."""
        order = self._open.get(result.source)
        if order is None or result.key != self._key_name or result.sequence != order.sequence:
            return None
        if not result.accepted:
            return None  # the site did not take it for genuine: keep on, and somebody will look
        del self._open[result.source]
        self.confirmed += 1
        self.slowest_ms = max(self.slowest_ms, (now_ns - order.ordered_ns) / 1e6)
        return order

    def _message(self, order: Order, now_ns: int) -> bytes:
        command = Command(
            version=VERSION,
            source=order.source,
            sequence=order.sequence,
            issued_ns=order.ordered_ns,
            expires_ns=now_ns + _EXPIRES_NS,
            reason=order.reason,
            stop=Stop(),
        )
        return Downlink(command=sign(command, self._key_name, self._key)).SerializeToString()
