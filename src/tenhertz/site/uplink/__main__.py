"""Started by the site's parent as `python -m tenhertz.site.uplink site.toml`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import uvloop

from tenhertz.grid import load_profile
from tenhertz.link import topic
from tenhertz.link.signature import parse_public
from tenhertz.lock import held
from tenhertz.log import set_up_log
from tenhertz.mqtt import Link, Will
from tenhertz.site.config import SiteConfig, UplinkTable, load_config
from tenhertz.site.paths import PREDECESSOR_S, Parts, data_dir, open_parts
from tenhertz.site.status import ENCODE, decode_control
from tenhertz.site.uplink.orders import Orders
from tenhertz.site.uplink.rows import SiteRows
from tenhertz.site.uplink.session import Session
from tenhertz.supervise import die_with_parent, say_ready

_TURN_S = 0.05
_POST_NS = 400_000_000


class _Wire:
    """The site's topic on the broker."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.link: Link | None = None

    @property
    def up(self) -> bool:
        return self.link is not None and self.link.up

    def publish(self, message: bytes) -> bool:
        return self.link is not None and self.link.publish(self._name, message, qos=1)


class UplinkProcess:
    """The uplink of one site."""

    def __init__(
        self, config: SiteConfig, table: UplinkTable, config_path: Path, parts: Parts
    ) -> None:
        self._parts = parts
        self._stop = asyncio.Event()
        site = config.site.name
        folder = data_dir(config, config_path)
        wire = _Wire(topic(table.fleet, site, "up"))
        trusted = {name: parse_public(text) for name, text in table.trusted_keys.items()}
        products = load_profile(config.reserves.profile).product_ids
        self._orders = Orders(folder / "uplink.sqlite", site, trusted, products)
        self._session = Session(
            lambda: SiteRows(folder / config.store.file, site),
            self._orders,
            parts.mailbox,
            wire,
            site,
            backlog_share=table.backlog_share,
            control_since=self._control_since,
        )
        up = topic(table.fleet, site, "up")

        def will() -> Will | None:
            body = self._session.will(time.time_ns())
            return Will(up, body) if body is not None else None

        self._link = wire.link = Link(
            table,
            f"{table.fleet}-{site}",
            beside=config_path.parent,
            subscriptions=[topic(table.fleet, site, "down")],
            on_message=self._on_message,
            on_up=self._session.on_up,
            on_down=self._session.on_down,
            will=will,
            # What waits in our own buffer delays what is newer: the window decides, not this.
            largest_buffer_bytes=1 << 20,
        )

    def _control_since(self) -> int:
        notice = self._parts.control.read()
        return decode_control(notice).started_ns if notice else 0

    def _on_message(self, _topic: str, payload: bytes) -> None:
        self._session.hear(payload, time.monotonic_ns(), time.time_ns())

    async def run(self, *, until_sent: bool = False) -> None:
        """Talk until told to end, or until the fleet holds all that the database has."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        link = asyncio.ensure_future(self._link.run(self._stop))
        say_ready()
        posted_ns = 0
        try:
            while not self._stop.is_set() and not link.done():
                now_ns, utc_ns = time.monotonic_ns(), time.time_ns()
                self._session.turn(now_ns, utc_ns)
                if until_sent and self._session.all_held:
                    break
                if now_ns - posted_ns >= _POST_NS:
                    posted_ns = now_ns
                    self._parts.uplink.beat(now_ns)
                    self._parts.uplink.post(ENCODE(self._session.status(os.getpid(), utc_ns)))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_TURN_S):
                        await self._stop.wait()
            self._session.farewell()
        finally:
            self._stop.set()
            await link
            self._orders.close()


def main(argv: list[str]) -> int:
    """Run the uplink process of the site in `argv[1]`.

    With `--until-sent` it ends once the fleet holds everything: for a site that is taken down.
    """
    set_up_log()
    config_path = Path(argv[1])
    config = load_config(config_path)
    if config.uplink is None:
        return 0
    parts = open_parts(config, create=False)
    table = config.uplink
    die_with_parent()

    async def run() -> None:
        await UplinkProcess(config, table, config_path, parts).run(
            until_sent="--until-sent" in argv[2:]
        )

    # Two would take each other's connection away for ever.
    with held(parts.folder / "uplink.lock", "the uplink process", PREDECESSOR_S):
        uvloop.run(run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
