"""Gateways of battery packs over MQTT: cell samples as a fleet of packs sends them, with faults.

Written from the schema alone, on gmqtt; not for a site, whose other side is `site.py`. One process,
one connection a gateway, without TLS: it is meant for a broker on the same machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import resource
import signal
import time
from dataclasses import dataclass
from typing import Any

import gmqtt
from gmqtt.mqtt.handler import MQTTConnectError

from tenhertz.errors import UserError
from tenhertz.sim import wire

try:
    from tenhertz.sim.pack_gateway import FAULTS, Bodies, Fault, Layout, PackGateway
except ModuleNotFoundError as missing:
    if missing.name != "numpy":
        raise
    raise UserError(
        "tenhertz sim packs needs NumPy; install it with: pip install 'tenhertz[cloud]'"
    ) from missing

_CONNECT_S = 10.0
_RETRY_S = 0.5
_LARGEST_BUFFER_BYTES = 4 << 20
_NEVER_BY_ITSELF = -2  # for gmqtt -1 is for ever
_LATE_CHECK_S = 0.5


@dataclass(frozen=True)
class PackOptions:
    """What `tenhertz sim packs` can be told; see its --help for each."""

    broker: str
    fleet: str
    packs: int = 10_000
    cells: int = 16
    rate_hz: float = 10.0
    gateways: int = 16
    seconds: float = 60.0
    qos: int = 1
    keep_mb: float = 32.0
    window: int = 0
    linger_s: float = 30.0
    fault: str = "none"
    fault_every: int = 50
    spike_pack: int = 0
    spike_after_s: float = 0.0

    def check(self) -> None:
        """Raise `UserError` for the first option that cannot be followed."""
        for name, value, low, high in (
            ("--gateways", self.gateways, 1, 999),
            ("--packs", self.packs, self.gateways, 100_000 * self.gateways),
            ("--cells", self.cells, 1, 1024),
            ("--rate-hz", self.rate_hz, 0.01, 1000),
            ("--qos", self.qos, 0, 1),
            ("--window", self.window, 0, 1_000_000),
            ("--fault-every", self.fault_every, 2, 1_000_000),
            ("--spike-pack", self.spike_pack, 0, self.packs),
        ):
            if not low <= value <= high:
                raise UserError(f"{name} must be from {low} to {high}.")
        if not (self.seconds > 0 and self.keep_mb > 0 and self.linger_s >= 0):
            raise UserError("--seconds and --keep-mb must be above 0, --linger-s 0 or more.")
        if self.fault not in FAULTS:
            raise UserError(f"--fault {self.fault} is none of {', '.join(FAULTS)}.")
        _ = self.address

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the broker."""
        host, _, port = self.broker.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise UserError(f"--broker {self.broker} must be HOST:PORT, such as 127.0.0.1:1883.")
        return host.strip("[]"), int(port)


class _Channel:
    """The connection of one gateway, made anew whenever it breaks."""

    def __init__(self, gateway: PackGateway, options: PackOptions) -> None:
        self.gateway = gateway
        self.connections = 0
        self.up = asyncio.Event()
        self._options = options
        self._up_topic = wire.topic(options.fleet, gateway.name, "up")
        self._down_topic = wire.topic(options.fleet, gateway.name, "down")
        self._client: Any = None  # gmqtt has no types
        self._lost = asyncio.Event()

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        while True:
            with contextlib.suppress(
                OSError, TimeoutError, MQTTConnectError, asyncio.IncompleteReadError
            ):
                await self._once()
            await asyncio.sleep(_RETRY_S)

    async def _once(self) -> None:
        gateway = self.gateway
        will = gmqtt.Message(self._up_topic, gateway.farewell(), qos=1)
        client: Any = gmqtt.Client(f"sim-{gateway.name}", clean_session=True, will_message=will)
        client.set_config({"reconnect_retries": _NEVER_BY_ITSELF, "reconnect_delay": 0})
        self._lost = lost = asyncio.Event()
        client.on_message = self._received
        client.on_disconnect = lambda _client, _packet, _error=None: lost.set()
        client.on_subscribe = lambda *_: self._subscribed(client)
        host, port = self._options.address
        try:
            async with asyncio.timeout(_CONNECT_S):
                await client.connect(host, port, keepalive=20)
            client.subscribe(self._down_topic, qos=0)
            await lost.wait()
        finally:
            self._client = None
            with contextlib.suppress(OSError, TimeoutError, AttributeError):
                async with asyncio.timeout(1.0):
                    await client.disconnect()

    def _subscribed(self, client: Any) -> None:
        """Only now: an acknowledgement that nobody hears would have to be asked for again."""
        self._client = client
        self.connections += 1
        self.gateway.begin(time.time_ns())
        self.up.set()
        self.pump()

    def _received(
        self, _client: Any, _topic: str, payload: bytes, _qos: int, _properties: object
    ) -> int:
        self.gateway.hear(payload, time.time_ns(), time.monotonic())
        self.pump()
        return 0

    def pump(self) -> None:
        """Send what waits, as far as the connection takes it."""
        while self._client is not None:
            transport = self._client._connection._transport  # noqa: SLF001 - it has no public way
            messages = self.gateway.peek()
            if messages is None or transport.get_write_buffer_size() > _LARGEST_BUFFER_BYTES:
                return
            cut = self._options.fault == "cut" and self.gateway.fault_is_due
            try:
                for message in messages:
                    self._client.publish(self._up_topic, message, qos=self._options.qos)
            except OverflowError:  # the broker has not confirmed as many as it allows
                return
            self.gateway.sent(time.monotonic())
            if cut:
                self._client = None
                transport.abort()

    async def end(self) -> None:
        """Say good-bye."""
        if self._client is not None:
            self._client.publish(self._up_topic, self.gateway.farewell(), qos=0)
            await asyncio.sleep(0)


def _gateways(options: PackOptions) -> list[PackGateway]:
    made = []
    bounds = [options.packs * n // options.gateways for n in range(options.gateways + 1)]
    bodies: dict[int, Bodies] = {}  # gateways of the same size send the same values
    for number in range(options.gateways):
        names = [f"pack-{n + 1:06}" for n in range(bounds[number], bounds[number + 1])]
        layout = Layout(len(names), options.cells, options.rate_hz)
        if len(names) not in bodies:
            bodies[len(names)] = Bodies(layout, seed=number)
        fault: Fault = options.fault  # type: ignore[assignment] # checked
        gateway = PackGateway(
            f"gate-{number + 1:03}",
            names,
            bodies[len(names)],
            layout,
            stream=random.SystemRandom().getrandbits(64),
            keep_bytes=int(options.keep_mb * 1e6),
            fault=fault,
            fault_every=options.fault_every,
        )
        made.append(gateway)
    return made


class _Run:
    """One simulation."""

    def __init__(self, options: PackOptions) -> None:
        self._options = options
        self._channels = [_Channel(gateway, options) for gateway in _gateways(options)]
        self._stop = asyncio.Event()
        self._skipped = 0
        self._late_s = 0.0
        self._checked_s = 0.0

    async def run(self) -> dict[str, Any]:
        """Run to the end; the report."""
        logging.getLogger("gmqtt").setLevel(logging.CRITICAL)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        tasks = [asyncio.ensure_future(channel.run()) for channel in self._channels]
        try:
            await self._all_up()
            began_s = time.monotonic()
            await self._drive(began_s)
            drove_s = time.monotonic() - began_s
            await self._linger()
            settled_s = time.monotonic() - began_s
            for channel in self._channels:
                await channel.end()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self._report(drove_s, settled_s)

    async def _all_up(self) -> None:
        try:
            async with asyncio.timeout(_CONNECT_S):
                await asyncio.gather(*(channel.up.wait() for channel in self._channels))
        except TimeoutError:
            raise UserError(
                f"no MQTT broker answers at {self._options.broker}; start one or correct --broker"
            ) from None

    async def _drive(self, began_s: float) -> None:
        """Take every gateway's batches when they are due, spread evenly over the time."""
        options, count = self._options, len(self._channels)
        began_ns = time.time_ns()
        largest = max(-(-options.packs // count), 1)
        layout = Layout(largest, options.cells, options.rate_hz)
        beat_s = layout.ticks / options.rate_hz
        beat = 0
        while beat * beat_s < options.seconds and not self._stop.is_set():
            at_ns = began_ns + round(beat * beat_s * 1e9)
            for place, channel in enumerate(self._channels):
                offset_s = beat_s * place / count
                # Ticks of a batch are over when it is sent; a batch of one tick is sent at once.
                due_s = began_s + beat * beat_s + (layout.ticks - 1) / options.rate_hz + offset_s
                now_s = time.monotonic()
                if now_s < due_s:
                    await asyncio.sleep(due_s - now_s)
                    now_s = time.monotonic()
                self._late_s = max(self._late_s, now_s - due_s)
                self._beat(channel, place, beat, at_ns + round(offset_s * 1e9), began_s)
            self._send_late_again()
            beat += 1

    def _beat(self, channel: _Channel, place: int, beat: int, at_ns: int, began_s: float) -> None:
        options, now_s = self._options, time.monotonic()
        if options.window and channel.gateway.waiting >= options.window:
            self._skipped += 1
        else:
            hot = None
            if options.spike_pack and now_s - began_s >= options.spike_after_s:
                count = len(self._channels)
                local = options.spike_pack - 1 - options.packs * place // count
                hot = local if local >= 0 else None
            channel.gateway.take(beat, at_ns, now_s, hot)
        channel.pump()

    def _send_late_again(self) -> None:
        now_s = time.monotonic()
        if now_s - self._checked_s < _LATE_CHECK_S:
            return
        self._checked_s = now_s
        for channel in self._channels:
            channel.gateway.send_late_again(time.time_ns(), now_s)
            channel.pump()

    async def _linger(self) -> None:
        """Wait until the fleet knows of every row."""
        until_s = time.monotonic() + self._options.linger_s
        while time.monotonic() < until_s:
            if all(channel.gateway.settled for channel in self._channels):
                return
            self._send_late_again()
            for channel in self._channels:
                channel.pump()
            await asyncio.sleep(0.02)

    def _report(self, drove_s: float, settled_s: float) -> dict[str, Any]:
        gateways = [channel.gateway for channel in self._channels]
        tallies = [gateway.tally for gateway in gateways]
        delays = sorted(delay for tally in tallies for delay in tally.ack_s)
        usage = resource.getrusage(resource.RUSAGE_SELF)

        def quantile_ms(share: float) -> float | None:
            return round(delays[int(share * (len(delays) - 1))] * 1000, 2) if delays else None

        return {
            "gateways": len(gateways),
            "packs": self._options.packs,
            "cells": self._options.cells,
            "rows_taken": sum(tally.taken for tally in tallies),
            "rows_acked": sum(tally.acked for tally in tallies),
            "rows_gone": sum(tally.gone for tally in tallies),
            "rows_gone_acked": sum(tally.gone_acked for tally in tallies),
            "rows_waiting": sum(gateway.rows_waiting for gateway in gateways),
            "rows_resent": sum(tally.resent for tally in tallies),
            "faults": sum(tally.faults for tally in tallies),
            "births": sum(tally.births for tally in tallies),
            "connections": sum(channel.connections for channel in self._channels),
            "beats_skipped": self._skipped,
            "latest_beat_ms": round(self._late_s * 1000, 2),
            "seconds": round(drove_s, 3),
            "settled_s": round(settled_s, 3),
            "ack_ms_p50": quantile_ms(0.5),
            "ack_ms_p99": quantile_ms(0.99),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        }


def run_packs(options: PackOptions) -> dict[str, Any]:
    """Simulate until the time is over or a signal ends it; the report.

    Raises:
        UserError: an option cannot be followed, or no broker answers.
    """
    options.check()

    async def run() -> dict[str, Any]:
        return await _Run(options).run()

    return asyncio.run(run())
