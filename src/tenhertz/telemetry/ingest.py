"""The ingest process: takes messages on all channels, watches over them, makes them durable.

It never waits for a store. Started by the server as

    python -m tenhertz.telemetry.ingest fleet.toml
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import msgspec
import structlog
import uvloop

from tenhertz.link import parse_topic, subscription, topic
from tenhertz.link.schema_pb2 import CommandResult
from tenhertz.link.signature import load_key
from tenhertz.lock import held
from tenhertz.log import set_up_log
from tenhertz.mqtt import Link
from tenhertz.store import StoreTrouble
from tenhertz.store.spool import SpoolWriter
from tenhertz.supervise import die_with_parent, say_ready
from tenhertz.telemetry.books import Books
from tenhertz.telemetry.config import FleetConfig, data_dir, load_fleet
from tenhertz.telemetry.grpc_stream import GrpcStream
from tenhertz.telemetry.intake import Intake
from tenhertz.telemetry.orders import StopOrders
from tenhertz.telemetry.pages import Pages
from tenhertz.telemetry.reception import Reception, recover_books, snapshot_of
from tenhertz.telemetry.status_file import Alive, StatusFile
from tenhertz.telemetry.stores import open_reader
from tenhertz.telemetry.watch import Watch
from tenhertz.telemetry.web import Web
from tenhertz.telemetry.writer import PREDECESSOR_S, limits_of

_SWEEP_S = 0.2
_MEASURE_S = 1.0
ADDRESS_FILE = "addresses.json"


class Ingest:
    """One ingest process."""

    def __init__(self, config: FleetConfig, path: Path) -> None:
        self._config = config
        self._beside = path.parent
        self._path = path
        self._folder = data_dir(config, path)
        self._log = structlog.get_logger("ingest")
        self._stop = asyncio.Event()
        self._spool = SpoolWriter(
            self._folder / "spool", largest_bytes=int(config.spool.largest_mb * 1e6)
        )
        self._orders: StopOrders | None = None
        if config.command is not None:
            key = load_key(self._beside / config.command.key_file)
            self._orders = StopOrders(key, config.command.key_name)
        self._watch = Watch(config, path, self._order_stop)
        self._mqtt: Link | None = None
        self._reception: Reception | None = None

    # -- start --------------------------------------------------------------------------------

    async def _books(self) -> Books:
        """What was taken in before: as the spool knows it, or, without one, as the store does."""
        told = ""
        while True:
            try:
                books = recover_books(self._spool)
                if books is not None:
                    return books
                return await asyncio.to_thread(self._books_of_store)
            except StoreTrouble as trouble:
                if str(trouble) != told:
                    self._log.warning("waiting for the spool or the store", cause=str(trouble))
                told = str(trouble)
                await asyncio.wait([asyncio.ensure_future(self._stop.wait())], timeout=1.0)
                if self._stop.is_set():
                    raise

    def _books_of_store(self) -> Books:
        reader = open_reader(self._config, self._path)
        try:
            recovered = reader.state()
        finally:
            reader.close()
        books = Books.restored(recovered.state)
        self._spool.start(snapshot_of(books), recovered.position + 1)
        return books

    async def run(self) -> int:
        """Run until told to stop; the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # the parent ends its children
        config = self._config
        accepts = partial(_accepts, config, {})
        intake = Intake(await self._books(), accepts, limits_of(config))
        reception = Reception(
            intake,
            self._spool,
            config.fleet.server,
            on_frame=self._watch.look,
            on_result=self._on_result,
        )
        self._reception = reception
        pages = Pages(reception, self._watch, self._orders, self._folder, lambda: self._link_up)
        async with contextlib.AsyncExitStack() as stack:
            self._watch.start()
            stack.callback(self._watch.close)
            stack.callback(reception.close)
            web = Web(config, reception, pages.by_path)
            addresses = {"http": await web.start(self._beside)}
            stack.push_async_callback(web.stop)
            if config.grpc is not None:
                stream = GrpcStream(config, config.grpc, reception)
                addresses["grpc"] = await stream.start(self._beside)
                stack.push_async_callback(stream.stop)
            if config.mqtt is not None:
                self._start_mqtt(reception, stack)
            (self._folder / ADDRESS_FILE).write_bytes(msgspec.json.encode(addresses))
            say_ready()
            await asyncio.gather(self._flush_loop(reception), self._sweep_loop(reception))
            await reception.flush()
        return 0

    def _start_mqtt(self, reception: Reception, stack: contextlib.AsyncExitStack) -> None:
        mqtt, fleet = self._config.mqtt, self._config.fleet
        assert mqtt is not None
        partitions: list[int | None] = [*mqtt.partitions] or [None]
        link = Link(
            mqtt,
            f"{fleet.name}-{fleet.server}",
            beside=self._beside,
            subscriptions=[
                subscription(fleet.name, "up", partition, mqtt.group) for partition in partitions
            ],
            on_message=partial(self._on_mqtt, reception),
            on_up=lambda: self._log.info("connected to the broker", host=mqtt.host),
            on_down=lambda why: self._log.warning("no broker", cause=why),
        )
        self._mqtt = link
        task = asyncio.ensure_future(link.run(self._stop))
        task.add_done_callback(self._mqtt_ended)

        async def ended() -> None:
            with contextlib.suppress(Exception):  # it was logged and stopped the process
                await task

        stack.push_async_callback(ended)

    def _mqtt_ended(self, task: asyncio.Future[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.error("MQTT cannot be used", cause=str(error))
            self._stop.set()

    @property
    def _link_up(self) -> bool:
        return self._mqtt is None or self._mqtt.up

    # -- messages -----------------------------------------------------------------------------

    def _on_mqtt(self, reception: Reception, name: str, payload: bytes) -> None:
        try:
            source = parse_topic(name).source
        except ValueError:
            reception.intake.counts.malformed["topic"] += 1
            return
        reception.take(payload, source, partial(self._answer_mqtt, source))

    def _answer_mqtt(self, source: str, message: bytes) -> bool:
        # Quality 0: what is lost is asked for again, and every answer holds all that the last did.
        assert self._mqtt is not None
        down = topic(self._config.fleet.name, source, "down")
        return self._mqtt.publish(down, message, qos=0)

    def _order_stop(self, source: str, reason: str) -> None:
        if self._orders is None:
            self._log.error("a stop is due, but there is no [command] key", source=source)
            return
        self._log.error("ordering a stop", source=source, reason=reason)
        self._command(source, self._orders.order(source, reason, time.time_ns()))

    def _command(self, source: str, message: bytes) -> None:
        if self._mqtt is not None:
            down = topic(self._config.fleet.name, source, "down")
            if self._mqtt.publish(down, message, qos=1):
                return
        if self._reception is not None:
            self._reception.tell(source, message)

    def _on_result(self, result: CommandResult) -> None:
        order = self._orders.confirm(result, time.time_ns()) if self._orders else None
        if order is not None:
            self._log.info("stop confirmed", source=order.source, reason=order.reason)
        elif not result.accepted:
            self._log.warning("a site refused a command", source=result.source, why=result.text)

    # -- loops --------------------------------------------------------------------------------

    async def _flush_loop(self, reception: Reception) -> None:
        pause_s = self._config.spool.sync_ms / 1000
        while not self._stop.is_set():
            await asyncio.sleep(pause_s)
            await reception.flush()

    async def _sweep_loop(self, reception: Reception) -> None:
        status = StatusFile(self._folder / "ingest.json")
        measured_s = 0.0
        while not self._stop.is_set():
            await asyncio.sleep(_SWEEP_S)
            now_ns, now_s = time.time_ns(), time.monotonic()
            self._watch.sweep(now_ns)
            if self._orders is not None:
                for source, message in self._orders.due(now_ns):
                    self._command(source, message)
            if now_s - measured_s >= _MEASURE_S:
                measured_s = now_s
                self._spool.measure()
            status.post(Alive(os.getpid(), time.monotonic_ns()), now_s)


def _accepts(config: FleetConfig, known: dict[str, bool], source: str) -> bool:
    """Whether a source may send; patterns are matched once a source."""
    found = known.get(source)
    if found is None:
        found = config.source_of(source) is not None
        if len(known) < 1_000_000:  # whoever invents names finds no room here
            known[source] = found
    return found


def main(argv: list[str]) -> int:
    """Run the ingest process of the fleet server in `argv[1]`."""
    set_up_log()
    path = Path(argv[1])
    config = load_fleet(path)
    folder = data_dir(config, path)
    folder.mkdir(parents=True, exist_ok=True)
    die_with_parent()
    with held(folder / "ingest.lock", "the ingest process", PREDECESSOR_S):
        return uvloop.run(Ingest(config, path).run())


if __name__ == "__main__":
    sys.exit(main(sys.argv))
