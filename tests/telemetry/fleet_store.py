"""A store in memory whose commits fail, or end the writer, before or after they take effect."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tenhertz.link.frame import Frame
from tenhertz.store import StoreTrouble
from tenhertz.store.account import Account, decode_account
from tenhertz.store.contract import Recovered


class Crash(BaseException):
    """The writer's process is killed here."""


class Row(NamedTuple):
    """A stored sample."""

    source: str
    stream: int
    sequence: int
    power_w: float


class ScriptedStore:
    """What a FleetStore is to the writer. `script` says what becomes of the next commits."""

    def __init__(self) -> None:
        self.script: deque[str] = deque()  # "fail before", "fail after", "die before", "die after"
        self.down = False
        self.rows: list[Row] = []
        self.kept: dict[str, bytes] = {}
        self.position = 0
        self.upkeeps = 0
        self.closed = False

    def recover(self) -> Recovered:
        if self.down:
            raise StoreTrouble("the database is down")
        return Recovered(self.position, dict(self.kept))

    def commit(self, frames: Sequence[Frame], state: Mapping[str, bytes], position: int) -> None:
        what, _, when = (self.script.popleft() if self.script else "").partition(" ")
        if when == "before":
            raise StoreTrouble("connection lost") if what == "fail" else Crash
        assert position > self.position, "a commit goes on from the one before"
        for frame in frames:
            power = frame.columns["power_w"].physical
            self.rows += [
                Row(frame.source, frame.stream, int(number), float(power[at]))
                for at, number in enumerate(frame.sequence)
            ]
        self.kept |= state
        self.position = position
        if when == "after":
            raise StoreTrouble("connection lost") if what == "fail" else Crash

    def upkeep(self, now_ns: int) -> bool:
        assert now_ns > 0
        self.upkeeps += 1
        return False

    def close(self) -> None:
        self.closed = True

    def account(self, name: str = "account/site-1/0000000000000007/1") -> Account:
        """An account as it was stored."""
        return decode_account(self.kept[name])
