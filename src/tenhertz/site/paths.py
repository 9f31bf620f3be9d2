"""Where the parts of one running site meet: the names of its files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tenhertz.errors import UserError
from tenhertz.site.board import Board
from tenhertz.site.config import SiteConfig
from tenhertz.site.mailbox import Mailbox
from tenhertz.site.record import BODY_BYTES, EVENT_BYTES
from tenhertz.site.ring import Ring
from tenhertz.site.segment import runtime_dir

EVENTS = 4096
# How long a process waits for its predecessor, which may still be releasing units or storing its
# last samples after their common parent was killed.
PREDECESSOR_S = 4.0
_BOARD_BYTES_A_UNIT = 512
_BOARD_BYTES = 65_536


class Parts(NamedTuple):
    """The shared memory of one site."""

    samples: Ring
    events: Ring
    control: Board
    gateway: Board
    parent: Board
    uplink: Board
    mailbox: Mailbox
    folder: Path  # of all these, and of the locks


def data_dir(config: SiteConfig, config_path: Path) -> Path:
    """The folder of the site's database: relative to the configuration file."""
    return (config_path.parent / config.site.data_dir).resolve()


def ring_capacity(config: SiteConfig) -> int:
    """How many records the ring holds: `ring.hold_s` of samples and ticks, within its bound."""
    a_second = (len(config.unit) + 1) * 1000 / config.control.period_ms
    bound = int(config.ring.largest_mb * 1e6 / (BODY_BYTES + 16))
    # One period's records must fit several times over, however small the bound is set.
    return max(min(int(a_second * config.ring.hold_s), bound), 8 * (len(config.unit) + 1), 1024)


def open_parts(config: SiteConfig, *, create: bool) -> Parts:
    """Map the site's shared memory; only the parent process creates it.

    Raises:
        FileNotFoundError: it is not there: the site does not run.
        UserError: there is no room, or no right to make it, or another version made it.
    """
    folder = runtime_dir(config.site.name, config.site.runtime_dir)
    board = _BOARD_BYTES + _BOARD_BYTES_A_UNIT * len(config.unit)
    if not create and not (folder / "mailbox").exists():  # the last that is made
        raise FileNotFoundError(folder / "mailbox")
    return Parts(
        _ring(folder / "samples.ring", BODY_BYTES, ring_capacity(config), create=create),
        _ring(folder / "events.ring", EVENT_BYTES, EVENTS, create=create),
        Board(folder / "control.board", board, create=create),
        Board(folder / "gateway.board", _BOARD_BYTES, create=create),
        Board(folder / "parent.board", _BOARD_BYTES, create=create),
        Board(folder / "uplink.board", _BOARD_BYTES, create=create),
        Mailbox(folder / "mailbox", create=create),
        folder,
    )


def _ring(path: Path, body_bytes: int, capacity: int, *, create: bool) -> Ring:
    if create:
        return Ring(path, body_bytes, capacity, create=True)
    # The file tells its capacity: a configuration that was edited since must not bar a stop.
    try:
        ring = Ring.attach(path)
    except ValueError as error:
        raise UserError(f"{error}; start the site again") from error
    if ring.body_bytes != body_bytes:
        raise UserError(f"{path} was made by another version of tenhertz; start the site again")
    return ring
