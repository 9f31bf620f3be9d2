"""A stop is sent at once, and again until the site confirms it."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tenhertz.link.schema_pb2 import Command, CommandResult, Downlink
from tenhertz.link.signature import verify
from tenhertz.telemetry.orders import StopOrders

from .messages import NOW_NS

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
MS = 1_000_000


def command_of(message: bytes) -> Command:
    return verify(Downlink.FromString(message).command, {"fleet": KEY.public_key()})


def orders() -> StopOrders:
    return StopOrders(KEY, "fleet")


def confirmed(command: Command, *, accepted: bool = True, key: str = "fleet") -> CommandResult:
    return CommandResult(
        source=command.source, key=key, sequence=command.sequence, accepted=accepted
    )


def test_an_order_is_a_signed_stop_for_one_site() -> None:
    command = command_of(orders().order("site-1", "cell too hot", NOW_NS))
    assert command.WhichOneof("order") == "stop"
    assert (command.source, command.reason) == ("site-1", "cell too hot")
    assert command.issued_ns == NOW_NS < command.expires_ns


def test_it_is_sent_again_quickly_first_then_steadily_and_for_ever() -> None:
    stops = orders()
    first = command_of(stops.order("site-1", "why", NOW_NS))
    sent_ms = []
    for at_ms in range(0, 20_000, 50):
        for source, message in stops.due(NOW_NS + at_ms * MS):
            again = command_of(message)
            assert (source, again.sequence) == ("site-1", first.sequence)
            assert again.expires_ns > NOW_NS + at_ms * MS
            sent_ms.append(at_ms)
    assert sent_ms == [250, 750, 1750, 6750, 11_750, 16_750]
    assert stops.open[0].sendings == 7


def test_a_confirmation_settles_it() -> None:
    stops = orders()
    command = command_of(stops.order("site-1", "why", NOW_NS))
    settled = stops.confirm(confirmed(command), NOW_NS + 80 * MS)
    assert settled is not None
    assert settled.reason == "why"
    assert (stops.open, stops.confirmed, stops.slowest_ms) == ([], 1, 80.0)
    assert stops.due(NOW_NS + 10**12) == []
    assert stops.confirm(confirmed(command), NOW_NS) is None


def test_what_confirms_something_else_settles_nothing() -> None:
    stops = orders()
    command = command_of(stops.order("site-1", "why", NOW_NS))
    other = CommandResult(source="site-2", key="fleet", sequence=command.sequence, accepted=True)
    older = CommandResult(
        source="site-1", key="fleet", sequence=command.sequence - 1, accepted=True
    )
    for result in (
        other,
        older,
        confirmed(command, key="desk"),
        confirmed(command, accepted=False),
    ):
        assert stops.confirm(result, NOW_NS) is None
    assert len(stops.open) == 1


def test_sequences_rise_though_the_clock_is_set_back() -> None:
    stops = orders()
    found = [
        command_of(stops.order("site-1", "why", at_ns)).sequence
        for at_ns in (NOW_NS, NOW_NS, NOW_NS - 10**12, NOW_NS + 5)
    ]
    assert found == sorted(set(found))


def test_a_second_order_to_a_site_replaces_the_first() -> None:
    stops = orders()
    first = command_of(stops.order("site-1", "one", NOW_NS))
    second = command_of(stops.order("site-1", "two", NOW_NS + 1))
    stops.order("site-2", "three", NOW_NS + 1)
    assert stops.confirm(confirmed(first), NOW_NS) is None
    assert stops.confirm(confirmed(second), NOW_NS) is not None
    assert [order.source for order in stops.open] == ["site-2"]
